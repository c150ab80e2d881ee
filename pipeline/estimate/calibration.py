"""What each operation takes on this machine: a few sizes of each are timed, and a line is put through them."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute
from pipeline.estimate.classifiers import Project
from pipeline.estimate.demand import OPERATIONS
from pipeline.estimate.runs import Bench, quiet
from pipeline.estimate.texts import text_operations

BUDGET = 0.3  # seconds of one run: about 40 of them make half a minute
READ = 3e-5  # seconds a raw row, by benchmarks/results/prepare.json: the files may not be here to be timed
STEP_SHAPES = ((8, 20), (16, 44), (8, 128), (2, 256))  # rows, tokens
LARGE_SHAPES = ((2, 16), (4, 44), (2, 128))  # of a model whose blocks are not all run
BATCH_SHAPES = ((32, 20), (128, 44), (16, 240))
HEAVY = "import gc, time; gc.disable(); begin = time.process_time(), time.perf_counter(); \
import torch, transformers.trainer, peft, pandas; \
from transformers.models.gpt2 import modeling_gpt2; middle = time.process_time(), time.perf_counter(); \
import pipeline.stages.train_paraphrase; from pipeline.config.base import read_params; \
import resource; end = time.process_time(), time.perf_counter(); \
print(middle[0] - begin[0], middle[1] - begin[1], end[0] - middle[0], end[1] - middle[1], \
resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"


@dataclass(frozen=True)
class Line:
    """Seconds of an operation: once, for each token, and for each token of each token (attention)."""

    fixed: float = 0.0
    token: float = 0.0
    square: float = 0.0

    def seconds(self, rows: float, tokens: float) -> float:
        """For a batch."""
        return self.fixed + self.token * rows * tokens + self.square * rows * tokens**2

    def times(self, factor: float) -> "Line":
        """The same for something that takes longer."""
        return Line(self.fixed * factor, self.token * factor, self.square * factor)


@dataclass(frozen=True)
class Calibration:
    """What was measured."""

    lines: Mapping[str, Line]  # by operation
    imports: float  # seconds, once a run
    libraries_mib: float
    cuda: bool
    took: float


def calibrate(project: Project, operations: Collection[str], cpu_time: bool = False) -> Calibration:
    """Measure the given operations with the profile's precision and threads.

    With one thread, or if asked, seconds are those of the processor: other programs on a busy machine do not count.
    """
    compute, begin = load_block("compute", Compute, project.path), time.perf_counter()
    make_deterministic(load_seed(project.path), compute)
    cuda = torch.cuda.is_available()
    on_cpu = cpu_time or (compute.threads == 1 and not cuda)
    clock = time.process_time if on_cpu else time.perf_counter
    bench = Bench(project.model, compute.precision, clock, BUDGET)
    imports, own, memory = start_up(on_cpu)
    lines = {"start": Line(own), "read": Line(READ)}
    with quiet():
        lines |= text_operations(project, bench, operations)
        lines |= training_lines(bench, operations) | decoding_lines(bench, operations, lines)
        if "predict" in operations:
            lines["predict"] = whole(bench, fit(BATCH_SHAPES if not reduced(bench) else LARGE_SHAPES, bench.prediction))
    missing = sorted(set(operations) - set(lines))
    assert not missing, f"{missing} of {OPERATIONS} not measured"
    return Calibration(lines, imports, memory, cuda, time.perf_counter() - begin)


def start_up(on_cpu: bool) -> tuple[float, float, float]:
    """Seconds to import the libraries, seconds to import a stage after that, and MiB of both."""
    done = subprocess.run(
        [sys.executable, "-c", HEAVY], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    values = [float(word) for word in done.stdout.split()]
    return values[0 if on_cpu else 1], values[2 if on_cpu else 3], values[4]


def reduced(bench: Bench) -> bool:
    """Do some blocks stand for all?"""
    return bench.small.layers < bench.model.layers


def training_lines(bench: Bench, operations: Collection[str]) -> dict[str, Line]:
    """The plain step of either kind of model at several sizes; its variants at one, as a ratio to it."""
    shapes, lines = LARGE_SHAPES if reduced(bench) else STEP_SHAPES, dict[str, Line]()
    for family in ("train", "language"):
        kinds = [name.partition(".")[2] for name in operations if name.partition(".")[0] == family]
        if not kinds:
            continue
        setups: list[float] = []

        def step(kind: str, rows: int, tokens: int, family: str = family, setups: list[float] = setups) -> float:
            seconds, setup = bench.training_step(kind, rows, tokens, family)
            setups.append(setup)
            return seconds

        plain = fit(shapes, lambda rows, tokens, step=step: step("", rows, tokens))  # type: ignore[misc]
        base = plain.seconds(*shapes[1])
        for kind in kinds:
            factor = step(kind, *shapes[1]) / base if kind else 1.0
            lines[f"{family}.{kind}".rstrip(".")] = whole(bench, plain.times(factor), family == "language")
        lines["setup"] = Line(min(setups))
    return lines


def decoding_lines(bench: Bench, operations: Collection[str], known: Mapping[str, Line]) -> dict[str, Line]:
    """Steps of the decoders by the texts in a batch; bans cost a little for each text."""
    lines = {}
    for decoder in ("sample", "beam_search", "contrastive_search", "contrastive_decoding"):
        names = [name for name in operations if name.partition(".")[0] == decoder]
        if names:
            widths = [(20, 1), (80, 1)] if decoder != "sample" else [(12, 1), (64, 1), (240, 1)]
            widths = widths[:2] if reduced(bench) else widths
            line = whole(bench, fit(widths, lambda rows, _, decoder=decoder: bench.decoding(decoder, rows)), True)  # type: ignore[misc]
            ban = known.get("constrain", Line())
            lines[decoder] = line
            lines[f"{decoder}.constrained"] = replace(line, token=line.token + ban.token)
    return lines


def whole(bench: Bench, line: Line, language: bool = False) -> Line:
    """The line of the whole model from that of its first blocks, by what grows: weights, arithmetic, attention."""
    if not reduced(bench):
        return line
    some, model = bench.small, bench.model
    layers = model.layers / some.layers
    heads = [one.width * one.vocabulary if language else 0 for one in (model, some)]
    arithmetic = (model.layers * model.block + heads[0]) / (some.layers * some.block + heads[1])
    return Line(line.fixed * model.weights / some.weights, line.token * arithmetic, line.square * layers)


def fit(shapes: Sequence[tuple[int, int]], measured: Callable[[int, int], float]) -> Line:
    """The line, with no negative part, that is least wrong in relation to what was measured."""
    from scipy.optimize import nnls

    seconds = np.array([measured(rows, tokens) for rows, tokens in shapes])
    terms = np.array([(1.0, rows * tokens, rows * tokens**2) for rows, tokens in shapes])
    if len({tokens for _, tokens in shapes}) == 1:
        terms[:, 2] = 0.0
    scale = terms.max(0, initial=1e-12)
    found, _ = nnls(terms / scale / seconds[:, None], np.ones(len(shapes)))
    return Line(*(found / scale).tolist())
