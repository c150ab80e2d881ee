"""Score one paraphrase row on dev: predictions/paraphrase/<row> -> metrics/paraphrase/<row>.json, plots/confusion.

python -m pipeline.stages.evaluate_paraphrase baseline
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.base import load_block, load_seed
from pipeline.config.evaluation import Evaluation
from pipeline.errors import InputError, one_argument, stage_main
from pipeline.evaluation import classification
from pipeline.evaluation.reported import PARAPHRASE
from pipeline.files import read_csv, write_csv, write_json


def main(arguments: Sequence[str]) -> None:
    """Write the scores and the confusion table of the row named by the only argument."""
    row = one_argument(arguments, "row")
    settings, seed = load_block("evaluation", Evaluation), load_seed()
    folder = Path("predictions/paraphrase") / row
    dev = classification.read_predictions(folder / "dev.csv")
    select = classification.read_predictions(folder / "select.csv")
    if dev.probabilities.shape[1] != 2:
        raise InputError(f"{folder / 'dev.csv'}: expected two classes, got {dev.probabilities.shape[1]}")
    metrics = classification.scores(dev, settings.bootstrap, settings.confidence, seed)
    metrics |= classification.binary_scores(dev)
    metrics["expected_calibration_error"] = classification.expected_calibration_error(dev)
    metrics["select_accuracy"] = float(classification.accuracy(classification.confusion(select)))
    metrics["majority_accuracy"] = classification.majority_accuracy(dev)
    metrics |= against_report(row, metrics) | robustness(folder / "ap_h.csv", settings, seed)
    write_csv(Path("plots/confusion/paraphrase") / f"{row}.csv", *classification.confusion_table(dev))
    write_json(Path("metrics/paraphrase") / f"{row}.json", metrics)


def robustness(path: Path, settings: Evaluation, seed: int) -> dict[str, float]:
    """Scores on the held-out adversarial pairs by people; none where the data has no such pairs."""
    if not read_csv(path, ["id"]):
        return {}
    predictions = classification.read_predictions(path)
    metrics = classification.scores(predictions, settings.bootstrap, settings.confidence, seed)
    metrics["recall"] = classification.binary_scores(predictions)["recall"]
    return {f"ap_h_{name}": value for name, value in metrics.items()}


def against_report(row: str, metrics: dict[str, float]) -> dict[str, float]:
    """The reported figures of this row and how far ours are above them; empty where nothing was reported."""
    figures = {key: value for key, value in PARAPHRASE[row]._asdict().items() if value} if row in PARAPHRASE else {}
    reported = {f"reported_{key}": value for key, value in figures.items()}
    return reported | {f"delta_{key}": metrics[key] - value for key, value in figures.items()}


if __name__ == "__main__":
    stage_main(main)
