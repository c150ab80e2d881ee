"""The tables behind `dvc plots`, one a figure: rows of params.yaml are rows here, so dvc.yaml need not name them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.evaluation.classification import confusion, reliability
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


def write(folder: Path, results: Results, predictions: Mapping[str, Rows], augmented: Augmentation) -> None:
    """Write all tables to `folder`; `predictions` holds the dev predictions by task and row."""
    pairs = predictions["paraphrase"]
    corpora = results.sentiment.rows.set_index("name")["group"].map(CORPORA)
    recall = {row: precision_recall(dev, POINTS) for row, dev in pairs.items()}
    bins = {row: reliability(dev, results.confidence) for row, dev in pairs.items()}
    found = {
        **_curve_tables(results),
        **_forests(results),
        "confusion_sentiment": _confusion(predictions["sentiment"], corpora),
        "confusion_paraphrase": _confusion(pairs, dict.fromkeys(pairs, "paraphrase")),
        "precision_recall": pd.concat(recall, names=["row"]).reset_index("row"),
        "reliability": pd.concat(bins, names=["row"]).reset_index("row"),
        "funnels": funnels(augmented),
    }
    with new_folder(folder) as scratch:
        for name, table in found.items():
            write_frame(scratch / f"{name}.csv", table)


def _curve_tables(results: Results) -> dict[str, pd.DataFrame]:
    params, generator = results.params, dict(curves_of("generator", ""))
    stages = rows_of(params, "paraphrase", "first_stages")
    first = {f"first stage {row}": curves_of("first_stage", row) for row in stages}
    if (likelihood := generator.get("select_log_likelihood")) is not None:  # both are nats per token
        generator["select_loss"] = likelihood.assign(value=-likelihood["value"])
    before = {"backbone": curves_of("backbone", ""), "generator": generator}
    tables = {"loss_before": curve_table(before | first, LOSSES)}
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


def _forests(results: Results) -> dict[str, pd.DataFrame]:
    datasets = CORPORA | {"Quora Question Pairs": "paraphrase"}
    majority = [[title, name, "floor", results.data.get(corpus, {}).get("dev", {}).get(key)]
                for title, corpus in datasets.items() for key, name in FLOOR_NAMES.items()]  # fmt: skip
    poems = "Whole poems, mean over draws"
    tails = [[poems, f"floor: prompt and {name}", "floor", results.floors.get(f"{key}_chrf")]
             for key, name in FLOORS.items()]  # fmt: skip
    keys = {"ap_h_accuracy": "value", "ap_h_accuracy_low": "low", "ap_h_accuracy_high": "high", "none": "reported"}
    ap_h = results.paraphrase.rows.reindex(columns=["name", "group", *keys]).rename(columns=keys)
    accuracies = pd.concat([results.sentiment.rows, results.paraphrase.rows])
    return {
        "forest_accuracy": _forest(accuracies, "Quora Question Pairs", majority),
        "forest_ap_h": _forest(ap_h, "Adversarial pairs by people (AP_H)", []),
        "forest_chrf": _forest(results.sonnets.rows, poems, tails),
    }


def _forest(rows: pd.DataFrame, dataset: str, floors: list[list[Any]]) -> pd.DataFrame:
    """Best row first, then floors, without those that have no value; `dataset` is for rows without a group."""
    found = ranked(rows).rename(columns={"name": "row"})
    found = found.assign(dataset=found["group"].replace("", dataset), kind="row")[FOREST]
    marks = pd.concat([found, pd.DataFrame(floors, columns=FOREST[:4]).astype({"value": float})])
    return marks.dropna(subset="value")


def _confusion(predictions: Rows, corpora: Mapping[str, str] | pd.Series) -> pd.DataFrame:
    """`share` is of the actual class."""
    parts = {}
    for row, dev in predictions.items():
        actual, predicted = (pd.Index(SHORT_NAMES[corpora[row]], name=name) for name in ("actual", "predicted"))
        counts = pd.DataFrame(confusion(dev), actual, predicted)
        shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
        parts[row] = pd.concat({"count": counts.stack(), "share": shares.stack()}, axis=1).reset_index()
    return pd.concat(parts, names=["row"]).reset_index("row")
