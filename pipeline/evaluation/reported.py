"""The figures that others reported for the rows of the tables; reported.yaml says who, and on what."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.base import parse

RUNG = "_as_reported"  # a row <name>_as_reported repeats what the report did for <name>


def against_reported(task: str, row: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The reported figures of a row and how far ours (of draws: their mean) are above them; empty without any.

    `reported_best_of` evaluations on dev were made, of which the report gives the best; `reported_last` is the last.
    """
    figures, curve = dict(_known(task).get(row.removesuffix(RUNG), {})), reported_curve(row)
    chosen = {"best_of": figures.pop("best_of", None)}
    if task == "paraphrase" and curve:
        chosen = {"best_of": len(curve), "last": curve[-1]}
    source = "handout" if task == "sentiment" else "reported"
    ours = {key: metrics[key if key in metrics else f"{key}_mean"] for key in figures}
    theirs = {f"{source}_{key}": figure for key, figure in (figures | chosen).items() if figure is not None}
    return theirs | {f"delta_{key}": ours[key] - figure for key, figure in figures.items()}


def reported_curve(row: str) -> list[float]:
    """Accuracy on dev after every epoch of the report's run for a paraphrase row; empty where it is not known."""
    found: list[float] = _known("curves").get(row.removesuffix(RUNG), [])
    return found


def _known(part: str) -> dict[str, Any]:
    known: dict[str, Any] = parse(Path(__file__).with_suffix(".yaml"))[part]
    return known
