"""plots/report.html, readable offline, on a phone and on paper, and plots/pictures: what README.md shows of it."""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.evaluation.classification import confusion
from pipeline.evaluation.predictions import Predictions
from pipeline.files import new_folder, write_text
from pipeline.report import answers, augmentation, figures, summary, tables
from pipeline.report.results import CORPORA, LOSSES, SCORES, Results, Task, curves_of, ranked, rows_of
from pipeline.report.summary import FOLDER, template

SHORT_NAMES = {"sst": ["−−", "−", "0", "+", "++"], "cfimdb": ["−", "+"], "paraphrase": ["no", "yes"]}
Section = dict[str, Any]  # a task's part of the page, as page.html.j2 shows it
Rows = Mapping[str, Predictions]
SYSTEMS = ("top_p_tuned", "line_mbr", "verse")  # of the picture, beside the real poem


def page(
    results: Results, predictions: Mapping[str, Rows], tests: pd.DataFrame, sonnet_tests: pd.DataFrame,
    augmented: augmentation.Augmentation,
) -> str:  # fmt: skip
    """The page, one file with its style, script and figures inside; `predictions` of dev by task and row."""
    from ruamel.yaml import YAML

    yaml, parameters = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(summary.without_paths(results.params), parameters)
    steps = augmentation.funnels(augmented).groupby("source", sort=False)
    sections = [
        _sentiment(results, predictions["sentiment"]),
        _paraphrase(results, predictions["paraphrase"], tests),
        _sonnets(results, sonnet_tests),
    ]
    return template("page.html.j2").render(
        style=(FOLDER / "page.css").read_text(encoding="utf-8"),
        script=(FOLDER / "page.js").read_text(encoding="utf-8"),
        params=results.params,
        confidence=f"{results.confidence * 100:g} %",
        sections=sections,
        gates="; ".join(f"{augmentation.words(key)}: {augmented.apt[key]}" for key in augmentation.GATES),
        augmentation=augmentation.augmentation_tables(augmented),
        funnels=[(title, figures.funnel(title, own)) for title, own in steps],
        examples=augmentation.examples(),
        data=tables.data_table(results.data),
        changed=summary.changed_parameters(results.params),
        parameters=parameters.getvalue(),
    )


def _sentiment(results: Results, predictions: Rows) -> Section:
    task, forests, curves, shown = results.sentiment, [], [], []
    for group, rows in task.rows.groupby("group", sort=False):
        forests.append((group, figures.forest(rows, task.measure, task.digits)))
        curves += _curves("sentiment", rows["name"])
        shown += _answers(CORPORA[group], {row: predictions[row] for row in rows["name"]})
    return _section(results, task, forests, curves=curves, answers=shown)


def _paraphrase(results: Results, predictions: Rows, tests: pd.DataFrame) -> Section:
    task, confidence, rows = results.paraphrase, results.confidence, ranked(results.paraphrase.rows)
    forest = figures.forest(rows, task.measure, task.digits) if len(rows) else ""
    base = predictions.get(answers.BASELINE)
    return _section(
        results, task, [("Quora Question Pairs", forest)],
        *tables.tests_tables(rows, tests, confidence),
        tables.robustness_table(rows, confidence),
        tables.table("Further scores on dev", rows, "further"),
        tables.table("Scores on dev at the threshold chosen on select", rows, "threshold"),
        *tables.slice_tables(list(rows["name"])),
        tables.ensemble_table(results.params["paraphrase"]["ensembles"]),
        curves=_curves("paraphrase", task.rows["name"]),
        calibration=[(row, figures.calibration_panel(row, dev, base, confidence)) for row, dev in predictions.items()],
        answers=_answers("paraphrase", predictions),
    )  # fmt: skip


def _sonnets(results: Results, tests: pd.DataFrame) -> Section:
    task = results.sonnets
    floors = [(title, results.floor(key)) for key, title in tables.FLOORS.items() if key != "prompt_only"]
    forest = figures.forest(task.rows, task.measure, task.digits, floors)
    shown = tables.sonnet_tables(results, tests)
    curves, poems = _curves("sonnet", rows_of(results.params, "sonnet")), answers.poem_cards(list(task.rows["name"]))
    return _section(results, task, [("Whole poems, mean over draws", forest)], *shown, curves=curves, poems=poems)


def _section(results: Results, task: Task, forests: list[Any], *shown: tables.Table, **parts: list[Any]) -> Section:
    """Figures are (caption, SVG); a part of the page that a task lacks is empty."""
    leaderboard = tables.main_table(replace(task, title="Results on dev", rows=ranked(task.rows)), results.confidence)
    empty: Section = {"curves": [], "calibration": [], "answers": [], "poems": []}
    return {**empty, "task": task, "forests": forests, "tables": [leaderboard, *shown], **parts}


def _curves(task: str, rows: Iterable[str]) -> list[tuple[str, str]]:
    found = {row: curves_of(task, row) for row in rows}
    limits = figures.curve_limits(list(found.values()))
    drawn = {*LOSSES, *SCORES}
    return [(row, figures.curve_panel(row, curves, limits)) for row, curves in found.items() if drawn & curves.keys()]


def _answers(corpus: str, predictions: Rows) -> list[tuple[Any, ...]]:
    """Of every row: its name, the corpus, its classes' short names, the confusion counts and the surest mistakes."""
    texts, names = answers.dev_texts(corpus), SHORT_NAMES[corpus]
    return [(row, corpus, names, confusion(dev).tolist(), answers.mistakes(dev, texts))
            for row, dev in predictions.items()]  # fmt: skip


def write_pictures(folder: Path, results: Results) -> None:
    """All paraphrase rows, and poems of SYSTEMS for one prompt, in fixed colours on white for light and dark pages."""
    task = results.paraphrase
    forest = figures.forest(task.rows, f"{task.measure} on dev", task.digits, width=400)
    ((_, poems),) = answers.poem_cards(list(results.sonnets.rows["name"]), SYSTEMS, prompts=1)
    cards = [(title.replace("Shakespeare", "the real poem"),
              [(given, "".join(text for text, _ in parts)) for given, parts in lines])
             for title, lines in poems]  # fmt: skip
    *_, width, height = map(float, re.findall(r"-?[\d.]+", forest.split("viewBox", 1)[1])[:4])
    with new_folder(folder) as scratch:
        sizes = {"width": width, "height": height, "confidence": results.confidence}
        write_text(scratch / "forest_paraphrase.svg", template("forest.svg.j2").render(sizes, forest=forest))
        write_text(scratch / "poems.svg", template("poems.svg.j2").render(cards=cards))
