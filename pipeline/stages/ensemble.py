"""Average the probabilities of several paraphrase rows.

    python -m pipeline.stages ensemble ensemble_weighted

Reads predictions/paraphrase/<member>; writes predictions/paraphrase_ensembles/<name>: the files of a trained row, and
the members' weights in weights.json.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.errors import InputError, one_argument
from pipeline.evaluation.ensemble import cross_fitted, fit_weights, folds_of, mixed
from pipeline.evaluation.predictions import (
    ENSEMBLES,
    PARAPHRASE,
    PARAPHRASE_HEADER,
    UNLABELLED,
    Floats,
    Predictions,
    read_any_predictions,
    write_predictions,
)
from pipeline.files import new_folder, write_json

SPLITS = ("dev", "dev_swapped", "test", "ap_h")


def main(arguments: Sequence[str]) -> None:
    """Write the predictions of the ensemble named by the only argument."""
    name = one_argument(arguments, "ensemble")
    settings, seed = entry(load_params().paraphrase.ensembles, name, "paraphrase.ensembles"), load_params().seed
    members = {member: PARAPHRASE / member for member in settings.members}
    select, answers = read_members({member: folder / "select.csv" for member, folder in members.items()})
    if len(select.ids) < 2 or (select.labels == UNLABELLED).any():
        file = next(iter(members.values())) / "select.csv"
        raise InputError(f"{file}: expected at least two rows, all of them labelled; run `dvc repro`")
    if settings.weights == "equal":
        weights = np.full(len(members), 1 / len(members))
        select_answers = mixed(weights, answers)
    else:
        weights = fit_weights(answers, select.labels)
        select_answers = cross_fitted(answers, select.labels, folds_of(len(select.ids), seed))
    with new_folder(ENSEMBLES / name) as folder:
        write_split(folder, "select", select, select_answers)
        for split in SPLITS:
            files = {member: source / f"{split}.csv" for member, source in members.items()}
            if split == "dev_swapped" and not all(file.exists() for file in files.values()):
                continue
            first, answers = read_members(files)
            write_split(folder, split, first, mixed(weights, answers))
        write_json(folder / "weights.json", dict(zip(members, weights.tolist(), strict=True)))


def read_members(files: Mapping[str, Path]) -> tuple[Predictions, Floats]:
    """The first member's predictions and the probabilities of all (members, rows, classes), of the same rows."""
    found = {member: read_any_predictions(file) for member, file in files.items()}
    name, first = next(iter(found.items()))
    for member, other in found.items():
        if other.ids != first.ids or not np.array_equal(other.labels, first.labels):
            raise InputError(f"{files[member]}: other rows than those of {name}, or in another order; run `dvc repro`")
        if other.probabilities.shape != first.probabilities.shape:
            raise InputError(f"{files[member]}: other classes than those of {name}; run `dvc repro`")
    return first, np.stack([other.probabilities for other in found.values()])


def write_split(folder: Path, split: str, rows: Predictions, probabilities: Floats) -> None:
    """Write one split with the ids and labels of `rows`."""
    labels = [None if label == UNLABELLED else label for label in rows.labels.tolist()]
    write_predictions(folder, split, rows.ids, labels, probabilities, PARAPHRASE_HEADER)
