"""Prediction files, predictions/<task>/<row>/<split>.csv: columns id, label (empty where unknown), p_0, p_1, ... .

Training stages and ensembles write them, everything after that reads them; no model is needed to do so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import read_csv, write_csv, write_text

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

PARAPHRASE = Path("predictions/paraphrase")
ENSEMBLES = Path("predictions/paraphrase_ensembles")  # beside, not inside: an ensemble depends on all of PARAPHRASE
PARAPHRASE_HEADER = "Predicted_Is_Paraphrase"  # of the course's submission file
UNLABELLED = -1
SUM_TOLERANCE = 1e-3  # probabilities are written with 6 decimals


@dataclass(frozen=True)
class Predictions:
    """Predictions for n rows: ids (n,), labels (n,) int (-1 where unknown), probabilities (n, classes) float."""

    ids: list[str]
    labels: Integers
    probabilities: Floats

    @property
    def predicted(self) -> Integers:
        """The most probable class of each row (n,); the lowest one where classes tie."""
        return self.probabilities.argmax(axis=1)


def write_predictions(
    folder: Path, name: str, ids: Sequence[str], labels: Sequence[int | None], probabilities: Floats, header: str
) -> None:
    """Write <name>.csv, and for `test` also submission.csv in the course's format.

    Args:
        labels: None where unknown.
        probabilities: (rows, classes).
        header: name of the prediction column in submission.csv.
    """
    columns = ["id", "label", *(f"p_{index}" for index in range(probabilities.shape[1]))]
    rows = zip(ids, labels, probabilities.tolist(), strict=True)
    write_csv(folder / f"{name}.csv", columns, ([id_, label, *values] for id_, label, values in rows))
    if name == "test":
        write_text(folder / "submission.csv", submission(ids, probabilities.argmax(1).tolist(), header))


def submission(ids: Sequence[str], classes: Sequence[int], header: str) -> str:
    """The course's submission format: a header, then `<id>, <class>` lines."""
    return f"id \t {header} \n" + "".join(f"{id_}, {value} \n" for id_, value in zip(ids, classes, strict=True))


def read_predictions(path: Path) -> Predictions:
    """Read the predictions of a labelled split with at least one row."""
    predictions = read_any_predictions(path)
    if not predictions.ids:
        raise InputError(f"{path}: no rows; delete it and run `dvc repro`")
    unlabelled = predictions.labels == UNLABELLED
    if unlabelled.any():
        raise InputError(f"{path}:{int(unlabelled.argmax()) + 2}: label is '', expected a number; run `dvc repro`")
    return predictions


def read_any_predictions(path: Path) -> Predictions:
    """Read predictions that may lack labels (test) or rows (AP_H where the data has no such file)."""
    rows = read_csv(path, ["id", "label", "p_0", "p_1"])
    columns = [name for name in rows[0] if str(name).startswith("p_")] if rows else ["p_0", "p_1"]
    cells = [[_number(path, line, row, name) for name in columns] for line, row in enumerate(rows, 2)]
    probabilities = np.array(cells, dtype=np.float64).reshape(len(rows), len(columns))
    _check_probabilities(path, probabilities)
    labels = [_label(path, line, row, len(columns)) for line, row in enumerate(rows, 2)]
    return Predictions([row["id"] for row in rows], np.array(labels, dtype=np.int64), probabilities)


def _label(path: Path, line: int, row: dict[str, str], classes: int) -> int:
    if row["label"] == "":
        return UNLABELLED
    label = _number(path, line, row, "label")
    if label not in range(classes):
        raise InputError(f"{path}:{line}: label {label:g} is not a class from 0 to {classes - 1}")
    return int(label)


def _number(path: Path, line: int, row: dict[str, str], column: str) -> float:
    try:
        return float(row[column])
    except (KeyError, TypeError, ValueError):
        found = row.get(column)
        raise InputError(f"{path}:{line}: {column} is {found!r}, expected a number; run `dvc repro`") from None


def _check_probabilities(path: Path, probabilities: Floats) -> None:
    inside = np.isfinite(probabilities).all(axis=1) & (probabilities >= 0).all(axis=1)
    wrong = ~inside | ~(np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if wrong.any():
        line = int(wrong.argmax())
        found = ", ".join(f"{value:g}" for value in probabilities[line])
        raise InputError(f"{path}:{line + 2}: probabilities {found} do not sum to 1; did the training diverge?")
