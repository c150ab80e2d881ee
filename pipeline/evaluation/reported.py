"""The figures that others reported for the rows of the tables; reported.yaml says who, and on what."""

from collections.abc import Mapping
from pathlib import Path

from pipeline.config.base import parse


def against_reported(task: str, row: str, metrics: Mapping[str, float]) -> dict[str, float]:
    """The reported figures of a row and how far ours (of draws: their mean) are above them; empty without any."""
    figures = parse(Path(__file__).with_suffix(".yaml"))[task].get(row, {})
    source = "handout" if task == "sentiment" else "reported"
    ours = {key: metrics[key if key in metrics else f"{key}_mean"] for key in figures}
    theirs = {f"{source}_{key}": figure for key, figure in figures.items()}
    return theirs | {f"delta_{key}": ours[key] - figure for key, figure in figures.items()}
