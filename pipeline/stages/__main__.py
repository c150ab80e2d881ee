"""Run one stage of dvc.yaml; the arguments are those of its `main`.

python -m pipeline.stages train_paraphrase baseline
"""

from collections.abc import Sequence
from inspect import signature
from pathlib import Path
from types import ModuleType

from pipeline.errors import InputError, stage_main
from pipeline.stages import _warm

MODELS = {
    "adversarial_search", "backbone", "generate_sonnets", "generator",
    "train_first_stage", "train_paraphrase", "train_sentiment", "train_sonnet",
}  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    stages = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py"))
    if not arguments or arguments[0] not in stages:
        raise InputError(f"usage: python -m pipeline.stages <stage> ...; stages: {', '.join(stages)}")
    stage, *values = arguments
    if stage in MODELS and (code := _warm.run_warm()) is not None:
        raise SystemExit(code)
    run = imported(stage).main
    try:
        signature(run).bind(*values)
    except TypeError:
        usage = " ".join([stage, *(f"<{name}>" for name in signature(run).parameters)])
        raise InputError(f"usage: python -m pipeline.stages {usage}; got {len(values)} arguments") from None
    run(*values)


def imported(stage: str) -> ModuleType:
    """The module of a stage, with all that it needs."""
    return _warm.imported([f"pipeline.stages.{stage}"])[0]


if __name__ == "__main__":
    stage_main(main)
