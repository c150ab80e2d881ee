"""Average the probabilities of several rows of a task, or of several seeds of a row.

    python -m pipeline.stages ensemble paraphrase ensemble_weighted

Reads predictions/<task>/<member>; writes predictions/<task>_ensembles/<name>: the files of a trained row, and the
members' weights in weights.json.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.evaluation.ensemble import FITS, cross_fitted, mixed
from pipeline.evaluation.predictions import HEADERS, UNLABELLED, Floats, Predictions, folder_of
from pipeline.evaluation.predictions import read_any_predictions as read
from pipeline.evaluation.predictions import write_predictions as write
from pipeline.files import new_folder, write_json


def main(task: str, name: str) -> None:
    params, key = load_params(), f"{task}.ensembles"
    ensembles = entry({each: getattr(params, each).ensembles for each in HEADERS}, task, "the list of tasks")
    settings = entry(ensembles, name, key)
    members = settings.members
    select, answers = read_members(task, members, "select")
    if len(select.ids) < 2 or (select.labels == UNLABELLED).any():
        file = folder_of(task, members[0]) / "select.csv"
        raise InputError(f"{file}: expected at least two rows, all of them labelled; run `dvc repro`")
    if settings.weights == "equal":
        weights = np.full(len(members), 1 / len(members))
        select_answers = mixed(weights, answers)
    else:
        weights = FITS[settings.weights](answers, select.labels)
        select_answers = cross_fitted(answers, select.labels, params.seed, settings.weights)
    found = {"select": (select, select_answers)}
    for split in ("dev", "dev_swapped", "test", "ap_h"):
        if all((folder_of(task, member) / f"{split}.csv").exists() for member in members):
            rows, answers = read_members(task, members, split)
            found[split] = rows, mixed(weights, answers)
    with new_folder(folder_of(task, name, ensembles)) as folder:
        for split, (rows, mixture) in found.items():
            labels = [None if label == UNLABELLED else label for label in rows.labels.tolist()]
            write(folder, split, rows.ids, labels, mixture, HEADERS[task])
        write_json(folder / "weights.json", dict(zip(members, weights.tolist(), strict=True)))


def read_members(task: str, members: Sequence[str], split: str) -> tuple[Predictions, Floats]:
    """The first member's predictions and the probabilities of all (members, rows, classes), of the same rows."""
    files = [folder_of(task, member) / f"{split}.csv" for member in members]
    first, *_ = found = [read(file) for file in files]
    for file, other in zip(files, found, strict=True):
        same = np.array_equal(other.labels, first.labels) and other.probabilities.shape == first.probabilities.shape
        if other.ids != first.ids or not same:
            raise InputError(f"{file}: other rows, classes or order than those of {members[0]}; run `dvc repro`")
    return first, np.stack([predictions.probabilities for predictions in found])
