"""The report's tables as rows of text, with their Markdown and terminal forms; the page shows the same rows as HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.evaluation.significance import ChrfTest
from pipeline.report.evidence import BASELINE, SONNET_BASELINE, PairedTest
from pipeline.report.notes import comparability, floors_line, optimal_line, run_line
from pipeline.report.results import Results, Row, Task

NOTHING = "–"
FLOORS = {
    "prompt_only": "nothing",
    "random_train_tail": "a random training tail",
    "consensus_train_tail": "one training tail for all",
}


@dataclass(frozen=True)
class Table:
    """A titled table of text cells; the first column names the row."""

    title: str
    header: list[str]
    rows: list[list[str]]
    figures: bool = True  # right-aligned and sortable, but for the first column


def number(value: float | None, digits: int = 4, signed: bool = False) -> str:
    """A figure with a true minus sign, or a dash where there is none."""
    if value is None:
        return NOTHING
    text = f"{value:+.{digits}f}" if signed else f"{value:.{digits}f}"
    return text.replace("-", "−")


def span(low: float | None, high: float | None, digits: int = 4) -> str:
    """An interval."""
    return NOTHING if low is None or high is None else f"{number(low, digits)} to {number(high, digits)}"


def p_value(value: float) -> str:
    """A p-value."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def main_table(task: Task, confidence: float, extra: Mapping[str, tuple[str, int]] | None = None) -> Table:
    """Row, our figure, its interval, the reported figure, the difference; `extra` maps headings to (metric, digits)."""
    columns = {heading: column for heading, column in (extra or {}).items() if _measured(task.rows, column[0])}
    header = ["Row", task.measure, f"{confidence * 100:g} % interval", task.source, "Difference", *columns]
    rows = []
    for row in task.rows:
        cells = [row.name, number(row.value, task.digits), span(row.low, row.high, task.digits)]
        cells += [number(row.reported, task.digits), number(row.difference, task.digits, signed=True)]
        rows.append(cells + [number(row.metrics.get(key), digits) for key, digits in columns.values()])
    return Table(task.title, header, rows)


def _measured(rows: Sequence[Row], key: str) -> bool:
    return any(row.metrics.get(key) is not None for row in rows)


def metrics_table(title: str, rows: Sequence[Row], columns: Mapping[str, tuple[str, int]]) -> Table:
    """Further metrics of some rows; `columns` maps headings to (metric, digits)."""
    lines = [[row.name, *(number(row.metrics.get(key), digits) for key, digits in columns.values())] for row in rows]
    return Table(title, ["Row", *columns], lines)


SENTIMENT_EXTRA = {
    "Macro F1": ("macro_f1", 4),
    "Majority": ("majority_accuracy", 4),
    "On select": ("select_accuracy", 4),
    "Calibration error": ("expected_calibration_error", 4),
}
PARAPHRASE_F1 = {
    "Macro F1": ("macro_f1", 4),
    "Reported F1": ("reported_macro_f1", 4),
    "Order flips": ("order_flip_rate", 4),
}
PARAPHRASE_FURTHER = {
    "Positive F1": ("positive_f1", 4),
    "Precision": ("precision", 4),
    "Recall": ("recall", 4),
    "Avg. precision": ("average_precision", 4),
    "Brier": ("brier", 4),
    "Calibration error": ("expected_calibration_error", 4),
    "Majority": ("majority_accuracy", 4),
    "On select": ("select_accuracy", 4),
}
PARAPHRASE_THRESHOLD = {
    "Threshold": ("threshold_select", 4),
    "Accuracy": ("accuracy_at_threshold", 4),
    "Accuracy at 0.5": ("accuracy", 4),
    "Macro F1": ("macro_f1_at_threshold", 4),
    "Macro F1 at 0.5": ("macro_f1", 4),
}
SONNET_EXTRA = {"± sd": ("chrf_sd", 2), "Completion only": ("chrf_completion_mean", 2), "Draws": ("draws", 0)}
COPYING = {
    "Perplexity": ("perplexity", 1),
    "Copied lines": ("copied_line_share", 3),
    "Longest shared run": ("longest_shared_words", 1),
    "Repeated 4-grams": ("repeated_4grams", 3),
    "Distinct 1": ("distinct_1", 3),
    "Distinct 2": ("distinct_2", 3),
    "Distinct 3": ("distinct_3", 3),
}
FORM = {
    "Lines": ("lines_mean", 1),
    "Exactly 14": ("exactly_14_lines", 3),
    "Syllables a line": ("syllables_per_line", 2),
    "Rhyming pairs": ("rhyme_agreement", 3),
}


def sonnet_tables(results: Results) -> list[Table]:
    """The floors, and the form, copying and variety of every system."""
    floors = results.floors
    lines = []
    for key, title in FLOORS.items():
        whole = floors.get(f"{key}_chrf_mean", floors.get(f"{key}_chrf"))
        rest = floors.get(f"{key}_chrf_completion_mean", floors.get(f"{key}_chrf_completion"))
        lines.append([title, number(whole, 2), number(floors.get(f"{key}_chrf_sd"), 2), number(rest, 2)])
    headings = ["Prompt continued with", "chrF", "± sd", "Completion only"]
    form = metrics_table("Form", results.sonnets.rows, FORM)
    form.rows.append(["the real poems", *(number(floors.get(f"real_{key}"), digits) for key, digits in FORM.values())])
    copying = metrics_table("Copying and variety", results.sonnets.rows, COPYING)
    return [Table("Floors that need no model", headings, lines), form, copying]


def tests_table(tests: Sequence[PairedTest], confidence: float) -> Table:
    """The paired tests against the baseline."""
    interval = f"{confidence * 100:g} % interval"
    header = ["Row", "Accuracy difference", interval, "Only this right", "Only baseline right", "McNemar p", "Holm p"]
    rows = [
        [
            test.name,
            number(test.difference.value, 4, signed=True),
            span(test.difference.low, test.difference.high),
            f"{test.only_row:,}",
            f"{test.only_baseline:,}",
            p_value(test.p_value),
            p_value(test.adjusted),
        ]
        for test in tests
    ]
    return Table(f"Paired tests against {BASELINE}", header, rows)


def seeds_tables(rows: Sequence[Row], confidence: float) -> list[Table]:
    """The spread of the rows that were trained with several seeds; no table without such rows."""
    lines = [
        [
            row.name,
            str(row.metrics["seeds"]),
            number(row.metrics["seeds_accuracy"]),
            number(row.metrics["seeds_accuracy_sd"]),
            span(row.metrics["seeds_accuracy_low"], row.metrics["seeds_accuracy_high"]),
            number(row.metrics["seeds_macro_f1"]),
            number(row.metrics["seeds_macro_f1_sd"]),
        ]
        for row in rows
        if "seeds" in row.metrics
    ]
    interval = f"{confidence * 100:g} % interval of the mean"
    header = ["Row", "Seeds", "Mean accuracy", "± sd", interval, "Mean macro F1", "± sd of F1"]
    return [Table("Trained with several seeds", header, lines)] if lines else []


def sonnet_tests_table(tests: Sequence[ChrfTest]) -> list[Table]:
    """The paired bootstrap of first draws; no table without tests."""
    rows = [
        [test.name, number(test.chrf, 2), number(test.chrf - test.baseline, 2, signed=True), p_value(test.p_value)]
        for test in tests
    ]
    header = ["Row", "chrF of draw 1", "Difference", "Holm p"]
    return [Table(f"Paired bootstrap over poems against {SONNET_BASELINE}", header, rows)] if tests else []


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


def summary(
    results: Results, tests: Sequence[PairedTest], augmentation: Sequence[Table], sonnet_tests: Sequence[ChrfTest]
) -> str:
    """metrics/summary.md; `augmentation` are the tables about augmented data, which follow those on paraphrases."""
    confidence = results.confidence
    tables = [main_table(results.sentiment, confidence), main_table(results.paraphrase, confidence, PARAPHRASE_F1)]
    if tests:
        tables.append(tests_table(tests, confidence))
    tables += seeds_tables(results.paraphrase.rows, confidence)
    tables += augmentation
    tables += [main_table(results.sonnets, confidence, SONNET_EXTRA), *sonnet_tests_table(sonnet_tests)]
    tables += sonnet_tables(results)
    if results.data:
        tables.append(data_table(results.data))
    intro = f"# Results\n\n{run_line(results.params)}\n{comparability(results.params)}\n"
    notes = {
        results.sentiment.title: floors_line(results.data, "sst cfimdb"),
        results.paraphrase.title: floors_line(results.data, "paraphrase"),
        results.sonnets.title: optimal_line(results.params),
    }
    return intro + "".join(f"\n## {table.title}\n\n{markdown(table)}{notes.get(table.title, '')}" for table in tables)


def print_results(results: Results) -> None:
    """The results on the terminal: our figure, its interval, the reported one and the difference."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    for task in results.tasks:
        table = main_table(task, results.confidence)
        view = RichTable(
            title=f"{task.title} (dev)", box=box.SIMPLE_HEAD, title_justify="left", show_edge=False, pad_edge=False
        )
        for place, heading in enumerate(table.header):
            view.add_column(heading, justify="right" if place else "left", no_wrap=True)
        for row in table.rows:
            view.add_row(*row)
        console.print(view)
    console.print(comparability(results.params), style="dim")
