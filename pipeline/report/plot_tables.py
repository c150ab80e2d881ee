"""The tables behind `dvc plots`, one a figure: rows of params.yaml are rows here, so dvc.yaml need not name them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from pipeline.evaluation.classification import RELIABILITY_COLUMNS, confusion, reliability
from pipeline.files import new_folder, write_frame
from pipeline.report.augmentation import Augmentation, funnels
from pipeline.report.figures import precision_recall
from pipeline.report.page import SHORT_NAMES, Rows
from pipeline.report.results import CORPORA, LOSSES, SCORES, Curves, Results, curves_of, ranked, rows_of, thinned
from pipeline.report.tables import FLOORS

POINTS = 40  # of a curve: as many as a small panel can show, and the tables are in git
FLOOR_NAMES = {"majority": "floor: majority class", "word_overlap": "floor: word overlap"}
DRAWN = {*LOSSES, *SCORES, "learning_rate", "grad_norm", "select_log_likelihood"}  # the others are terms of a loss
FOREST = ["dataset", "row", "kind", "value", "low", "high", "reported"]
QQP, AP_H, POEMS = "Quora Question Pairs", "Adversarial pairs by people (AP_H)", "Whole poems, mean over draws"


def write(folder: Path, results: Results, predictions: Mapping[str, Rows], augmented: Augmentation) -> None:
    """Write all tables to `folder`; `predictions` holds the dev predictions by task and row."""
    pairs = predictions["paraphrase"]
    corpora = results.sentiment.rows.set_index("name")["group"].map(CORPORA)
    recall = {row: precision_recall(dev, POINTS) for row, dev in pairs.items()}
    bins = {row: reliability(dev, results.confidence) for row, dev in pairs.items()}
    found = {
        **_curve_tables(results),
        "forest_accuracy": _accuracies(results),
        "forest_ap_h": _ap_h(results.paraphrase.rows),
        "forest_chrf": _chrf(results),
        "confusion_sentiment": _confusion(predictions["sentiment"], corpora),
        "confusion_paraphrase": _confusion(pairs, dict.fromkeys(pairs, "paraphrase")),
        "precision_recall": _stacked(recall, "recall", "precision", "threshold"),
        "reliability": _stacked(bins, *RELIABILITY_COLUMNS),
        "funnels": funnels(augmented),
    }
    with new_folder(folder) as scratch:
        for name, table in found.items():
            write_frame(scratch / f"{name}.csv", table)


def _stacked(tables: Mapping[str, pd.DataFrame], *columns: str) -> pd.DataFrame:
    """One table of several, with the column `row` in front of `columns`."""
    empty = pd.DataFrame(columns=["row", *columns])
    return pd.concat([table.assign(row=row) for row, table in tables.items()])[empty.columns] if tables else empty


def _curve_tables(results: Results) -> dict[str, pd.DataFrame]:
    params, stages = results.params, rows_of(results.params, "paraphrase", "first_stages")
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
        if task == "paraphrase":  # whatever an objective reports beside its loss, one panel each
            terms = {f"{row}: {name}": {"train": curve} for row, curves in (first | rows).items()
                     for name, curve in curves.items() if name not in DRAWN}  # fmt: skip
            tables["terms"] = curve_table(terms, ["train"])
    return tables


def curve_table(rows: Mapping[str, Curves], names: Iterable[str]) -> pd.DataFrame:
    """Columns row, split, step, value; `split` is train or select, the first word of a curve's name."""
    columns = ["row", "split", "step", "value"]
    parts = [thinned(curves[name], POINTS).assign(row=row, split=name.split("_")[0])
             for row, curves in rows.items() for name in names if name in curves]  # fmt: skip
    return pd.concat(parts)[columns].astype({"step": int}) if parts else pd.DataFrame(columns=columns)


def _forest(rows: pd.DataFrame, dataset: str, floors: Iterable[list[object]] = ()) -> pd.DataFrame:
    """Best row first, then floors (FOREST's first four); `dataset` is for rows that have no group of their own."""
    found = ranked(rows).rename(columns={"name": "row"})
    found = found.assign(dataset=found["group"].replace("", dataset), kind="row")[FOREST]
    return pd.concat([found, pd.DataFrame(floors, columns=FOREST[:4]).astype({"value": float})])


def _accuracies(results: Results) -> pd.DataFrame:
    rows = pd.concat([results.sentiment.rows, results.paraphrase.rows])
    datasets = {
        **{title: corpus for title, corpus in CORPORA.items() if title in set(rows["group"])},
        QQP: "paraphrase",
    }
    dev = {title: results.data.get(corpus, {}).get("dev", {}) for title, corpus in datasets.items()}
    floors = [[title, name, "floor", own[key]] for title, own in dev.items() for key, name in FLOOR_NAMES.items()
              if key in own]  # fmt: skip
    return _forest(rows, QQP, floors)


def _ap_h(rows: pd.DataFrame) -> pd.DataFrame:
    keys = {"ap_h_accuracy": "value", "ap_h_accuracy_low": "low", "ap_h_accuracy_high": "high", "none": "reported"}
    scored = rows.reindex(columns=["name", "group", *keys]).rename(columns=keys)
    return _forest(scored[scored["value"].notna()], AP_H)


def _chrf(results: Results) -> pd.DataFrame:
    known = {f"floor: prompt and {name}": results.floor(key) for key, name in FLOORS.items()}
    floors = [[POEMS, name, "floor", value] for name, value in known.items() if value is not None]
    return _forest(results.sonnets.rows, POEMS, floors)


def _confusion(predictions: Rows, corpora: Mapping[str, str] | pd.Series) -> pd.DataFrame:
    """`share` is of the actual class."""
    parts = {}
    for row, dev in predictions.items():
        labels = SHORT_NAMES[corpora[row]]
        table = pd.DataFrame(confusion(dev), pd.Index(labels, name="actual"), pd.Index(labels, name="predicted"))
        counts = table.stack().rename("count").reset_index()
        whole = counts.groupby("actual")["count"].transform("sum").clip(lower=1)
        parts[row] = counts.assign(share=counts["count"] / whole)
    return _stacked(parts, "actual", "predicted", "count", "share")
