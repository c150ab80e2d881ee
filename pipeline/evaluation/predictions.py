"""Prediction files, predictions/<task>/<row>/<split>.csv: columns id, label (empty where unknown), p_0, p_1, ... .

Training stages and ensembles write them, everything after that reads them; no model is needed to do so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import read_frame, write_frame, write_text

if TYPE_CHECKING:
    import pandas as pd  # 0.3 s to import, which those who only need a type need not wait for

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

METRICS = Path("metrics")
SENTIMENT = Path("predictions/sentiment")
PARAPHRASE = Path("predictions/paraphrase")
ENSEMBLES = Path("predictions/paraphrase_ensembles")  # beside, not inside: an ensemble depends on all of PARAPHRASE
SONNETS = Path("predictions/sonnets")
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
    import pandas as pd

    known = pd.array(list(labels), dtype="Int64")
    columns = {f"p_{index}": values for index, values in enumerate(probabilities.T)}
    write_frame(folder / f"{name}.csv", pd.DataFrame({"id": list(ids), "label": known, **columns}))
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
    cells = read_frame(path, ["id", "label", "p_0", "p_1"], dtype=object, keep_default_na=False)
    classes = [name for name in cells if name.startswith("p_")]
    probabilities = np.stack([_numbers(path, cells[name]) for name in classes], axis=1)
    _check_probabilities(path, probabilities)
    known = (cells["label"] != "").to_numpy()
    labels = _numbers(path, cells["label"].where(known, str(UNLABELLED)))
    wrong = known & ~np.isin(labels, range(len(classes)))
    if wrong.any():
        line = int(wrong.argmax())
        raise InputError(f"{path}:{line + 2}: label {labels[line]:g} is not a class from 0 to {len(classes) - 1}")
    return Predictions(cells["id"].tolist(), labels.astype(np.int64), probabilities)


def _numbers(path: Path, cells: "pd.Series") -> Floats:
    """A column of text as numbers (rows,)."""
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce")
    broken = numbers.isna() & (cells != "nan")
    if broken.any():
        line = int(broken.argmax())
        raise InputError(f"{path}:{line + 2}: {cells.name} is {cells[line]!r}, expected a number; run `dvc repro`")
    return numbers.to_numpy(dtype=np.float64)


def _check_probabilities(path: Path, probabilities: Floats) -> None:
    inside = np.isfinite(probabilities).all(axis=1) & (probabilities >= 0).all(axis=1)
    wrong = ~inside | ~(np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if wrong.any():
        line = int(wrong.argmax())
        found = ", ".join(f"{value:g}" for value in probabilities[line])
        raise InputError(f"{path}:{line + 2}: probabilities {found} do not sum to 1; did the training diverge?")
