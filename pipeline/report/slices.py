"""Tables on the paraphrase rows beyond the leaderboard: accuracy on slices of dev, and the weights of ensembles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.evaluation.predictions import ENSEMBLES
from pipeline.evaluation.slices import Slice
from pipeline.files import read_csv, read_json
from pipeline.report.tables import Table, number

SLICES = Path("plots/slices/paraphrase")
TITLES = {
    "word_overlap": ("Accuracy by word overlap (tenths of dev, Jaccard from – to)", 2),
    "words": ("Accuracy by length (tenths of dev, words of both sentences from – to)", 0),
}


def slice_tables(rows: Sequence[str]) -> list[Table]:
    """One table a measure: a line for each row, a column for each bin, the number of pairs at the end."""
    found = {row: read_csv(SLICES / f"{row}.csv", Slice._fields) for row in rows}
    return [_slice_table(measure, title, digits, found) for measure, (title, digits) in TITLES.items()] if rows else []


def ensemble_table(ensembles: Mapping[str, Any]) -> list[Table]:
    """Members and weights of every entry of paraphrase.ensembles; no table without entries."""
    lines = []
    for name, settings in ensembles.items():
        weights = read_json(ENSEMBLES / name / "weights.json")
        shares = ", ".join(f"{member} {number(weight, 3)}" for member, weight in weights.items())
        lines.append([name, settings["weights"], shares])
    return [Table("Ensembles", ["Row", "Weights", "Members"], lines, figures=False)] if lines else []


def _slice_table(measure: str, title: str, digits: int, found: Mapping[str, list[dict[str, str]]]) -> Table:
    header, pairs = ["Row"], ["pairs"]
    lines: list[list[str]] = []
    for row, cells in found.items():
        parts = [cell for cell in cells if cell["slice"] == measure]
        ranges = ["Row", *(_range(float(part["low"]), float(part["high"]), digits) for part in parts)]
        if lines and ranges != header:
            raise InputError(f"{SLICES / row}.csv: other bins than those of {next(iter(found))}; run `dvc repro`")
        header, pairs = ranges, ["pairs", *(f"{int(part['rows']):,}" for part in parts)]
        lines.append([row, *(number(float(part["accuracy"]), 3) for part in parts)])
    return Table(title, header, [*lines, pairs])


def _range(low: float, high: float, digits: int) -> str:
    ends = dict.fromkeys([number(low, digits), number(high, digits)])
    return "–".join(ends)
