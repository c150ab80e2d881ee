"""Score one paraphrase row or ensemble on dev.

    python -m pipeline.stages evaluate_paraphrase baseline --seed 11711 --bootstrap 2000 --confidence 0.95

Reads the row's predictions and the dev texts; writes paraphrase/<row> under metrics/ and plots/slices/.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.params import load_params
from pipeline.config.tasks import SeededEvaluation, evaluation_arguments
from pipeline.errors import InputError
from pipeline.evaluation import classification, probabilities
from pipeline.evaluation.predictions import (
    ENSEMBLES,
    METRICS,
    PARAPHRASE,
    Predictions,
    read_any_predictions,
    read_predictions,
)
from pipeline.evaluation.reported import against_reported
from pipeline.files import write_frame, write_json
from pipeline.text.prepared import PREPARED, read_pairs

TEXTS = PREPARED / "paraphrase/dev.csv"


def main(arguments: Sequence[str]) -> None:
    """Write the scores and tables of one row."""
    (row,), settings = evaluation_arguments(arguments, "row")
    folder = (ENSEMBLES if row in load_params().paraphrase.ensembles else PARAPHRASE) / row
    dev, select = read_predictions(folder / "dev.csv"), read_predictions(folder / "select.csv")
    if dev.probabilities.shape[1] != 2:
        raise InputError(f"{folder / 'dev.csv'}: expected two classes, got {dev.probabilities.shape[1]}")
    metrics = classification.scores(dev, settings.bootstrap, settings.confidence, settings.seed)
    metrics |= classification.binary_scores(dev)
    metrics["average_precision"] = probabilities.average_precision(dev.labels, dev.probabilities[:, 1])
    metrics["brier"] = probabilities.brier(dev.labels, dev.probabilities[:, 1])
    metrics["expected_calibration_error"] = probabilities.expected_calibration_error(dev)
    metrics["select_accuracy"] = float(classification.accuracy(classification.confusion(select)))
    metrics["majority_accuracy"] = classification.majority_accuracy(dev)
    metrics["threshold_select"] = probabilities.best_threshold(select.labels, select.probabilities[:, 1])
    metrics |= probabilities.scores_at(metrics["threshold_select"], dev.labels, dev.probabilities[:, 1])
    if (folder / "dev_swapped.csv").exists():
        metrics["order_flip_rate"] = classification.order_flip_rate(dev, read_predictions(folder / "dev_swapped.csv"))
    others = sorted(folder.glob("dev_seed_*.csv"))
    if others:
        runs = [dev, *(read_predictions(path) for path in others)]
        metrics |= classification.seed_scores(runs, settings.confidence)
    metrics |= against_reported(row, metrics) | robustness(folder / "ap_h.csv", settings)
    write_slices(row, dev, settings.confidence)
    write_json(METRICS / f"paraphrase/{row}.json", metrics)


def write_slices(row: str, dev: Predictions, confidence: float) -> None:
    """Accuracy on slices of the dev pairs."""
    pairs = read_pairs(TEXTS)
    if [pair.id for pair in pairs] != dev.ids:
        raise InputError(f"{TEXTS}: other rows than in the dev predictions of {row}; run `dvc repro`")
    write_frame(
        classification.SLICES / f"{row}.csv", classification.slices(pairs, dev.predicted == dev.labels, confidence)
    )


def robustness(path: Path, settings: SeededEvaluation) -> dict[str, float]:
    """Scores on the held-out adversarial pairs by people; none where the data has no such pairs."""
    if not read_any_predictions(path).ids:
        return {}
    predictions = read_predictions(path)
    metrics = classification.scores(predictions, settings.bootstrap, settings.confidence, settings.seed)
    metrics["recall"] = classification.binary_scores(predictions)["recall"]
    return {f"ap_h_{name}": value for name, value in metrics.items()}
