"""Fine-tune a classifier on one row of a table and write everything that the row leaves behind."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import agreed, rank
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute, Training
from pipeline.evaluation.predictions import write_predictions
from pipeline.files import new_folder, write_text
from pipeline.models.card import model_card
from pipeline.models.weights import load_weights, save_weights
from pipeline.text.tokenizer import copy_tokenizer
from pipeline.training.loop import Evaluator, Objective, Plan, Rows, scratch_folder, train, write_curves
from pipeline.training.predict import predict

BACKBONE = Path("models/backbone")


@dataclass(frozen=True)
class Split:
    """The prompts of one split, row by row; for pairs, `swapped` are those with the sentences in the other order."""

    ids: list[str]
    prompts: list[list[int]]
    labels: list[int | None]
    swapped: list[list[int]] | None = None


def fine_tune(
    task: str,
    row: str,
    settings: Training,
    new_model: Callable[[], PreTrainedModel],
    rows: Rows,
    splits: Mapping[str, Split],
    objective: Objective,
    start: Path,
    inputs: Sequence[Path],
    submission_header: str,
    both_orders: bool = False,
    seeds: Sequence[int] = (),
) -> None:
    """Train on `rows`, select on `splits["select"]`, predict every split; once more with each of `seeds`.

    Writes models/<task>/<row>, predictions/<task>/<row> and plots/curves/<task>/<row>, each complete or not at all. Of
    the further seeds only predictions/<task>/<row>/dev_seed_<seed>.csv remains.

    Args:
        new_model: a fresh classifier, drawn from torch's generator.
        start: the folder of the backbone that it is built on.
        inputs: the folders that rows and splits were read from (part of the run's fingerprint).
        submission_header: name of the prediction column in the course's submission format.
        both_orders: predictions are the mean over both orders of a pair.
    """
    compute, own = load_block("compute", Compute), load_seed()
    precision, evaluate = compute.precision, select_scores(splits["select"], compute.precision, both_orders)

    def fresh_model(seed: int) -> PreTrainedModel:
        make_deterministic(seed, compute)
        return new_model()

    def train_best(model: PreTrainedModel, seed: int) -> Path:
        best = train(model, rows, objective, Plan.of(settings, len(rows), precision, seed), runs[seed], evaluate)[0]
        load_weights(model, best)
        return best

    def predictions_of(name: str, model: PreTrainedModel) -> tuple[np.ndarray, np.ndarray | None]:
        return probabilities(model, splits[name], precision, both_orders, swapped=name == "dev")

    def write(folder: Path, name: str, found: np.ndarray, swapped: np.ndarray | None) -> None:
        split = splits[name]
        write_predictions(folder, name, split.ids, split.labels, found, submission_header)
        if swapped is not None:
            write_predictions(folder, f"{name}_swapped", split.ids, split.labels, swapped, submission_header)

    model = fresh_model(own)  # before the fingerprints, which cover the code that is imported by now
    runs = {
        seed: scratch_folder(
            task, row if seed == own else f"{row}@{seed}", [settings.model_dump(), compute.model_dump(), seed],
            [*inputs, start],
        )
        for seed in (own, *seeds)
    }  # fmt: skip
    best = train_best(model, own)
    for seed in seeds:
        if not agreed((runs[seed] / "dev.csv").exists):  # else it was done before this stage was killed
            other = fresh_model(seed)
            train_best(other, seed)
            found = predictions_of("dev", other)
            if rank() == 0:
                write(runs[seed], "dev", *found)
    predicted = {name: predictions_of(name, model) for name in splits}
    if rank() > 0:
        return
    model_path, predictions, curves = (Path(top) / task / row for top in ("models", "predictions", "plots/curves"))
    with new_folder(model_path) as folder, new_folder(predictions) as tables, new_folder(curves) as plots:
        save_weights(model, folder)
        copy_tokenizer(start, folder)
        write_text(folder / "README.md", model_card(task, row, settings, len(rows), best))
        for name in splits:
            write(tables, name, *predicted[name])
        for seed in seeds:
            shutil.copyfile(runs[seed] / "dev.csv", tables / f"dev_seed_{seed}.csv")
        write_curves(runs[own], plots)
    for run in runs.values():
        shutil.rmtree(run)


def probabilities(
    model: PreTrainedModel, split: Split, precision: str, both_orders: bool, swapped: bool = False
) -> tuple[np.ndarray, np.ndarray | None]:
    """Class probabilities (rows, classes) of a split and, if asked for, those of its pairs in the other order.

    With `both_orders` each is the mean over both orders, so that the two are the same to the last bit.
    """
    found, other = predict(model, split.prompts, precision), None
    if split.swapped is not None and (both_orders or swapped):
        other = predict(model, split.swapped, precision)
        if both_orders:
            found = other = (found + other) / 2
    return found, other if swapped else None


def select_scores(select: Split, precision: str, both_orders: bool) -> Evaluator:
    """An evaluator that gives loss and accuracy on the `select` split."""
    labels = np.array(select.labels)

    def evaluate(model: PreTrainedModel) -> dict[str, float]:
        found, _ = probabilities(model, select, precision, both_orders)
        likelihood = found[np.arange(len(labels)), labels]
        return {
            "select_loss": float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
            "select_accuracy": float((found.argmax(1) == labels).mean()),
        }

    return evaluate
