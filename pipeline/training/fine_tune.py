"""Fine-tune a classifier on one row of a table and write everything that the row leaves behind."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import agreed, rank
from pipeline.compute.reproducible import round_weights
from pipeline.config.training import Training
from pipeline.evaluation.predictions import HEADERS, folder_of, write_predictions
from pipeline.files import new_folder, write_text
from pipeline.models.backbone import load_weights, save_weights
from pipeline.models.card import model_card
from pipeline.text.prompts import copy_tokenizer
from pipeline.training.loop import Evaluator, Objective, Rows
from pipeline.training.predict import predict
from pipeline.training.run import Run


@dataclass(frozen=True)
class Split:
    """The prompts of one split, row by row; for pairs, `swapped` are those with the sentences in the other order."""

    ids: list[str]
    prompts: list[list[int]]
    labels: list[int | None]
    swapped: list[list[int]] | None = None


@dataclass(frozen=True)
class Classifier:
    """A row of a table: its model, its data and how it answers."""

    task: str  # name of the table
    row: str
    settings: Training
    new_model: Callable[[], PreTrainedModel]  # drawn from torch's generator
    rows: Rows  # to train on
    splits: Mapping[str, Split]  # to predict
    objective: Objective
    start: Path  # folder of the backbone that the model is built on
    inputs: Sequence[Path]  # folders that rows and splits were read from
    both_orders: bool = False  # predictions are the mean over both orders of a pair
    select_on: str = "select"  # the split on which the best model is chosen
    everything: Rows | None = None  # those of train and select, to train the final model on

    def run(self, seed: int | None = None, part: str = "") -> Run:
        """A run of the row with the seed of params.yaml, or with another one; a further run of the row has a `part`."""
        return Run(f"{self.task}/{self.row}", self.settings, [*self.inputs, self.start], seed, part)

    def predict(self, name: str, model: PreTrainedModel, run: Run) -> dict[str, np.ndarray]:
        """Class probabilities of a split by the name of their file; of `dev`, those of swapped pairs, too."""
        precision, swapped = run.compute.precision, name == "dev"
        found, other = probabilities(model, self.splits[name], precision, self.both_orders, swapped)
        return {name: found} if other is None else {name: found, f"{name}_swapped": other}

    def answered(self, seed: int | None = None) -> tuple[Run, PreTrainedModel, Path, dict[str, np.ndarray]]:
        """A run, its final model, the folder of the model that was chosen, and probabilities by their file's name."""
        run, model = self.run(seed), self.new_model()
        evaluate = select_scores(self.splits[self.select_on], run.compute.precision, self.both_orders)
        best = run.train(model, self.rows, self.objective, evaluate)[0]
        load_weights(model, best)
        predicted = self.predict("select", model, run)
        if self.everything:  # the answers of select are now known: above, the model that was chosen has spoken
            final = self.run(seed, "everything")
            final.train(model := self.new_model(), self.everything, self.objective)
            round_weights(model)
        for name in self.splits:  # in this order in all processes
            predicted |= self.predict(name, model, run) if name != "select" else {}
        return run, model, best, predicted

    def write(self, folder: Path, predicted: Mapping[str, np.ndarray]) -> None:
        """Write the files of predictions."""
        for name, found in predicted.items():
            split = self.splits[name.removesuffix("_swapped")]
            write_predictions(folder, name, split.ids, split.labels, found, HEADERS[self.task])


def fine_tune(row: Classifier, seeds: Sequence[int] = ()) -> None:
    """Train, select and predict; once more with each of `seeds`, of which only the predictions in seed_<seed> remain.

    Writes models/<task>/<row>, predictions/<task>/<row> and plots/curves/<task>/<row>, each complete or not at all.
    """
    run, model, best, predicted = row.answered()
    others = {seed: row.run(seed).folder / "predictions" for seed in seeds}
    for seed, done in others.items():
        if not agreed(done.exists):  # else it was done before this stage was killed
            *_, found = row.answered(seed)
            if rank() == 0:
                with new_folder(done) as tables:
                    row.write(tables, found)
    if rank() > 0:
        return
    with run.outputs() as folder, new_folder(folder_of(row.task, row.row)) as tables:
        save_weights(model, folder)
        copy_tokenizer(row.start, folder)
        write_text(folder / "README.md", model_card(row.task, row.row, row.settings, len(row.rows), best))
        row.write(tables, predicted)
        for seed, done in others.items():
            shutil.copytree(done, tables / f"seed_{seed}")
    for other in Path("checkpoints").glob(f"{run.scratch}@*"):
        shutil.rmtree(other)


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
    """An evaluator that gives loss and accuracy on the split that the model is selected on."""
    labels = np.array(select.labels)

    def evaluate(model: PreTrainedModel) -> dict[str, float]:
        found, _ = probabilities(model, select, precision, both_orders)
        loss = -np.log(np.maximum(found[np.arange(len(labels)), labels], 1e-12)).mean()
        return {"select_loss": float(loss), "select_accuracy": float((found.argmax(1) == labels).mean())}

    return evaluate
