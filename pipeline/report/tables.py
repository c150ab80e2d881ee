"""The report's tables as rows of text, and as Markdown; the page shows the same rows as HTML."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation.classification import SLICE_COLUMNS, SLICES
from pipeline.evaluation.predictions import ENSEMBLES
from pipeline.files import read_frame, read_json
from pipeline.report.paired import BASELINE, SONNET_BASELINE
from pipeline.report.results import Results, Task

NOTHING = "–"
SLICE_TITLES = {
    "word_overlap": ("Accuracy by word overlap (tenths of dev, Jaccard from – to)", 2),
    "words": ("Accuracy by length (tenths of dev, words of both sentences from – to)", 0),
}
FLOORS = {
    "prompt_only": "nothing",
    "random_train_tail": "a random training tail",
    "consensus_train_tail": "one training tail for all",
}
Columns = Mapping[str, tuple[str, int]]  # heading: (metric, digits)
SENTIMENT_EXTRA: Columns = {
    "Macro F1": ("macro_f1", 4),
    "Majority": ("majority_accuracy", 4),
    "On select": ("select_accuracy", 4),
    "Calibration error": ("expected_calibration_error", 4),
}
PARAPHRASE_F1: Columns = {
    "Macro F1": ("macro_f1", 4),
    "Reported F1": ("reported_macro_f1", 4),
    "Order flips": ("order_flip_rate", 4),
}
PARAPHRASE_FURTHER: Columns = {
    "Positive F1": ("positive_f1", 4),
    "Precision": ("precision", 4),
    "Recall": ("recall", 4),
    "Avg. precision": ("average_precision", 4),
    "Brier": ("brier", 4),
    "Calibration error": ("expected_calibration_error", 4),
    "Majority": ("majority_accuracy", 4),
    "On select": ("select_accuracy", 4),
}
PARAPHRASE_THRESHOLD: Columns = {
    "Threshold": ("threshold_select", 4),
    "Accuracy": ("accuracy_at_threshold", 4),
    "Accuracy at 0.5": ("accuracy", 4),
    "Macro F1": ("macro_f1_at_threshold", 4),
    "Macro F1 at 0.5": ("macro_f1", 4),
}
SONNET_EXTRA: Columns = {
    "± sd": ("chrf_sd", 2),
    "Completion only": ("chrf_completion_mean", 2),
    "Draws": ("draws", 0),
}
COPYING: Columns = {
    "Perplexity": ("perplexity", 1),
    "Copied lines": ("copied_line_share", 3),
    "Longest shared run": ("longest_shared_words", 1),
    "Repeated 4-grams": ("repeated_4grams", 3),
    "Distinct 1": ("distinct_1", 3),
    "Distinct 2": ("distinct_2", 3),
    "Distinct 3": ("distinct_3", 3),
}
FORM: Columns = {
    "Lines": ("lines_mean", 1),
    "Exactly 14": ("exactly_14_lines", 3),
    "Syllables a line": ("syllables_per_line", 2),
    "Rhyming pairs": ("rhyme_agreement", 3),
}


@dataclass(frozen=True)
class Table:
    """A titled table of text cells; the first column names the row."""

    title: str
    header: list[str]
    rows: list[list[str]]
    figures: bool = True  # right-aligned and sortable, but for the first column


def table_of(title: str, columns: Mapping[str, Iterable[str]], figures: bool = True) -> Table:
    """A table from its columns."""
    return Table(title, list(columns), [list(row) for row in zip(*columns.values(), strict=True)], figures)


def number(value: float | None, digits: int = 4, signed: bool = False) -> str:
    """A figure with a true minus sign, or a dash where there is none."""
    if value is None or pd.isna(value):
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−")


def numbers(values: Iterable[float | None], digits: int = 4, signed: bool = False) -> list[str]:
    """A column of figures."""
    return [number(value, digits, signed) for value in values]


def spans(low: Iterable[float | None], high: Iterable[float | None], digits: int = 4) -> list[str]:
    """A column of intervals."""
    ends = zip(numbers(low, digits), numbers(high, digits), strict=True)
    return [NOTHING if NOTHING in pair else " to ".join(pair) for pair in ends]


def percent(confidence: float) -> str:
    """The heading of a column of intervals."""
    return f"{confidence * 100:g} % interval"


def p_value(value: float) -> str:
    """A p-value."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def main_table(task: Task, confidence: float, extra: Columns | None = None) -> Table:
    """Row, our figure, its interval, the reported figure, the difference, and what was measured of `extra`."""
    rows = task.rows
    columns: dict[str, Iterable[str]] = {
        "Row": rows["name"],
        task.measure: numbers(rows["value"], task.digits),
        percent(confidence): spans(rows["low"], rows["high"], task.digits),
        task.source: numbers(rows["reported"], task.digits),
        "Difference": numbers(rows["value"] - rows["reported"], task.digits, signed=True),
    }
    for heading, (key, digits) in (extra or {}).items():
        if key in rows and rows[key].notna().any():
            columns[heading] = numbers(rows[key], digits)
    return table_of(task.title, columns)


def metrics_table(title: str, rows: pd.DataFrame, columns: Columns) -> Table:
    """Further metrics of some rows."""
    found = rows.reindex(columns=[key for key, _ in columns.values()])
    cells = {heading: numbers(found[key], digits) for heading, (key, digits) in columns.items()}
    return table_of(title, {"Row": rows["name"], **cells})


def sonnet_tables(results: Results) -> list[Table]:
    """The floors, and the form, copying and variety of every system."""
    columns = {
        "Prompt continued with": list(FLOORS.values()),
        "chrF": numbers(map(results.floor, FLOORS), 2),
        "± sd": numbers((results.floors.get(f"{key}_chrf_sd") for key in FLOORS), 2),
        "Completion only": numbers((results.floor(key, "chrf_completion") for key in FLOORS), 2),
    }
    form = metrics_table("Form", results.sonnets.rows, FORM)
    real = [number(results.floors.get(f"real_{key}"), digits) for key, digits in FORM.values()]
    form.rows.append(["the real poems", *real])
    copying = metrics_table("Copying and variety", results.sonnets.rows, COPYING)
    return [table_of("Floors that need no model", columns), form, copying]


def tests_table(tests: pd.DataFrame, confidence: float) -> list[Table]:
    """The paired tests against the baseline; no table without tests."""
    columns = {
        "Row": tests["name"],
        "Accuracy difference": numbers(tests["difference"], signed=True),
        percent(confidence): spans(tests["low"], tests["high"]),
        "Only this right": [f"{rows:,}" for rows in tests["only_row"]],
        "Only baseline right": [f"{rows:,}" for rows in tests["only_baseline"]],
        "McNemar p": map(p_value, tests["p_value"]),
        "Holm p": map(p_value, tests["adjusted"]),
    }
    return [table_of(f"Paired tests against {BASELINE}", columns)] if len(tests) else []


def seeds_tables(rows: pd.DataFrame, confidence: float) -> list[Table]:
    """The spread of the rows that were trained with several seeds; no table without such rows."""
    if "seeds" not in rows:
        return []
    rows = rows[rows["seeds"].notna()]
    columns = {
        "Row": rows["name"],
        "Seeds": numbers(rows["seeds"], 0),
        "Mean accuracy": numbers(rows["seeds_accuracy"]),
        "± sd": numbers(rows["seeds_accuracy_sd"]),
        f"{percent(confidence)} of the mean": spans(rows["seeds_accuracy_low"], rows["seeds_accuracy_high"]),
        "Mean macro F1": numbers(rows["seeds_macro_f1"]),
        "± sd of F1": numbers(rows["seeds_macro_f1_sd"]),
    }
    return [table_of("Trained with several seeds", columns)]


def sonnet_tests_table(tests: pd.DataFrame) -> list[Table]:
    """The paired bootstrap of first draws; no table without tests."""
    columns = {
        "Row": tests["name"],
        "chrF of draw 1": numbers(tests["chrf"], 2),
        "Difference": numbers(tests["difference"], 2, signed=True),
        "Holm p": map(p_value, tests["adjusted"]),
    }
    return [table_of(f"Paired bootstrap over poems against {SONNET_BASELINE}", columns)] if len(tests) else []


def slice_tables(rows: Sequence[str]) -> list[Table]:
    """One table a measure: a line for each row, a column for each bin, the number of pairs at the end."""
    found = {row: read_frame(SLICES / f"{row}.csv", SLICE_COLUMNS) for row in rows}
    return [_slice_table(measure, found) for measure in SLICE_TITLES] if rows else []


def _slice_table(measure: str, found: Mapping[str, pd.DataFrame]) -> Table:
    title, digits = SLICE_TITLES[measure]
    parts = {row: cells[cells["slice"] == measure] for row, cells in found.items()}
    first = next(iter(parts.values()))
    for row, part in parts.items():
        if not part[["low", "high", "rows"]].equals(first[["low", "high", "rows"]]):
            raise InputError(f"{SLICES / row}.csv: other bins than those of {next(iter(found))}; run `dvc repro`")
    ends = zip(numbers(first["low"], digits), numbers(first["high"], digits), strict=True)
    header = ["Row", *("–".join(dict.fromkeys(pair)) for pair in ends)]
    lines = [[row, *numbers(part["accuracy"], 3)] for row, part in parts.items()]
    return Table(title, header, [*lines, ["pairs", *(f"{rows:,}" for rows in first["rows"])]])


def ensemble_table(ensembles: Mapping[str, Any]) -> list[Table]:
    """Members and weights of every entry of paraphrase.ensembles; no table without entries."""
    lines = []
    for name, settings in ensembles.items():
        weights = read_json(ENSEMBLES / name / "weights.json")
        shares = ", ".join(f"{member} {number(weight, 3)}" for member, weight in weights.items())
        lines.append([name, settings["weights"], shares])
    return [Table("Ensembles", ["Row", "Weights", "Members"], lines, figures=False)] if lines else []


def data_table(data: Mapping[str, Any]) -> Table:
    """Whatever metrics/data.json holds: a line for each innermost mapping, its entries but the zeros in one cell."""
    return Table("Data", ["Part", "Rows", "Shares and counts"], list(_leaves("", data)), figures=False)


def _leaves(path: str, values: Mapping[str, Any]) -> Iterator[list[str]]:
    plain = {key: value for key, value in values.items() if not isinstance(value, Mapping)}
    if plain:
        details = [f"{str(key).replace('_', ' ')} {_plain(value)}" for key, value in plain.items() if value]
        rows = _plain(plain["rows"]) if "rows" in plain else NOTHING
        yield [path or "all", rows, ", ".join(text for text in details if not text.startswith("rows "))]
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(f"{path} {key}".strip(), value)


def _plain(value: Any) -> str:  # noqa: ANN401 - from JSON
    if isinstance(value, bool) or value is None or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else number(value)


def markdown(table: Table) -> str:
    """A Markdown table: names left, figures right."""
    align = ["---", *("---:" if table.figures else "---" for _ in table.header[1:])]
    lines = [table.header, align, *([_escaped(cell) for cell in row] for row in table.rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _escaped(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
