"""Average the probabilities of several paraphrase rows.

Reads predictions/paraphrase/<member>; writes predictions/paraphrase_ensembles/<name>: the files of a trained row, and
the members' weights in weights.json.
"""

from collections.abc import Sequence

import numpy as np

from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.evaluation.ensemble import cross_fitted, fit_weights, mixed
from pipeline.evaluation.predictions import ENSEMBLES, PARAPHRASE, PARAPHRASE_HEADER, UNLABELLED, Floats, Predictions
from pipeline.evaluation.predictions import read_any_predictions as read
from pipeline.evaluation.predictions import write_predictions as write
from pipeline.files import new_folder, write_json


def main(name: str) -> None:
    settings = entry(load_params().paraphrase.ensembles, name, "paraphrase.ensembles")
    members = settings.members
    select, answers = read_members(members, "select")
    if len(select.ids) < 2 or (select.labels == UNLABELLED).any():
        file = PARAPHRASE / members[0] / "select.csv"
        raise InputError(f"{file}: expected at least two rows, all of them labelled; run `dvc repro`")
    if settings.weights == "equal":
        weights = np.full(len(members), 1 / len(members))
        select_answers = mixed(weights, answers)
    else:
        weights = fit_weights(answers, select.labels)
        select_answers = cross_fitted(answers, select.labels, load_params().seed)
    found = {"select": (select, select_answers)}
    for split in ("dev", "dev_swapped", "test", "ap_h"):
        if split != "dev_swapped" or all((PARAPHRASE / member / "dev_swapped.csv").exists() for member in members):
            rows, answers = read_members(members, split)
            found[split] = rows, mixed(weights, answers)
    with new_folder(ENSEMBLES / name) as folder:
        for split, (rows, mixture) in found.items():
            labels = [None if label == UNLABELLED else label for label in rows.labels.tolist()]
            write(folder, split, rows.ids, labels, mixture, PARAPHRASE_HEADER)
        write_json(folder / "weights.json", dict(zip(members, weights.tolist(), strict=True)))


def read_members(members: Sequence[str], split: str) -> tuple[Predictions, Floats]:
    """The first member's predictions and the probabilities of all (members, rows, classes), of the same rows."""
    files = [PARAPHRASE / member / f"{split}.csv" for member in members]
    first, *_ = found = [read(file) for file in files]
    for file, other in zip(files, found, strict=True):
        if other.ids != first.ids or not np.array_equal(other.labels, first.labels):
            raise InputError(f"{file}: other rows than those of {members[0]}, or in another order; run `dvc repro`")
        if other.probabilities.shape != first.probabilities.shape:
            raise InputError(f"{file}: other classes than those of {members[0]}; run `dvc repro`")
    return first, np.stack([predictions.probabilities for predictions in found])
