"""Score one sentiment row on dev: predictions/sentiment/<row> -> metrics/sentiment/<row>.json.

python -m pipeline.stages evaluate_sentiment sst_full --seed 11711 --bootstrap 2000 --confidence 0.95
"""

from pipeline.config.tasks import evaluation_arguments
from pipeline.evaluation.classification import further_scores, scores
from pipeline.evaluation.predictions import METRICS, SENTIMENT, read_predictions
from pipeline.evaluation.reported import against_reported
from pipeline.files import write_json


def main(*arguments: str) -> None:
    (row,), settings = evaluation_arguments(arguments, "row")
    dev, select = [read_predictions(SENTIMENT / row / f"{split}.csv") for split in ("dev", "select")]
    metrics = scores(dev, settings.bootstrap, settings.confidence, settings.seed) | further_scores(dev, select)
    write_json(METRICS / f"sentiment/{row}.json", metrics | against_reported("sentiment", row, metrics))
