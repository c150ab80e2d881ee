"""Run one stage of dvc.yaml.

python -m pipeline.stages train_paraphrase baseline
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pipeline.errors import InputError, stage_main
from pipeline.imports import importing


def main(arguments: Sequence[str]) -> None:
    stages = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    if not arguments or arguments[0] not in stages:
        raise InputError(f"usage: python -m pipeline.stages <stage> ...; stages: {', '.join(stages)}")
    imported(arguments[0]).main(arguments[1:])


def imported(stage: str) -> ModuleType:
    """The module of a stage, with all that it needs."""
    with importing():
        return import_module(f"pipeline.stages.{stage}")


if __name__ == "__main__":
    stage_main(main)
