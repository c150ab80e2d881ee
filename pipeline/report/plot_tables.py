"""The tables behind `dvc plots`, one a figure: rows of params.yaml are rows here, so dvc.yaml need not name them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline.evaluation.classification import confusion, reliability
from pipeline.evaluation.predictions import Predictions
from pipeline.files import new_folder, write_frame
from pipeline.report.augmentation import Augmentation, funnels
from pipeline.report.figures import precision_recall
from pipeline.report.page import SHORT_NAMES
from pipeline.report.results import DATASETS, LOSSES, SCORES, Curves, Results, curves_of, ranked, rows_of, thinned
from pipeline.report.tables import FLOORS

POINTS = 40  # of a curve: as many as a small panel can show, and the tables are in git
FLOOR_NAMES = {"majority": "floor: majority class", "word_overlap": "floor: word overlap"}
DRAWN = {*LOSSES, *SCORES, "learning_rate", "grad_norm", "select_log_likelihood"}  # the others are terms of a loss
CURVE = ["recall", "precision", "threshold"]
RELIABILITY = ["confidence", "accuracy", "accuracy_low", "accuracy_high", "rows"]
FOREST = ["dataset", "row", "kind", "value", "low", "high", "reported"]


def write(
    folder: Path, results: Results, predictions: Mapping[str, Mapping[str, Predictions]], augmented: Augmentation
) -> None:
    """Write all tables to `folder`; `predictions` holds the dev predictions by task and row."""
    pairs = predictions["paraphrase"]
    keys = {title: key for key, title in DATASETS.items()}
    corpora = {row.name: keys[row.group] for row in results.sentiment.rows[["name", "group"]].itertuples(index=False)}
    found = {
        **_curve_tables(results),
        "forest_accuracy": _accuracies(results),
        "forest_ap_h": _ap_h(results.paraphrase.rows),
        "forest_chrf": _chrf(results),
        "confusion_sentiment": _confusion(predictions["sentiment"], corpora),
        "confusion_paraphrase": _confusion(pairs, dict.fromkeys(pairs, "paraphrase")),
        "precision_recall": _stacked({row: precision_recall(dev, POINTS) for row, dev in pairs.items()}, CURVE),
        "reliability": _stacked({row: reliability(dev, results.confidence) for row, dev in pairs.items()}, RELIABILITY),
        "funnels": funnels(augmented),
    }
    with new_folder(folder) as scratch:
        for name, table in found.items():
            write_frame(scratch / f"{name}.csv", table)


def _stacked(tables: Mapping[str, pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    """One table of several, with the column `row` in front of `columns`."""
    empty = pd.DataFrame(columns=["row", *columns])
    return pd.concat([table.assign(row=row) for row, table in tables.items()])[empty.columns] if tables else empty


def _curve_tables(results: Results) -> dict[str, pd.DataFrame]:
    params = results.params
    stages = rows_of(params, "paraphrase", "first_stages")
    first = {f"first stage {row}": curves_of("first_stage", row) for row in stages}
    generator = dict(curves_of("generator", ""))
    if "select_log_likelihood" in generator:  # both are nats per token
        likelihood = generator["select_log_likelihood"]
        generator["select_loss"] = likelihood.assign(value=-likelihood["value"])
    before = {"backbone": curves_of("backbone", ""), "generator": generator, **first}
    tables = {"loss_before": curve_table(before, LOSSES)}
    for task in ("sentiment", "paraphrase", "sonnet"):
        rows = {row: curves_of(task, row) for row in rows_of(params, task)}
        tables |= {f"loss_{task}": curve_table(rows, LOSSES), f"score_{task}": curve_table(rows, SCORES)}
        if task == "paraphrase":
            # Whatever an objective reports beside its loss, one panel each.
            own = {**first, **rows}.items()
            terms = {f"{row}: {name}": {"train": curves[name]} for row, curves in own for name in curves
                     if name not in DRAWN}  # fmt: skip
            tables["terms"] = curve_table(terms, ["train"])
    return tables


def curve_table(rows: Mapping[str, Curves], names: Sequence[str]) -> pd.DataFrame:
    """Columns row, split, step, value; `split` is train or select, the first word of a curve's name."""
    parts = [
        thinned(curves[name], POINTS).assign(row=row, split=name.split("_")[0])
        for row, curves in rows.items()
        for name in names
        if name in curves
    ]
    columns = ["row", "split", "step", "value"]
    return pd.concat(parts)[columns].astype({"step": int}) if parts else pd.DataFrame(columns=columns)


def _accuracies(results: Results) -> pd.DataFrame:
    keys = {title: key for key, title in DATASETS.items()}
    rows = [_forest(results.sentiment.rows, ""), _forest(results.paraphrase.rows, "Quora Question Pairs")]
    found, lines = pd.concat(rows), []
    for dataset in found["dataset"].unique():
        dev = results.data.get(keys.get(dataset, "paraphrase"), {}).get("dev", {})
        lines += [[dataset, name, "floor", dev[key]] for key, name in FLOOR_NAMES.items() if key in dev]
    return pd.concat([found, pd.DataFrame(lines, columns=FOREST[:4])])


def _ap_h(rows: pd.DataFrame) -> pd.DataFrame:
    keys = {"ap_h_accuracy": "value", "ap_h_accuracy_low": "low", "ap_h_accuracy_high": "high"}
    scored = rows.reindex(columns=["name", "group", *keys, "none"]).rename(columns={**keys, "none": "reported"})
    return _forest(scored[scored["value"].notna()], "Adversarial pairs by people (AP_H)")


def _chrf(results: Results) -> pd.DataFrame:
    title = "Whole poems, mean over draws"
    known = {f"floor: prompt and {name}": results.floor(key) for key, name in FLOORS.items()}
    lines = [[title, name, "floor", value] for name, value in known.items() if value is not None]
    return pd.concat([_forest(results.sonnets.rows, title), pd.DataFrame(lines, columns=FOREST[:4])])


def _forest(rows: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Best row first; `dataset` is for rows that have no group of their own."""
    found = ranked(rows).rename(columns={"name": "row"})
    return found.assign(dataset=found["group"].replace("", dataset), kind="row")[FOREST]


def _confusion(predictions: Mapping[str, Predictions], corpora: Mapping[str, str]) -> pd.DataFrame:
    """`share` is of the actual class."""
    parts = {}
    for row, dev in predictions.items():
        labels = SHORT_NAMES[corpora[row]]
        table = pd.DataFrame(confusion(dev), pd.Index(labels, name="actual"), pd.Index(labels, name="predicted"))
        counts = table.stack().rename("count").reset_index()
        whole = counts.groupby("actual")["count"].transform("sum").clip(lower=1)
        parts[row] = counts.assign(share=counts["count"] / whole)
    return _stacked(parts, ["actual", "predicted", "count", "share"])
