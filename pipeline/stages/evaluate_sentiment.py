"""Score one sentiment row or ensemble on dev: its predictions -> metrics/sentiment/<row>.json.

python -m pipeline.stages evaluate_sentiment sst_full --seed 11711 --bootstrap 2000 --confidence 0.95
"""

from pipeline.config.params import load_params
from pipeline.config.tasks import evaluation_arguments
from pipeline.evaluation.classification import further_scores, scores, seed_scores
from pipeline.evaluation.predictions import METRICS, folder_of, read_predictions
from pipeline.evaluation.reported import against_reported
from pipeline.files import write_json


def main(*arguments: str) -> None:
    (row,), settings = evaluation_arguments(arguments, "row")
    folder = folder_of("sentiment", row, load_params().sentiment.ensembles)
    dev, select = [read_predictions(folder / f"{split}.csv") for split in ("dev", "select")]
    metrics = scores(dev, settings.bootstrap, settings.confidence, settings.seed) | further_scores(dev, select)
    if seeds := [read_predictions(path) for path in sorted(folder.glob("seed_*/dev.csv"))]:
        metrics |= seed_scores([dev, *seeds], settings.confidence)
    write_json(METRICS / f"sentiment/{row}.json", metrics | against_reported("sentiment", row, metrics))
