"""Prediction files, predictions/<task>/<row>/<split>.csv: columns id, label (empty where unknown), p_0, p_1, ... ."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import read_frame, write_frame, write_text

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

METRICS = Path("metrics")
SONNETS = Path("predictions/sonnets")
HEADERS = {"sentiment": "Predicted_Sentiment", "paraphrase": "Predicted_Is_Paraphrase"}  # of submission files, by task
UNLABELLED = -1


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


def folder_of(task: str, row: str, ensembles: Container[str] = ()) -> Path:
    """Where the predictions of a row are, of one of its further seeds, written <row>@<seed>, or of an ensemble."""
    if row in ensembles:  # beside, not inside: each depends on the folder of all rows
        return Path(f"predictions/{task}_ensembles", row)
    name, _, seed = row.partition("@")
    return Path("predictions", task, name, f"seed_{seed}" if seed else "")


def write_predictions(
    folder: Path, name: str, ids: Sequence[str], labels: Sequence[int | None], probabilities: Floats, header: str
) -> None:
    """Write <name>.csv and, for `test`, submission.csv; labels: None where unknown, probabilities: (rows, classes)."""
    import pandas as pd

    columns = {"id": list(ids), "label": pd.array(list(labels), dtype="Int64")}
    columns |= {f"p_{index}": values for index, values in enumerate(probabilities.T)}
    write_frame(folder / f"{name}.csv", pd.DataFrame(columns))
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
    for row in np.flatnonzero(predictions.labels == UNLABELLED):
        raise InputError(f"{path}:{row + 2}: label is '', expected a number; run `dvc repro`")
    return predictions


def read_any_predictions(path: Path) -> Predictions:
    """Read predictions that may lack labels (test) or rows (AP_H where the data has no such file)."""
    import pandas as pd

    cells = read_frame(path, ["id", "label", "p_0", "p_1"], dtype=object, keep_default_na=False)
    known, classes = (cells["label"] != "").to_numpy(), [name for name in cells if name.startswith("p_")]
    cells["label"] = cells["label"].where(known, str(UNLABELLED))
    numbers = {name: pd.to_numeric(cells[name], errors="coerce").to_numpy(np.float64) for name in [*classes, "label"]}
    for name, values in numbers.items():
        for row in np.flatnonzero(np.isnan(values) & (cells[name] != "nan")):
            raise InputError(f"{path}:{row + 2}: {name} is {cells[name][row]!r}, expected a number; run `dvc repro`")
    *columns, labels = numbers.values()
    probabilities = np.stack(columns, axis=1)
    right = (probabilities >= 0).all(axis=1) & (np.abs(probabilities.sum(axis=1) - 1) <= 1e-3)  # of 6 decimals; not NaN
    for row in np.flatnonzero(~right):
        found = ", ".join(f"{value:g}" for value in probabilities[row])
        raise InputError(f"{path}:{row + 2}: probabilities {found} do not sum to 1; did the training diverge?")
    for row in np.flatnonzero(known & ~np.isin(labels, range(len(classes)))):
        raise InputError(f"{path}:{row + 2}: label {labels[row]:g} is not a class from 0 to {len(classes) - 1}")
    return Predictions(cells["id"].tolist(), labels.astype(np.int64), probabilities)
