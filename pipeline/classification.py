"""Fine-tune a classifier on one row of a table and write everything that the row leaves behind."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.config.base import load_block, load_seed
from pipeline.config.training import Compute, Training
from pipeline.files import new_folder, write_csv, write_text
from pipeline.model_card import model_card
from pipeline.models.classifier import GPT2Classifier
from pipeline.predict import predict
from pipeline.text.tokenizer import copy_tokenizer
from pipeline.training import Evaluator, Objective, Plan, Rows, scratch_folder, train, write_curves

BACKBONE = Path("models/backbone")


@dataclass(frozen=True)
class Split:
    """The prompts of one split, row by row."""

    ids: list[str]
    prompts: list[list[int]]
    labels: list[int | None]


def fine_tune(
    task: str,
    row: str,
    settings: Training,
    model: GPT2Classifier,
    splits: Mapping[str, Split],
    objective: Objective,
    inputs: Sequence[Path],
    submission_header: str,
) -> None:
    """Train on `splits["train"]`, select on `select`, predict every other split.

    Writes models/<task>/<row>, predictions/<task>/<row> and plots/curves/<task>/<row>, each complete or not at all.

    Args:
        model: a fresh classifier; it ends with the weights of the best evaluation on `select`.
        inputs: the folders the splits were read from (part of the run's fingerprint).
        submission_header: name of the prediction column in the course's submission format.
    """
    seed, compute = load_seed(), load_block("compute", Compute)
    precision = compute.precision
    run = scratch_folder(task, row, [settings.model_dump(), compute.model_dump(), seed], [*inputs, BACKBONE])
    plan = Plan.of(settings, len(splits["train"].ids), precision, seed)
    rows = Rows(splits["train"].prompts, splits["train"].labels)
    best = train(model, rows, objective, plan, run, select_scores(splits["select"], precision))[0]
    model = GPT2Classifier.from_pretrained(best, dtype=torch.float32).to(model.device)
    model_path, predictions, curves = (Path(top) / task / row for top in ("models", "predictions", "plots/curves"))
    with new_folder(model_path) as folder, new_folder(predictions) as tables, new_folder(curves) as plots:
        model.save_pretrained(folder)
        copy_tokenizer(BACKBONE, folder)
        write_text(folder / "README.md", model_card(task, row, settings, best))
        for name, split in splits.items():
            if name != "train":
                write_predictions(tables, name, split, predict(model, split.prompts, precision), submission_header)
        write_curves(run, plots)
    shutil.rmtree(run)


def select_scores(select: Split, precision: str) -> Evaluator:
    """An evaluator that gives loss and accuracy on the `select` split."""
    labels = np.array(select.labels)

    def evaluate(model: GPT2Classifier) -> dict[str, float]:
        probabilities = predict(model, select.prompts, precision)
        likelihood = probabilities[np.arange(len(labels)), labels]
        return {
            "select_loss": float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
            "select_accuracy": float((probabilities.argmax(1) == labels).mean()),
        }

    return evaluate


def write_predictions(folder: Path, name: str, split: Split, probabilities: np.ndarray, header: str) -> None:
    """Write <name>.csv (id, label, p_0, ...), and for `test` also submission.csv in the course's format."""
    columns = ["id", "label", *(f"p_{index}" for index in range(probabilities.shape[1]))]
    rows = zip(split.ids, split.labels, probabilities.tolist(), strict=True)
    write_csv(folder / f"{name}.csv", columns, ([id_, label, *values] for id_, label, values in rows))
    if name == "test":
        write_text(folder / "submission.csv", submission(split.ids, probabilities.argmax(1).tolist(), header))


def submission(ids: Sequence[str], classes: Sequence[int], header: str) -> str:
    """The course's submission format: a header, then `<id>, <class>` lines."""
    return f"id \t {header} \n" + "".join(f"{id_}, {value} \n" for id_, value in zip(ids, classes, strict=True))
