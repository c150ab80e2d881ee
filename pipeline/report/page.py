"""plots/report.html: one file with its style, script and figures inside, readable offline, on a phone and on paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.evaluation.classification import confusion
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.significance import ChrfTest
from pipeline.report import augmentation, calibration, evidence, figures, notes, slices, tables
from pipeline.report.augmentation import Augmentation
from pipeline.report.changed import changed_parameters
from pipeline.report.evidence import Card, Mistake, PairedTest
from pipeline.report.results import DATASETS, Results, Row, Task, rows_of
from pipeline.report.tables import Table

FOLDER = Path(__file__).parent
CLASS_NAMES = {
    "sst": ["very negative", "negative", "neutral", "positive", "very positive"],
    "cfimdb": ["negative", "positive"],
    "paraphrase": ["not a paraphrase", "paraphrase"],
}
SHORT_NAMES = {"sst": ["−−", "−", "0", "+", "++"], "cfimdb": ["−", "+"], "paraphrase": ["no", "yes"]}


@dataclass(frozen=True)
class Matrix:
    """Confusion counts of a row with the share of each actual class, for shading."""

    name: str
    labels: list[str]
    cells: list[list[tuple[int, float]]]


@dataclass(frozen=True)
class Errors:
    """The surest mistakes of a row; `labels` names the classes."""

    name: str
    labels: list[str]
    mistakes: list[Mistake]


@dataclass
class Section:
    """A task's part of the page."""

    task: Task
    forests: list[tuple[str, str]]
    tables: list[Table]
    curves: list[tuple[str, str]] = field(default_factory=list)
    calibration: list[tuple[str, str]] = field(default_factory=list)
    matrices: list[Matrix] = field(default_factory=list)
    errors: list[Errors] = field(default_factory=list)
    poems: list[tuple[int, list[Card]]] = field(default_factory=list)


def render(
    results: Results,
    predictions: Mapping[str, Mapping[str, Predictions]],
    tests: Sequence[PairedTest],
    augmented: Augmentation,
    sonnet_tests: Sequence[ChrfTest],
) -> str:
    """The page; `predictions` holds the dev predictions by task and row."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=(FOLDER / "page.js").read_text(encoding="utf-8"),
        run=notes.run_line(results.params),
        note=notes.comparability(results.params),
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
                (title, figures.funnel(title, steps)) for title, steps in augmentation.funnels(augmented).items()
            ],
            "examples": augmentation.examples(),
        },
        data=tables.data_table(results.data) if results.data else None,
        changed=changed_parameters(results.params),
        parameters=_parameters(results.params),
    )


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Rows from the highest figure to the lowest, datasets kept together."""
    groups = list(dict.fromkeys(row.group for row in rows))
    return sorted(rows, key=lambda row: (groups.index(row.group), -row.value))


def _sentiment(results: Results, predictions: Mapping[str, Predictions]) -> Section:
    task = results.sentiment
    keys = {title: key for key, title in DATASETS.items()}
    groups = list(dict.fromkeys(row.group for row in task.rows))
    members = {group: [row for row in task.rows if row.group == group] for group in groups}
    section = Section(
        task,
        [(group, figures.forest(rows, task.measure, task.digits)) for group, rows in members.items()],
        [tables.main_table(_ranked(task), results.confidence, tables.SENTIMENT_EXTRA)],
    )
    for group, rows in members.items():
        texts = evidence.sentence_texts(keys[group])
        section.curves += _curves("sentiment", [row.name for row in rows])
        for row in rows:
            _add_answers(section, row.name, keys[group], predictions[row.name], texts)
    return section


def _paraphrase(results: Results, predictions: Mapping[str, Predictions], tests: Sequence[PairedTest]) -> Section:
    task = results.paraphrase
    leaderboard = tables.main_table(_ranked(task), results.confidence, tables.PARAPHRASE_F1)
    further = tables.metrics_table("Further scores on dev", ranked(task.rows), tables.PARAPHRASE_FURTHER)
    paired = [tables.tests_table(tests, results.confidence)] if tests else []
    paired += tables.seeds_tables(ranked(task.rows), results.confidence)
    forest = figures.forest(task.rows, task.measure, task.digits) if task.rows else ""
    more = augmentation.robustness_tables(ranked(task.rows), results.confidence)
    title = "Scores on dev at the threshold chosen on select"
    thresholds = tables.metrics_table(title, ranked(task.rows), tables.PARAPHRASE_THRESHOLD)
    more += [further, thresholds, *slices.slice_tables([row.name for row in ranked(task.rows)])]
    more += slices.ensemble_table(results.params["paraphrase"]["ensembles"])
    section = Section(task, [("Quora Question Pairs", forest)], [leaderboard, *paired, *more])
    section.curves += _curves("paraphrase", [row.name for row in task.rows])
    texts, base = evidence.pair_texts(), predictions.get(evidence.BASELINE)
    for name, dev in predictions.items():
        section.calibration.append((name, calibration.panel(name, dev, base, results.confidence)))
        _add_answers(section, name, "paraphrase", dev, texts)
    return section


def _sonnets(results: Results, tests: Sequence[ChrfTest]) -> Section:
    task = results.sonnets
    keys = {
        title: results.floors.get(f"{key}_chrf_mean", results.floors.get(f"{key}_chrf"))
        for key, title in tables.FLOORS.items()
        if key != "prompt_only"
    }
    floors = {title: value for title, value in keys.items() if value is not None}
    section = Section(
        task,
        [("Whole poems, mean over draws", figures.forest(task.rows, task.measure, task.digits, floors))],
        [
            tables.main_table(_ranked(task), results.confidence, tables.SONNET_EXTRA),
            *tables.sonnet_tests_table(tests),
            *tables.sonnet_tables(results),
        ],
    )
    section.curves += _curves("sonnet", rows_of(results.params, "sonnet"))
    section.poems += evidence.poem_cards([row.name for row in task.rows])
    return section


def _ranked(task: Task) -> Task:
    return Task(task.key, "Results on dev", task.measure, task.source, task.digits, ranked(task.rows))


def _curves(task: str, rows: Sequence[str]) -> list[tuple[str, str]]:
    found = {row: evidence.curves(task, row) for row in rows}
    limits = figures.curve_limits(list(found.values()))
    drawn = (*figures.LOSSES, *figures.SCORES)
    return [
        (row, figures.curve_panel(row, curves, limits)) for row, curves in found.items() if any(map(curves.get, drawn))
    ]


def _add_answers(section: Section, name: str, kind: str, dev: Predictions, texts: Mapping[str, list[str]]) -> None:
    counts = confusion(dev)
    totals = counts.sum(axis=1)
    cells = [
        [(int(cell), float(cell / max(total, 1))) for cell in line] for line, total in zip(counts, totals, strict=True)
    ]
    section.matrices.append(Matrix(name, SHORT_NAMES[kind], cells))
    section.errors.append(Errors(name, CLASS_NAMES[kind], evidence.mistakes(dev, texts)))


def _parameters(params: Mapping[str, Any]) -> str:
    """The parameters as YAML in their own order, absolute paths cut to their last part."""
    import io

    from ruamel.yaml import YAML

    yaml, buffer = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(_shown(params), buffer)
    return buffer.getvalue()


def _shown(value: Any) -> Any:  # noqa: ANN401 - from YAML
    if isinstance(value, Mapping):
        return {key: _shown(item) for key, item in value.items()}
    return notes.hidden_path(value) if isinstance(value, str) else value
