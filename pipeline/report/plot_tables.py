"""The tables behind `dvc plots`, one a figure: rows of params.yaml are rows here, so dvc.yaml need not name them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.evaluation.calibration import reliability
from pipeline.evaluation.classification import confusion
from pipeline.evaluation.precision_recall import curve, thinned
from pipeline.evaluation.predictions import Predictions
from pipeline.files import Scalar, new_folder, write_csv
from pipeline.report import evidence
from pipeline.report.augmentation import Augmentation, funnels
from pipeline.report.figures import LOSSES, SCORES, Points
from pipeline.report.page import SHORT_NAMES, ranked
from pipeline.report.results import DATASETS, Results, Row, rows_of
from pipeline.report.tables import FLOORS

POINTS = 40  # of a curve: as many as a small panel can show, and the tables are in git
FLOOR_NAMES = {"majority": "floor: majority class", "word_overlap": "floor: word overlap"}
DRAWN = {*LOSSES, *SCORES, "learning_rate", "grad_norm", "select_log_likelihood"}  # the others are terms of a loss
Curves = Mapping[str, Mapping[str, Points]]  # by row, then by name
Lines = list[list[Scalar]]
PlotTable = tuple[list[str], Lines]  # header, lines


def write(
    folder: Path, results: Results, predictions: Mapping[str, Mapping[str, Predictions]], augmented: Augmentation
) -> None:
    """Write all tables to `folder`; `predictions` holds the dev predictions by task and row."""
    pairs = predictions["paraphrase"]
    datasets = {row.name: row.group for row in results.sentiment.rows}
    found = {
        **_curve_tables(results),
        "forest_accuracy": _accuracies(results),
        "forest_ap_h": _ap_h(results.paraphrase.rows),
        "forest_chrf": _chrf(results),
        "confusion_sentiment": _confusion(predictions["sentiment"], datasets),
        "confusion_paraphrase": _confusion(pairs, {}),
        "precision_recall": _precision_recall(pairs),
        "reliability": _reliability(pairs, results.confidence),
        "funnels": _funnels(augmented),
    }
    with new_folder(folder) as scratch:
        for name, (header, lines) in found.items():
            write_csv(scratch / f"{name}.csv", header, lines)


def _curve_tables(results: Results) -> dict[str, PlotTable]:
    params = results.params
    rows = {
        task: {row: evidence.curves(task, row) for row in rows_of(params, task)}
        for task in ("sentiment", "paraphrase", "sonnet")
    }
    stages = rows_of(params, "paraphrase", "first_stages")
    first = {f"first stage {row}": evidence.curves("first_stage", row) for row in stages}
    generator = evidence.curves("generator", "")
    likelihood = generator.get("select_log_likelihood", [])
    generator["select_loss"] = [(step, -value) for step, value in likelihood]  # both are nats per token
    before = {"backbone": evidence.curves("backbone", ""), "generator": generator, **first}
    tables = {"loss_before": _curves(before, LOSSES), "terms": _terms({**first, **rows["paraphrase"]})}
    for task, curves in rows.items():
        tables[f"loss_{task}"] = _curves(curves, LOSSES)
        tables[f"score_{task}"] = _curves(curves, SCORES)
    return tables


def _curves(rows: Curves, names: Sequence[str]) -> PlotTable:
    """`split` is train or select, the first word of a curve's name."""
    lines: Lines = []
    for row, curves in rows.items():
        for name in names:
            lines += [[row, name.split("_")[0], int(step), value] for step, value in _thin(curves.get(name, []))]
    return ["row", "split", "step", "value"], lines


def _terms(rows: Curves) -> PlotTable:
    """Whatever an objective reports beside its loss, one panel each."""
    panels = {
        f"{row}: {name}": {"train": points}
        for row, curves in rows.items()
        for name, points in curves.items()
        if name not in DRAWN
    }
    return _curves(panels, ["train"])


def _thin(points: Points) -> list[tuple[float, float]]:
    """Every k-th point and the last."""
    stride = -(-len(points) // POINTS) or 1
    return [point for place, point in enumerate(points) if place % stride == 0 or place == len(points) - 1]


def _accuracies(results: Results) -> PlotTable:
    keys = {title: key for key, title in DATASETS.items()}
    header, lines = _forest(results.sentiment.rows, "")
    lines += _forest(results.paraphrase.rows, "Quora Question Pairs")[1]
    for dataset in dict.fromkeys(str(line[0]) for line in lines):
        dev = results.data.get(keys.get(dataset, "paraphrase"), {}).get("dev", {})
        lines += [[dataset, name, "floor", dev[key], *[None] * 3] for key, name in FLOOR_NAMES.items() if key in dev]
    return header, lines


def _ap_h(rows: Sequence[Row]) -> PlotTable:
    key = "ap_h_accuracy"
    scored = [
        Row(row.name, "", row.metrics[key], row.metrics[f"{key}_low"], row.metrics[f"{key}_high"], None, row.metrics)
        for row in rows
        if key in row.metrics
    ]
    return _forest(scored, "Adversarial pairs by people (AP_H)")


def _chrf(results: Results) -> PlotTable:
    title = "Whole poems, mean over draws"
    header, lines = _forest(results.sonnets.rows, title)
    for key, name in FLOORS.items():
        value = results.floors.get(f"{key}_chrf_mean", results.floors.get(f"{key}_chrf"))
        if value is not None:
            lines.append([title, f"floor: prompt and {name}", "floor", value, *[None] * 3])
    return header, lines


def _forest(rows: Sequence[Row], dataset: str) -> PlotTable:
    """Best row first; `dataset` is for rows that have no group of their own."""
    lines: Lines = [
        [row.group or dataset, row.name, "row", row.value, row.low, row.high, row.reported] for row in ranked(rows)
    ]
    return ["dataset", "row", "kind", "value", "low", "high", "reported"], lines


def _confusion(predictions: Mapping[str, Predictions], datasets: Mapping[str, str]) -> PlotTable:
    """`datasets` has a row's title in DATASETS, none for paraphrases; `share` is of the actual class."""
    keys = {title: key for key, title in DATASETS.items()}
    lines: Lines = []
    for row, dev in predictions.items():
        labels = SHORT_NAMES[keys[datasets[row]] if row in datasets else "paraphrase"]
        for actual, counts in zip(labels, confusion(dev).tolist(), strict=True):
            whole = max(sum(counts), 1)
            cells = zip(labels, counts, strict=True)
            lines += [[row, actual, predicted, count, count / whole] for predicted, count in cells]
    return ["row", "actual", "predicted", "count", "share"], lines


def _precision_recall(predictions: Mapping[str, Predictions]) -> PlotTable:
    lines: Lines = []
    for row, dev in predictions.items():
        threshold, precision, recall = curve(dev.labels, dev.probabilities[:, 1])
        kept = thinned(recall, POINTS)
        points = zip(recall[kept].tolist(), precision[kept].tolist(), threshold[kept].tolist(), strict=True)
        lines += [[row, *point] for point in points]
    return ["row", "recall", "precision", "threshold"], lines


def _reliability(predictions: Mapping[str, Predictions], level: float) -> PlotTable:
    lines: Lines = [
        [row, bin_.confidence, bin_.accuracy, bin_.accuracy_low, bin_.accuracy_high, bin_.rows]
        for row, dev in predictions.items()
        for bin_ in reliability(dev, level)
    ]
    return ["row", "confidence", "accuracy", "accuracy_low", "accuracy_high", "rows"], lines


def _funnels(augmented: Augmentation) -> PlotTable:
    """`place` numbers a funnel's steps from 0, all candidates."""
    lines: Lines = [
        [source, place, step, left]
        for source, steps in funnels(augmented).items()
        for place, (step, left) in enumerate(steps)
    ]
    return ["source", "place", "step", "left"], lines
