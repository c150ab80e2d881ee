"""One training from its seed to its outputs: what all training stages have in common.

A run lives in checkpoints/<name>/<fingerprint>/ until its stage has written its outputs. The fingerprint covers the
parameters, the input files, the code without its comments, and the library versions: a killed run goes on from its last
checkpoint when nothing has changed (with bit-equal results on the same machine) and starts anew when anything has.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.data import Scratch
from pipeline.config.params import load_params
from pipeline.config.source import code
from pipeline.config.training import Training
from pipeline.files import new_folder
from pipeline.training.loop import Evaluator, Objective, Rows, train

BACKBONE = Path("models/backbone")


class Run:
    """One training, with the precision of params.yaml. It seeds torch: draw the model's new weights after that.

    Args:
        name: of the folder below models/ and plots/curves/, such as paraphrase/baseline.
        inputs: files and folders that the model, its rows and its evaluation are read from.
        seed: another one than that of the settings or, where these have none, of params.yaml.
        part: tells several runs of one name and seed apart.
    """

    def __init__(
        self, name: str, settings: Training | Scratch, inputs: Sequence[Path], seed: int | None = None, part: str = ""
    ) -> None:
        self.name, self.settings, self.inputs, self.compute = name, settings, inputs, load_params().compute
        seeds = (seed, getattr(settings, "seed", None), load_params().seed)
        self.seed = next(own for own in seeds if own is not None)
        self.scratch = "@".join([name, *([] if seed is None else [str(seed)]), *([part] if part else [])])
        make_deterministic(self.seed, self.compute)

    @cached_property
    def folder(self) -> Path:
        """Where the run lives; found late, since the fingerprint covers the code that is imported by then."""
        params = [self.settings.model_dump(), self.compute.model_dump(), self.seed]
        return scratch_folder(self.scratch, params, self.inputs)

    def train(
        self, model: PreTrainedModel, rows: Rows, objective: Objective, evaluate: Evaluator | None = None, keep: int = 1
    ) -> list[Path]:
        """`pipeline.training.loop.train` with the run's settings."""
        precision = self.compute.precision
        return train(model, rows, objective, self.settings, self.folder, self.seed, precision, evaluate, keep)

    @contextmanager
    def outputs(self) -> Iterator[Path]:
        """An empty folder that becomes models/<name> when the block ends, as the curves become plots/curves/<name>."""
        with new_folder(Path("models") / self.name) as folder, new_folder(Path("plots/curves") / self.name) as curves:
            yield folder
            for file in sorted((self.folder / "curves").glob("*.tsv")):
                shutil.copyfile(file, curves / file.name)
        shutil.rmtree(self.folder, ignore_errors=True)


def scratch_folder(name: str, params: object, inputs: Sequence[Path]) -> Path:
    """The run's folder under checkpoints/; folders of the same name with another fingerprint are deleted."""
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    digest.update(f"{version('torch')} {version('transformers')}".encode())
    modules = [module for name, module in sys.modules.items() if name.startswith("pipeline.")]
    for path in sorted(Path(module.__file__) for module in modules if module.__file__):
        digest.update(path.name.encode() + hashlib.sha256(code(path).encode()).digest())
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    folder = Path("checkpoints") / name / digest.hexdigest()[:16]
    for other in folder.parent.glob("*") if folder.parent.is_dir() else []:
        if other != folder and rank() == 0:
            shutil.rmtree(other)
    return folder
