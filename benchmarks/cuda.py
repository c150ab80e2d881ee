"""GPT-2 124M on a GPU: training and its share of the GPU's matrix rate, probabilities, writing.

    python -m benchmarks.cuda [--rounds 3]

Reads data/prepared/paraphrase and sonnets and the tokenizer of models/backbone. Weights are random. Unlike the other
benchmarks, all rows are measured in one process, and peak memory is that of the GPU.

Training takes the same batches in every epoch: of the 50 that 4,800 pairs grouped by length make, 25 at equal
distances. The first epoch meets their shapes, the second records them (compute/cuda_graphs.py), two more are timed.
"""

import argparse
import contextlib
import copy
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from tokenizers import Tokenizer
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from benchmarks import course_loop, generation
from benchmarks.measure import Measured, settings_of, spread, write
from benchmarks.sizes import config
from benchmarks.training import LENGTH, OBJECTIVES, Enough, InOrder, rows_of
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.training import Compute
from pipeline.models.classifier import Classifier, classifier_of
from pipeline.models.dropout import use_fast_dropout
from pipeline.text.prepared import PREPARED, Pair, read_pairs, read_poems
from pipeline.text.prompts import encode_pairs, load_tokenizer
from pipeline.training.loop import Loop, Rows, trainer_arguments
from pipeline.training.predict import predict

SIZE, BATCH = "124M", 96
GROUPED = 50  # batches that ByLength sorts together
TAKEN, COURSE = 25, 10  # batches of this project; of the course loop
WARM, TIMED = 2, 2  # epochs
TOGETHER = 256  # texts at once, as many as a sampler puts into a batch
Work = Callable[[int], float]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cuda")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    make_deterministic(0, Compute(precision="fp32", threads=None, processes=1))
    rate = matrix_rate()
    gpu = f"{torch.cuda.get_device_name()}, {rate / 1e12:.0f} TFLOP/s in bf16 products of 8192 x 8192 matrices"
    tokenizer = load_tokenizer(Path("models/backbone"))
    training(tokenizer, rate, gpu, rounds)
    evaluation(tokenizer, gpu, rounds)
    writing(tokenizer, gpu, rounds)


def training(tokenizer: Tokenizer, rate: float, gpu: str, rounds: int) -> None:
    pairs = random.Random(0).sample(read_pairs(PREPARED / "paraphrase" / "train.csv"), GROUPED * BATCH)
    lengths = dict(zip(pairs, map(len, encode_pairs(tokenizer, pairs, LENGTH)), strict=True))
    plain = sorted(batches(pairs), key=lambda batch: max(map(lengths.__getitem__, batch)))
    grouped = batches(sorted(pairs, key=lengths.__getitem__))
    taken = random.Random(1).sample(spread(grouped, TAKEN), TAKEN)
    rows = rows_of(tokenizer, [pair for batch in taken for pair in batch])
    model = classifier_of(GPT2Config)(config(SIZE)).train()
    plainly = contextlib.nullcontext
    no_graphs = partial(mock.patch, "pipeline.training.loop.StepGraphs", lambda *_: None)
    compiling = partial(mock.patch, "pipeline.training.loop.WORTH_COMPILING", 0)
    found = in_turn(
        {
            "course loop, fp32": partial(course, tokenizer, spread(plain, COURSE)),
            "this project, fp32": partial(ours, model, rows, "fp32", plainly),
            "this project, bf16": partial(ours, model, rows, "bf16", plainly),
            "this project, bf16, without CUDA graphs": partial(ours, model, rows, "bf16", no_graphs),
            "this project, bf16, blocks compiled": partial(ours, model, rows, "bf16", compiling),
        },
        rounds,
        "pairs/s",
    )
    work = flops(model.config, [len(row["input_ids"]) for row in rows]) / len(rows)
    lines = table(found, "pairs_per_second", "of_course_loop", lambda _: "course loop, fp32")
    for line, (name, row) in zip(lines, found.items(), strict=True):
        if "bf16" in name:
            line["mfu"] = round(100 * row.median * work / rate, 1)
    write(
        "cuda_training",
        "Training on a GPU",
        f"Paraphrase training of GPT-2 124M on real question pairs ({statistics.mean(lengths.values()):.1f} tokens on "
        f"average), {TAKEN} batches of {BATCH} pairs grouped by length, over and over; {COURSE} random batches in "
        "the course loop. MFU is the rate of model FLOPs as a share of the matrix rate: the matrix products and causal "
        "attention of real tokens, three times, and of the last block only what the head reads, as no more is "
        "computed. Peak memory is that of the GPU.",
        rounds,
        lines,
        gpu,
    )


def evaluation(tokenizer: Tokenizer, gpu: str, rounds: int) -> None:
    pairs = read_pairs(PREPARED / "paraphrase" / "dev.csv")[: GROUPED * BATCH]
    model = classifier_of(GPT2Config)(config(SIZE)).eval().to("cuda")
    found = in_turn(
        {
            "course loop, fp32": partial(course_probabilities, tokenizer, pairs[: COURSE * BATCH]),
            "this project, fp32": partial(probabilities, model, tokenizer, pairs, "fp32"),
            "this project, bf16": partial(probabilities, model, tokenizer, pairs, "bf16"),
        },
        rounds,
        "pairs/s",
    )
    write(
        "cuda_evaluation",
        "Evaluation on a GPU",
        f"Probabilities of {len(pairs):,} real question pairs by GPT-2 124M, tokenisation included; of "
        f"{COURSE * BATCH} in the course loop, in batches of {BATCH}. Peak memory is that of the GPU.",
        rounds,
        table(found, "pairs_per_second", "of_course_loop", lambda _: "course loop, fp32"),
        gpu,
    )


def writing(tokenizer: Tokenizer, gpu: str, rounds: int) -> None:
    codes = [tokenizer.encode(poem.prompt).ids for poem in read_poems(PREPARED / "sonnets" / "dev.jsonl")]
    prompts = [code[: min(map(len, codes))] for code in codes[: generation.PROMPTS]]
    many = list(itertools.islice(itertools.cycle(prompts), TOGETHER))
    model = generation.model_for(prompts, size=SIZE).to("cuda")
    works: dict[str, Work] = {}
    for decoder, texts in ((generation.DECODERS[0], many), *((decoder, prompts) for decoder in generation.DECODERS)):
        name = f"{decoder}, {len(texts)} texts"
        if decoder != generation.DECODERS[1]:  # which left transformers
            works[f"generate, {name}"] = partial(tokens, partial(generation.theirs, decoder, model, texts))
        works[f"this project, {name}"] = partial(tokens, partial(generation.written, decoder, model, texts))
    found = in_turn(works, rounds, "tokens/s")
    write(
        "cuda_generation",
        "Writing on a GPU",
        f"Prompts of {len(prompts[0])} tokens and {generation.NEW} new ones each, with GPT-2 124M in fp32, all texts "
        "in one batch. `generate` is transformers'. Peak memory is that of the GPU.",
        rounds,
        table(found, "tokens_per_second", "of_generate", lambda name: f"generate, {name.split(', ', 1)[1]}"),
        gpu,
    )


def in_turn(works: Mapping[str, Work], rounds: int, unit: str) -> dict[str, Measured]:
    """Every work once a round, one after the other."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in works}
    for number in range(rounds):
        for name, work in works.items():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            rate = work(number)
            found[name].append((rate, torch.cuda.max_memory_allocated() // 2**20))
            print(f"round {number + 1}  {name:45} {rate:10.1f} {unit}  {found[name][-1][1]:6} MiB", flush=True)
    return {name: Measured([rate for rate, _ in row], max(peak for _, peak in row)) for name, row in found.items()}


def table(
    found: Mapping[str, Measured], rate: str, ratio: str, reference: Callable[[str], str]
) -> list[dict[str, object]]:
    """The rates, and how many times those of each row's reference."""
    lines = []
    for name, row in found.items():
        line: dict[str, object] = {"name": name, rate: round(row.median, 1)}
        if reference(name) in found:
            line[ratio] = round(row.median / found[reference(name)].median, 2)
        lines.append(line | {"peak_mib": row.peak_mib, "values": [round(value, 1) for value in row.values]})
    return lines


def batches(pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    return [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]


def now() -> float:
    """The time when the GPU has done all that it was given."""
    torch.cuda.synchronize()
    return time.perf_counter()


def matrix_rate() -> float:
    """FLOP/s of bf16 products of random 8192 x 8192 matrices, the median of ten."""
    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    taken = []
    for _ in range(13):
        start = now()
        left @ right
        taken.append(now() - start)
    return 2 * 8192**3 / statistics.median(taken[3:])


def flops(model: GPT2Config, lengths: Sequence[int]) -> float:
    """Model FLOPs of a forward and backward pass over prompts of these lengths."""
    width, total = model.n_embd, 0
    for tokens in lengths:
        block = 24 * width**2 * tokens + 2 * width * tokens**2  # a token sees half of the others
        last = 4 * width**2 * tokens + 20 * width**2 + 4 * width * tokens  # keys and values of all, the rest of one
        total += (model.n_layer - 1) * block + last
    return 3.0 * total


class _Clock(TrainerCallback):
    """The time before and after the timed steps."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.global_step in (WARM * TAKEN, (WARM + TIMED) * TAKEN):
            self.times.append(now())
        if len(self.times) == 2:
            raise Enough


def ours(
    start: Classifier,
    rows: Rows,
    precision: str,
    patched: Callable[[], contextlib.AbstractContextManager[object]],
    number: int,
) -> float:
    """Pairs a second of the shared training loop."""
    model, clock = copy.deepcopy(start), _Clock()
    use_fast_dropout(model)
    settings = settings_of(len(rows), (WARM + TIMED + 1) * TAKEN, BATCH, 1e-5)
    with (
        tempfile.TemporaryDirectory() as scratch,
        contextlib.suppress(Enough),
        mock.patch("pipeline.training.loop.ByLength", InOrder),
        patched(),
    ):
        arguments = trainer_arguments(settings, len(rows), Path(scratch), number, evaluates=False)
        Loop(model, rows, OBJECTIVES["cross_entropy"], settings, arguments, precision, None, [clock]).train()
    return TIMED * TAKEN * BATCH / (clock.times[1] - clock.times[0])


def course(tokenizer: Tokenizer, some: Sequence[Sequence[Pair]], number: int) -> float:
    """Pairs a second of the course loop."""
    model = course_loop.CourseModel(config(SIZE)).to("cuda")
    losses = course_loop.train(model, tokenizer, itertools.cycle(some))
    next(losses)  # warm
    start = now()
    for _ in some:
        next(losses)
    return len(some) * BATCH / (now() - start)


def course_probabilities(tokenizer: Tokenizer, pairs: Sequence[Pair], _: int) -> float:
    model = course_loop.CourseModel(config(SIZE)).to("cuda")
    course_loop.predict(model, tokenizer, pairs[:BATCH], BATCH)  # warm
    start = now()
    course_loop.predict(model, tokenizer, pairs, BATCH)
    return len(pairs) / (now() - start)


def probabilities(model: Classifier, tokenizer: Tokenizer, pairs: Sequence[Pair], precision: str, _: int) -> float:
    predict(model, encode_pairs(tokenizer, pairs[:BATCH], LENGTH), precision)  # warm
    start = now()
    predict(model, encode_pairs(tokenizer, pairs, LENGTH), precision)
    return len(pairs) / (now() - start)


def tokens(written: Callable[[int], list[list[int]]], number: int) -> float:
    """New tokens a second, all texts complete."""
    start = now()
    texts = written(number)
    taken = now() - start
    assert {len(text) for text in texts} == {generation.NEW}
    return generation.NEW * len(texts) / taken


if __name__ == "__main__":
    main()
