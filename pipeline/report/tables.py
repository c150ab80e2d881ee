"""The report's tables: each is a small specification of its columns; Markdown and the page show the same cells."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config.base import parse
from pipeline.errors import InputError
from pipeline.evaluation.classification import by_quantile, measures
from pipeline.evaluation.predictions import Predictions, folder_of
from pipeline.files import read_json
from pipeline.report.answers import SONNET_BASELINE
from pipeline.report.results import Results, Task, curves_of
from pipeline.text.prepared import PREPARED, read_pairs

NOTHING = "–"
MAJORITY = " (majority class)"  # behind the name of a row that is not above that floor by more than its interval
TABLES = parse(Path(__file__).with_suffix(".yaml"))  # the columns of each table by heading
FLOORS = TABLES["floor_names"]


@dataclass(frozen=True)
class Table:
    """A titled table of text cells; the first column names the row. Tables without rows are not shown."""

    title: str
    header: list[str]
    rows: list[list[str]]
    figures: bool = True  # right-aligned and sortable, but for the first column


def table(
    title: str, rows: pd.DataFrame | Iterable[Any], columns: str | Mapping[str, str], confidence: float = 0.0
) -> Table:
    """A line for each of some rows of metrics; `columns` are those of tables.yaml by name, or of its kind."""
    columns = TABLES[columns] if isinstance(columns, str) else columns
    header = [heading.format(f"{confidence * 100:g} % interval") for heading in columns]
    records = pd.DataFrame(rows).to_dict("records")
    return Table(title, header, [[_cell(row, *spec.split()) for spec in columns.values()] for row in records])


def _cell(row: Mapping[Any, Any], *spec: str) -> str:
    cells = [figure(row.get(key), spec[-1]) for key in spec[:-1]]
    return NOTHING if NOTHING in cells else " to ".join(cells)


def figure(value: Any, form: str = ".4f") -> str:  # noqa: ANN401 - a number, or text where form is "s"
    """A value in a format of tables.yaml, with a true minus sign, or a dash where there is none."""
    if value is None or value != value:
        return NOTHING
    if form == "p":
        return "< 0.0001" if value < 0.0001 else f"{value:.4f}"
    return str(value) if form == "s" else f"{value:{form}}".replace("-", "−")


def main_table(task: Task, confidence: float, further: bool = True) -> Table:
    """Row, our figure, its interval, the reported figure, the difference, and what was measured of `further` ones."""
    rows, form = task.rows.assign(difference=task.rows["value"] - task.rows["reported"]), f".{task.digits}f"
    if "majority_accuracy" in rows:
        rows["name"] += (rows["low"] <= rows["majority_accuracy"]).map({True: MAJORITY, False: ""})
    columns = {"Row": "name s", task.measure: f"value {form}", "{}": f"low high {form}"}
    columns |= {task.source: f"reported {form}", "Difference": f"difference +{form}"}
    measured = {name: spec for name, spec in TABLES[task.key].items() if len(_measured(rows, spec.split()[0]))}
    return table(task.title, rows, columns | measured if further else columns, confidence)


def _measured(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    return rows[rows[metric].notna()] if metric in rows else rows[:0]


def robustness_table(rows: pd.DataFrame, confidence: float) -> Table:
    """Accuracy on the held-out human adversarial pairs; no rows where the data has none."""
    rows = _measured(rows, "ap_h_accuracy")
    pairs = rows["ap_h_rows"].iloc[0] if len(rows) else 0
    return table(f"Robustness: {pairs:,.0f} held-out adversarial pairs by people (AP_H)", rows, "ap_h", confidence)


def sonnet_tables(results: Results, tests: pd.DataFrame) -> list[Table]:
    """The paired bootstrap of first draws, floors, parameters of prefixes; form, copying and variety of all systems."""
    floors, rows = results.floors, results.sonnets.rows
    columns = ("chrf", "chrf_sd", "chrf_completion")
    known = [{"name": title} | {column: floors.get(f"{key}_{column}") for column in columns}
             for key, title in FLOORS.items()]  # fmt: skip
    real = {"name": "the real poems"} | {key.removeprefix("real_"): value for key, value in floors.items()}
    return [
        table(f"Paired bootstrap over poems against {SONNET_BASELINE}", tests, "sonnet_tests"),
        table("Floors that need no model", known, "floors"),
        table("Prefixes", _prefixes(results), "prefixes"),
        table("Form", [*rows.to_dict("records"), real], "form"),
        table("Copying and variety", rows, "copying"),
    ]


def _prefixes(results: Results) -> list[dict[str, Any]]:
    """The systems whose model is a prefix: its parameters, its best score on select and their metrics."""
    block, found = results.params["sonnet"], []
    for system in results.sonnets.rows.to_dict("records"):
        row = str(block["systems"].get(system["name"], {}).get("model")).removeprefix("sonnet/")
        adapter = {**block["defaults"], **(block["methods"].get(row) or {})}.get("adapter") or {}
        if adapter.get("kind") == "prefix":
            curve = curves_of("sonnet", row).get("select_chrf")
            found.append({**system, **adapter, "select": None if curve is None else curve["value"].max()})
    return found


def slice_tables(predictions: Mapping[str, Predictions], confidence: float) -> list[Table]:
    """Of dev predictions one table a measure: a line a row, a column a bin, the number of pairs at the end."""
    texts, shown = PREPARED / "paraphrase/dev.csv", []
    pairs = read_pairs(texts)
    for row, dev in predictions.items():
        if dev.ids != [pair.id for pair in pairs]:
            raise InputError(f"{texts}: other rows than in the dev predictions of {row}; run `dvc repro`")
    values = measures(pairs)
    for measure, (title, form) in TABLES["slices"].items() if predictions else ():
        parts = {
            row: by_quantile(values[measure], dev.predicted == dev.labels, confidence)
            for row, dev in predictions.items()
        }
        first = next(iter(parts.values()))
        ends = [(figure(low, form), figure(high, form)) for low, high in zip(first["low"], first["high"], strict=True)]
        header = ["Row", *("–".join(dict.fromkeys(pair)) for pair in ends)]
        lines = [[row, *(figure(share, ".3f") for share in part["accuracy"])] for row, part in parts.items()]
        shown.append(Table(title, header, [*lines, ["pairs", *(f"{count:,}" for count in first["rows"])]]))
    return shown


def member_tables(results: Results, task: Task) -> list[Table]:
    """The spread of the rows that were trained with several seeds; members and weights of every ensemble."""
    rows, title = _measured(task.rows, "seeds"), f"{task.title}: rows trained with several seeds"
    lines, ensembles = [], results.params[task.key]["ensembles"]
    for name, settings in ensembles.items():
        weights = read_json(folder_of(task.key, name, ensembles) / "weights.json").items()
        lines.append([name, settings["weights"], ", ".join(f"{member} {share:.3f}" for member, share in weights)])
    mixed = Table(f"{task.title}: ensembles", ["Row", "Weights", "Members"], lines, figures=False)
    return [table(title, rows, "seeds", results.confidence), mixed]


def data_table(data: Mapping[str, Any]) -> Table:
    """Whatever metrics/data.json holds: a line for each innermost mapping, its entries but the zeros in one cell."""
    return Table("Data", ["Part", "Rows", "Shares and counts"], list(_leaves("", data)), figures=False)


def _leaves(path: str, values: Mapping[str, Any]) -> Iterator[list[str]]:
    forms = {int: ",", float: ".4f"}
    plain = {key: figure(value, forms.get(type(value), "s")) for key, value in values.items()
             if not isinstance(value, Mapping)}  # fmt: skip
    if plain:
        details = [f"{key.replace('_', ' ')} {text}" for key, text in plain.items() if key != "rows" and values[key]]
        yield [path or "all", plain.get("rows", NOTHING), ", ".join(details)]
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{path} {key}".strip(), value)


def markdown(content: Table) -> str:
    """A Markdown table: names left, figures right."""
    align = ["---", *("---:" if content.figures else "---" for _ in content.header[1:])]
    swap = str.maketrans({"\\": "\\\\", "|": "\\|", "<": "&lt;", "\n": " "})
    lines = [content.header, align, *([cell.translate(swap) for cell in row] for row in content.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
