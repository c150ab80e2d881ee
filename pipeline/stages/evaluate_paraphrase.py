"""Score one paraphrase row or ensemble on dev.

    python -m pipeline.stages evaluate_paraphrase baseline --seed 11711 --bootstrap 2000 --confidence 0.95

Reads the row's predictions; writes metrics/paraphrase/<row>.json.
"""

from pipeline.config.params import load_params
from pipeline.config.tasks import evaluation_arguments
from pipeline.errors import InputError
from pipeline.evaluation import classification
from pipeline.evaluation.predictions import METRICS, folder_of, read_any_predictions, read_predictions
from pipeline.evaluation.reported import against_reported
from pipeline.files import write_json


def main(*arguments: str) -> None:
    (row,), settings = evaluation_arguments(arguments, "row")
    folder = folder_of("paraphrase", row, load_params().paraphrase.ensembles)
    dev, select = read_predictions(folder / "dev.csv"), read_predictions(folder / "select.csv")
    if dev.probabilities.shape[1] != 2:
        raise InputError(f"{folder / 'dev.csv'}: expected two classes, got {dev.probabilities.shape[1]}")
    interval = settings.bootstrap, settings.confidence, settings.seed
    metrics = classification.scores(dev, *interval) | classification.binary_scores(dev)
    metrics |= classification.further_scores(dev, select)
    threshold = classification.best_threshold(select.labels, select.probabilities[:, 1])
    metrics["threshold_select"] = threshold
    metrics |= classification.scores_at(threshold, dev.labels, dev.probabilities[:, 1])
    if (folder / "dev_swapped.csv").exists():
        metrics["order_flip_rate"] = classification.order_flip_rate(dev, read_predictions(folder / "dev_swapped.csv"))
    if seeds := [read_predictions(path) for path in sorted(folder.glob("seed_*/dev.csv"))]:
        metrics |= classification.seed_scores([dev, *seeds], settings.confidence)
    metrics |= against_reported("paraphrase", row, metrics)
    if read_any_predictions(folder / "ap_h.csv").ids:  # else the data has no adversarial pairs by people
        ap_h = read_predictions(folder / "ap_h.csv")
        held_out = classification.scores(ap_h, *interval) | {"recall": classification.binary_scores(ap_h)["recall"]}
        metrics |= {f"ap_h_{name}": value for name, value in held_out.items()}
    write_json(METRICS / f"paraphrase/{row}.json", metrics)
