"""The metrics of every row that params.yaml names, in its order; files of rows that were removed are never read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation.predictions import METRICS
from pipeline.files import read_frame, read_json

DATASETS = {"sst": "SST-5", "cfimdb": "CFIMDB"}
CORPORA = {title: corpus for corpus, title in DATASETS.items()}
LOSSES = ("train_loss", "select_loss")
SCORES = ("select_accuracy", "select_chrf", "reported_accuracy")
HEADLINE = ["name", "group", "value", "low", "high", "reported"]
Curves = Mapping[str, pd.DataFrame]  # columns step and value, by the curve's name


@dataclass(frozen=True)
class Task:
    """A results table: `measure` names the figure, `source` says who reported the other one.

    rows: the columns HEADLINE (figure, ends of its interval, reported figure), then all metrics; NaN if missing.
    """

    key: str
    title: str
    measure: str
    source: str
    digits: int
    rows: pd.DataFrame


@dataclass(frozen=True)
class Results:
    """All tables, the floors of the sonnets (means over draws) and, where `prepare` wrote them, the data's counts."""

    params: Mapping[str, Any]
    confidence: float
    sentiment: Task
    paraphrase: Task
    sonnets: Task
    floors: Mapping[str, Any]
    data: Mapping[str, Any]


def load_results(params: Mapping[str, Any]) -> Results:
    """Read the metrics of the rows of `params`, the content of params.yaml."""
    block, data = params["sentiment"], METRICS / "data.json"
    own = {row: block["defaults"] | (block["methods"][row] or {}) for row in rows_of(params, "sentiment")}
    datasets = {row: DATASETS[settings["dataset"]] for row, settings in own.items()}
    for name, ensemble in block["ensembles"].items():  # of rows of one dataset
        datasets[name] = datasets[ensemble["members"][0].partition("@")[0]]
    pairs = dict.fromkeys(rows_of(params, "paraphrase") + rows_of(params, "paraphrase", "ensembles"), "")
    systems = dict.fromkeys(rows_of(params, "sonnet", "systems") + rows_of(params, "sonnet", "ensembles"), "")
    floors = read_json(METRICS / "sonnets/floors.json")
    sentiment = _rows("sentiment", datasets, "accuracy", "handout_accuracy")
    paraphrase = _rows("paraphrase", pairs, "accuracy", "reported_accuracy")
    return Results(
        params,
        params["evaluation"]["confidence"],
        Task("sentiment", "Sentiment", "Accuracy", "Handout", 4, sentiment),
        Task("paraphrase", "Paraphrase detection", "Accuracy", "Reported", 4, paraphrase),
        Task("sonnets", "Sonnets", "chrF", "Reported", 2, _rows("sonnets", systems, "chrf_mean", "reported_chrf")),
        {re.sub(r"(chrf|completion)_mean$", r"\1", key): value for key, value in floors.items()},
        read_json(data) if data.exists() else {},
    )


def rows_of(params: Mapping[str, Any], block: str, table: str = "methods") -> list[str]:
    """The row names of a block of params.yaml."""
    rows = params[block].get(table) if isinstance(params[block], Mapping) else None
    if not isinstance(rows, Mapping):
        raise InputError(f"params.yaml: {block}.{table}: expected a mapping of rows")
    return [str(name) for name in rows]


def _rows(task: str, groups: Mapping[str, str], key: str, reported: str) -> pd.DataFrame:
    """`groups` has the dataset of every row, `key` and `reported` are the metrics of the headline."""
    lines, ends = [], [f"{key.removesuffix('_mean')}_{end}" for end in ("low", "high")]
    for name, group in groups.items():
        path = METRICS / task / f"{name}.json"
        metrics = read_json(path)
        if not isinstance(metrics.get(key), int | float):
            raise InputError(f"{path}: {key} is missing; delete it and run `dvc repro`")
        values = [name, group, *map(metrics.get, (key, *ends, reported))]
        lines.append(dict(zip(HEADLINE, values, strict=True)) | metrics)
    return pd.DataFrame(lines, columns=None if lines else HEADLINE).astype(dict.fromkeys(HEADLINE[2:], float))


def ranked(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows from the highest figure to the lowest, datasets kept together."""
    groups = rows.assign(place=pd.factorize(rows["group"])[0])
    return groups.sort_values(["place", "value"], ascending=[True, False]).drop(columns="place")


def curves_of(task: str, row: str) -> Curves:
    """The training curves of a row by name: train_loss, select_loss, ..."""
    found = {}
    for path in sorted(Path("plots/curves", task, row).glob("*.tsv")):
        points = read_frame(path, ["step", path.stem], sep="\t", dtype=float, na_filter=False)
        found[path.stem] = thinned(points.rename(columns={path.stem: "value"})[["step", "value"]], 200)
    return found


def thinned(points: pd.DataFrame, most: int) -> pd.DataFrame:
    """Every k-th point and the last, about `most` of them."""
    stride, last = -(-len(points) // most), len(points) - 1
    return points[[place % stride == 0 or place == last for place in range(len(points))]]
