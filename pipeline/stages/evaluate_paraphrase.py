"""Score one paraphrase row or ensemble on dev.

    python -m pipeline.stages evaluate_paraphrase baseline --seed 11711 --bootstrap 2000 --confidence 0.95

Reads the row's predictions and the dev texts; writes paraphrase/<row> under metrics/ and plots/slices/.
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.tasks import Evaluation, ensembles, evaluation_arguments
from pipeline.errors import InputError
from pipeline.evaluation import classification, precision_recall
from pipeline.evaluation.calibration import brier, expected_calibration_error
from pipeline.evaluation.predictions import ENSEMBLES, Predictions, read_predictions
from pipeline.evaluation.predictions import PARAPHRASE as PREDICTIONS
from pipeline.evaluation.reported import PARAPHRASE
from pipeline.evaluation.slices import Slice, slices
from pipeline.files import read_csv, write_csv, write_json
from pipeline.text.prepared import PREPARED, read_pairs

TEXTS = PREPARED / "paraphrase/dev.csv"
SLICES = Path("plots/slices/paraphrase")


def main(arguments: Sequence[str]) -> None:
    """Write the scores and tables of one row."""
    (row,), settings, seed = evaluation_arguments(arguments, "row")
    folder = (ENSEMBLES if row in ensembles() else PREDICTIONS) / row
    dev, select = read_predictions(folder / "dev.csv"), read_predictions(folder / "select.csv")
    if dev.probabilities.shape[1] != 2:
        raise InputError(f"{folder / 'dev.csv'}: expected two classes, got {dev.probabilities.shape[1]}")
    metrics = classification.scores(dev, settings.bootstrap, settings.confidence, seed)
    metrics |= classification.binary_scores(dev)
    metrics["average_precision"] = precision_recall.average_precision(dev.labels, dev.probabilities[:, 1])
    metrics["brier"] = brier(dev.labels, dev.probabilities[:, 1])
    metrics["expected_calibration_error"] = expected_calibration_error(dev)
    metrics["select_accuracy"] = float(classification.accuracy(classification.confusion(select)))
    metrics["majority_accuracy"] = classification.majority_accuracy(dev)
    metrics |= threshold_scores(select, dev)
    if (folder / "dev_swapped.csv").exists():
        metrics["order_flip_rate"] = classification.order_flip_rate(dev, read_predictions(folder / "dev_swapped.csv"))
    others = sorted(folder.glob("dev_seed_*.csv"))
    if others:
        runs = [dev, *(read_predictions(path) for path in others)]
        metrics |= classification.seed_scores(runs, settings.confidence)
    metrics |= against_report(row, metrics) | robustness(folder / "ap_h.csv", settings, seed)
    write_slices(row, dev, settings.confidence)
    write_json(Path("metrics/paraphrase") / f"{row}.json", metrics)


def threshold_scores(select: Predictions, dev: Predictions) -> dict[str, float]:
    """The threshold that is right most often on select, and how right it is on dev."""
    threshold = precision_recall.best_threshold(select.labels, select.probabilities[:, 1])
    scores = precision_recall.scores_at(threshold, dev.labels, dev.probabilities[:, 1])
    return {"threshold_select": threshold, **scores}


def write_slices(row: str, dev: Predictions, confidence: float) -> None:
    """Accuracy on slices of the dev pairs."""
    pairs = read_pairs(TEXTS)
    if [pair.id for pair in pairs] != dev.ids:
        raise InputError(f"{TEXTS}: other rows than in the dev predictions of {row}; run `dvc repro`")
    parts = slices(pairs, dev.predicted == dev.labels, confidence)
    write_csv(SLICES / f"{row}.csv", Slice._fields, parts)


def robustness(path: Path, settings: Evaluation, seed: int) -> dict[str, float]:
    """Scores on the held-out adversarial pairs by people; none where the data has no such pairs."""
    if not read_csv(path, ["id"]):
        return {}
    predictions = read_predictions(path)
    metrics = classification.scores(predictions, settings.bootstrap, settings.confidence, seed)
    metrics["recall"] = classification.binary_scores(predictions)["recall"]
    return {f"ap_h_{name}": value for name, value in metrics.items()}


def against_report(row: str, metrics: dict[str, float]) -> dict[str, float]:
    """The reported figures of this row and how far ours are above them; empty where nothing was reported."""
    figures = {key: value for key, value in PARAPHRASE[row]._asdict().items() if value} if row in PARAPHRASE else {}
    reported = {f"reported_{key}": value for key, value in figures.items()}
    return reported | {f"delta_{key}": metrics[key] - value for key, value in figures.items()}
