"""Score one sentiment row on dev: predictions/sentiment/<row> -> metrics/sentiment/<row>.json.

python -m pipeline.stages evaluate_sentiment sst_full --seed 11711 --bootstrap 2000 --confidence 0.95
"""

from collections.abc import Sequence

from pipeline.config.tasks import evaluation_arguments
from pipeline.evaluation import classification
from pipeline.evaluation.predictions import METRICS, SENTIMENT, read_predictions
from pipeline.evaluation.probabilities import expected_calibration_error
from pipeline.evaluation.reported import SENTIMENT as HANDOUT
from pipeline.files import write_json


def main(arguments: Sequence[str]) -> None:
    """Write the scores of one row."""
    (row,), settings = evaluation_arguments(arguments, "row")
    folder = SENTIMENT / row
    dev, select = read_predictions(folder / "dev.csv"), read_predictions(folder / "select.csv")
    metrics = classification.scores(dev, settings.bootstrap, settings.confidence, settings.seed)
    metrics["expected_calibration_error"] = expected_calibration_error(dev)
    metrics["select_accuracy"] = float(classification.accuracy(classification.confusion(select)))
    metrics["majority_accuracy"] = classification.majority_accuracy(dev)
    if row in HANDOUT:
        metrics |= {"handout_accuracy": HANDOUT[row], "delta_accuracy": metrics["accuracy"] - HANDOUT[row]}
    write_json(METRICS / f"sentiment/{row}.json", metrics)
