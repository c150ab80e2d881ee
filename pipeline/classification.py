"""Fine-tune a classifier on one row of a table and write everything that the row leaves behind."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute, Training
from pipeline.files import new_folder, write_text
from pipeline.model_card import model_card
from pipeline.models.weights import load_weights
from pipeline.predict import predict
from pipeline.prediction_files import write_predictions
from pipeline.text.tokenizer import copy_tokenizer
from pipeline.training import Evaluator, Objective, Plan, Rows, scratch_folder, train, write_curves

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
    model: PreTrainedModel,
    rows: Rows,
    splits: Mapping[str, Split],
    objective: Objective,
    start: Path,
    inputs: Sequence[Path],
    submission_header: str,
    both_orders: bool = False,
) -> None:
    """Train on `rows`, select on `splits["select"]`, predict every split.

    Writes models/<task>/<row>, predictions/<task>/<row> and plots/curves/<task>/<row>, each complete or not at all.

    Args:
        model: a fresh classifier; it ends with the weights of the best evaluation on `select`.
        start: the folder of the backbone that it was built on.
        inputs: the folders that rows and splits were read from (part of the run's fingerprint).
        submission_header: name of the prediction column in the course's submission format.
        both_orders: predictions are the mean over both orders of a pair.
    """
    seed, compute = load_seed(), load_block("compute", Compute)
    precision = compute.precision
    run = scratch_folder(task, row, [settings.model_dump(), compute.model_dump(), seed], [*inputs, start])
    plan = Plan.of(settings, len(rows), precision, seed)
    evaluate = select_scores(splits["select"], precision, both_orders)
    best = train(model, rows, objective, plan, run, evaluate)[0]
    load_weights(model, best)
    model_path, predictions, curves = (Path(top) / task / row for top in ("models", "predictions", "plots/curves"))
    with new_folder(model_path) as folder, new_folder(predictions) as tables, new_folder(curves) as plots:
        model.save_pretrained(folder)
        copy_tokenizer(start, folder)
        write_text(folder / "README.md", model_card(task, row, settings, best))
        for name, split in splits.items():
            found, swapped = probabilities(model, split, precision, both_orders, swapped=name == "dev")
            write_predictions(tables, name, split.ids, split.labels, found, submission_header)
            if swapped is not None:
                write_predictions(tables, f"{name}_swapped", split.ids, split.labels, swapped, submission_header)
        write_curves(run, plots)
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
