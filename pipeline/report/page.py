"""plots/report.html: one file with its style, script and figures inside, readable offline, on a phone and on paper."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.evaluation.classification import confusion
from pipeline.evaluation.predictions import Predictions
from pipeline.report import augmentation, excerpts, figures, summary, tables
from pipeline.report.augmentation import Augmentation
from pipeline.report.excerpts import Card, Mistake
from pipeline.report.paired import BASELINE
from pipeline.report.results import DATASETS, LOSSES, SCORES, Results, Task, curves_of, ranked, rows_of
from pipeline.report.tables import Table

if TYPE_CHECKING:
    from jinja2 import Template

FOLDER = Path(__file__).parent
CLASS_NAMES = {
    "sst": ["very negative", "negative", "neutral", "positive", "very positive"],
    "cfimdb": ["negative", "positive"],
    "paraphrase": ["not a paraphrase", "paraphrase"],
}
SHORT_NAMES = {"sst": ["−−", "−", "0", "+", "++"], "cfimdb": ["−", "+"], "paraphrase": ["no", "yes"]}


@dataclass
class Section:
    """A task's part of the page; figures are (caption, SVG).

    matrices: (row, classes, lines of (count, share of the actual class)).
    errors: (row, classes, its surest mistakes).
    poems: (prompt, its poems).
    """

    task: Task
    forests: list[tuple[str, str]]
    tables: list[Table]
    curves: list[tuple[str, str]]
    calibration: list[tuple[str, str]] = field(default_factory=list)
    matrices: list[tuple[str, list[str], list[list[tuple[int, float]]]]] = field(default_factory=list)
    errors: list[tuple[str, list[str], list[Mistake]]] = field(default_factory=list)
    poems: list[tuple[int, list[Card]]] = field(default_factory=list)


def render(
    results: Results,
    predictions: Mapping[str, Mapping[str, Predictions]],
    tests: pd.DataFrame,
    sonnet_tests: pd.DataFrame,
    augmented: Augmentation,
) -> str:
    """The page; `predictions` holds the dev predictions by task and row."""
    return template("page.html.j2").render(
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=(FOLDER / "page.js").read_text(encoding="utf-8"),
        run=summary.run_line(results.params),
        note=summary.comparability(results.params),
        confidence=f"{results.confidence * 100:g} %",
        sections=[
            _sentiment(results, predictions["sentiment"]),
            _paraphrase(results, predictions["paraphrase"], tests),
            _sonnets(results, sonnet_tests),
        ],
        augmentation={
            "gates": augmented.gates,
            "tables": augmentation.augmentation_tables(augmented),
            "funnels": [
                (title, figures.funnel(title, steps))
                for title, steps in augmentation.funnels(augmented).groupby("source", sort=False)
            ],
            "examples": augmentation.examples(),
        },
        data=tables.data_table(results.data) if results.data else None,
        changed=summary.changed_parameters(results.params),
        parameters=_parameters(results.params),
    )


def template(name: str) -> "Template":
    """A template of this folder."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader(FOLDER)
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template(name)


def _sentiment(results: Results, predictions: Mapping[str, Predictions]) -> Section:
    task, confidence = results.sentiment, results.confidence
    section = Section(task, [], [_leaderboard(task, confidence, tables.SENTIMENT_EXTRA)], [])
    keys = {title: key for key, title in DATASETS.items()}
    for group, rows in task.rows.groupby("group", sort=False):
        section.forests.append((group, figures.forest(rows, task.measure, task.digits)))
        section.curves += _curves("sentiment", rows["name"])
        _add_answers(section, keys[group], {row: predictions[row] for row in rows["name"]})
    return section


def _paraphrase(results: Results, predictions: Mapping[str, Predictions], tests: pd.DataFrame) -> Section:
    task, confidence, rows = results.paraphrase, results.confidence, ranked(results.paraphrase.rows)
    shown = [
        _leaderboard(task, confidence, tables.PARAPHRASE_F1),
        *tables.tests_table(tests, confidence),
        *tables.seeds_tables(rows, confidence),
        *augmentation.robustness_tables(rows, confidence),
        tables.metrics_table("Further scores on dev", rows, tables.PARAPHRASE_FURTHER),
        tables.metrics_table("Scores on dev at the threshold chosen on select", rows, tables.PARAPHRASE_THRESHOLD),
        *tables.slice_tables(list(rows["name"])),
        *tables.ensemble_table(results.params["paraphrase"]["ensembles"]),
    ]
    forest = figures.forest(rows, task.measure, task.digits) if len(rows) else ""
    section = Section(task, [("Quora Question Pairs", forest)], shown, _curves("paraphrase", task.rows["name"]))
    base = predictions.get(BASELINE)
    section.calibration = [
        (name, figures.calibration_panel(name, dev, base, confidence)) for name, dev in predictions.items()
    ]
    _add_answers(section, "paraphrase", predictions)
    return section


def _sonnets(results: Results, tests: pd.DataFrame) -> Section:
    task = results.sonnets
    floors = {title: results.floor(key) for key, title in tables.FLOORS.items() if key != "prompt_only"}
    shown = [
        _leaderboard(task, results.confidence, tables.SONNET_EXTRA),
        *tables.sonnet_tests_table(tests),
        *tables.sonnet_tables(results),
    ]
    forest = figures.forest(task.rows, task.measure, task.digits, floors)
    curves = _curves("sonnet", rows_of(results.params, "sonnet"))
    poems = excerpts.poem_cards(list(task.rows["name"]))
    return Section(task, [("Whole poems, mean over draws", forest)], shown, curves, poems=poems)


def _leaderboard(task: Task, confidence: float, extra: tables.Columns) -> Table:
    return tables.main_table(replace(task, title="Results on dev", rows=ranked(task.rows)), confidence, extra)


def _curves(task: str, rows: Sequence[str]) -> list[tuple[str, str]]:
    found = {row: curves_of(task, row) for row in rows}
    limits = figures.curve_limits(list(found.values()))
    drawn = {*LOSSES, *SCORES}
    return [(row, figures.curve_panel(row, curves, limits)) for row, curves in found.items() if drawn & curves.keys()]


def _add_answers(section: Section, corpus: str, predictions: Mapping[str, Predictions]) -> None:
    texts = excerpts.dev_texts(corpus)
    for name, dev in predictions.items():
        cells = [[(count, count / max(sum(line), 1)) for count in line] for line in confusion(dev).tolist()]
        section.matrices.append((name, SHORT_NAMES[corpus], cells))
        section.errors.append((name, CLASS_NAMES[corpus], excerpts.mistakes(dev, texts)))


def _parameters(params: Mapping[str, Any]) -> str:
    """The parameters as YAML in their own order, absolute paths cut to their last part."""
    from ruamel.yaml import YAML

    yaml, buffer = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(summary.without_paths(params), buffer)
    return buffer.getvalue()
