"""The metrics of every row that params.yaml names, in its order; files of rows that were removed are never read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config.base import check, load_row
from pipeline.config.tasks import Evaluation, Sentiment
from pipeline.errors import InputError
from pipeline.files import read_json

METRICS = Path("metrics")
DATASETS = {"sst": "SST-5", "cfimdb": "CFIMDB"}


@dataclass(frozen=True)
class Row:
    """One row: its figure, the ends of the figure's interval and the reported figure (None where there is none)."""

    name: str
    group: str
    value: float
    low: float | None
    high: float | None
    reported: float | None
    metrics: Mapping[str, Any]

    @property
    def difference(self) -> float | None:
        """Ours minus reported."""
        return None if self.reported is None else self.value - self.reported


@dataclass(frozen=True)
class Task:
    """A results table; `measure` names the figure, `source` says who reported the other one."""

    key: str
    title: str
    measure: str
    source: str
    digits: int
    rows: list[Row]


@dataclass(frozen=True)
class Results:
    """All tables, the floors of the sonnet table and, where `prepare` wrote them, the counts of the data."""

    params: Mapping[str, Any]
    confidence: float
    sentiment: Task
    paraphrase: Task
    sonnets: Task
    floors: Mapping[str, Any]
    data: Mapping[str, Any]

    @property
    def tasks(self) -> list[Task]:
        """The three tasks in the order of the report."""
        return [self.sentiment, self.paraphrase, self.sonnets]


def load_results(params: Mapping[str, Any]) -> Results:
    """Read the metrics of the rows of `params`, the content of params.yaml."""
    confidence = check(params["evaluation"], Evaluation, "evaluation").confidence
    datasets = {
        row: DATASETS[load_row("sentiment", "methods", row, Sentiment).dataset] for row in rows_of(params, "sentiment")
    }
    accuracy = ("accuracy", "accuracy_low", "accuracy_high")
    sentiment = [_row("sentiment", row, group, *accuracy, "handout_accuracy") for row, group in datasets.items()]
    pair_rows = [*rows_of(params, "paraphrase"), *rows_of(params, "paraphrase", "ensembles")]
    paraphrase = [_row("paraphrase", row, "", *accuracy, "reported_accuracy") for row in pair_rows]
    chrf = ("chrf_mean", "chrf_low", "chrf_high", "reported_chrf")
    sonnets = [_row("sonnets", row, "", *chrf) for row in rows_of(params, "sonnet", "systems")]
    data = METRICS / "data.json"
    return Results(
        params,
        confidence,
        Task("sentiment", "Sentiment", "Accuracy", "Handout", 4, sentiment),
        Task("paraphrase", "Paraphrase detection", "Accuracy", "Reported", 4, paraphrase),
        Task("sonnets", "Sonnets", "chrF", "Reported", 2, sonnets),
        read_json(METRICS / "sonnets/floors.json"),
        read_json(data) if data.exists() else {},
    )


def rows_of(params: Mapping[str, Any], block: str, table: str = "methods") -> list[str]:
    """The row names of a block of params.yaml."""
    rows = params[block].get(table) if isinstance(params[block], Mapping) else None
    if not isinstance(rows, Mapping):
        raise InputError(f"params.yaml: {block}.{table}: expected a mapping of rows")
    return [str(name) for name in rows]


def _row(task: str, name: str, group: str, value: str, low: str, high: str, reported: str) -> Row:
    path = METRICS / task / f"{name}.json"
    metrics = read_json(path)
    if not isinstance(metrics, Mapping) or not isinstance(metrics.get(value), int | float):
        raise InputError(f"{path}: {value} is missing; delete it and run `dvc repro`")
    return Row(name, group, metrics[value], metrics.get(low), metrics.get(high), metrics.get(reported), metrics)
