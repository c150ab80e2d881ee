"""metrics/summary.md, plots/report.html, readable offline, on a phone and on paper, and pictures for README.md."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from pipeline.config.base import PARAMS, parse
from pipeline.errors import InputError
from pipeline.evaluation.classification import confusion
from pipeline.evaluation.predictions import Predictions
from pipeline.evaluation.reported import reported_curve
from pipeline.files import new_folder, write_text
from pipeline.report import answers, augmentation, figures, tables
from pipeline.report.augmentation import Augmentation
from pipeline.report.results import CORPORA, LOSSES, SCORES, Curves, Results, Task, curves_of, ranked, rows_of

SHORT_NAMES = {"sst": ["−−", "−", "0", "+", "++"], "cfimdb": ["−", "+"], "paraphrase": ["no", "yes"]}
Section = dict[str, Any]  # a task's part of the page, as page.html.j2 shows it
Rows = Mapping[str, Predictions]
Tests = Mapping[str, pd.DataFrame]  # `paraphrase` and `sonnets`, see answers.py


def page(results: Results, predictions: Mapping[str, Rows], tests: Tests, augmented: Augmentation) -> str:
    """The page, one file with its style, script and figures inside; `predictions` of dev by task and row."""
    from ruamel.yaml import YAML

    yaml, parameters = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.dump(hidden_path(results.params), parameters)
    steps = augmentation.funnels(augmented).groupby("source", sort=False)
    pairs = _paraphrase(results, predictions["paraphrase"], tests["paraphrase"])
    return template("page.html.j2").render(
        params=results.params,
        confidence=f"{results.confidence * 100:g} %",
        sections=[_sentiment(results, predictions["sentiment"]), pairs, _sonnets(results, tests["sonnets"])],
        gates="; ".join(f"{augmentation.words(key)}: {augmented.apt[key]}" for key in augmentation.GATES),
        augmentation=augmentation.augmentation_tables(augmented),
        funnels=[(title, figures.funnel(title, own)) for title, own in steps],
        examples=augmentation.examples(),
        data=tables.data_table(results.data),
        changed=changed_parameters(results.params),
        parameters=parameters.getvalue(),
    )


def _sentiment(results: Results, predictions: Rows) -> Section:
    task, forests, curves, shown = results.sentiment, [], [], []
    for group, rows in task.rows.groupby("group", sort=False):
        forests.append((group, figures.forest(rows, task.measure, task.digits)))
        curves += _curves("sentiment", rows["name"])
        shown += _answers(CORPORA[group], {row: predictions[row] for row in rows["name"]})
    return _section(results, task, forests, *tables.member_tables(results, task), curves=curves, answers=shown)


def _paraphrase(results: Results, predictions: Rows, tests: pd.DataFrame) -> Section:
    task, confidence, rows = results.paraphrase, results.confidence, ranked(results.paraphrase.rows)
    forest = figures.forest(rows, task.measure, task.digits) if len(rows) else ""
    base = predictions.get(answers.BASELINE)
    return _section(
        results, task, [("Quora Question Pairs", forest)],
        tables.table(f"Paired tests against {answers.BASELINE}", tests, "tests", confidence),
        *tables.member_tables(results, task),
        tables.robustness_table(rows, confidence),
        tables.table("Further scores on dev", rows, "further"),
        tables.table("Scores on dev at the threshold chosen on select", rows, "threshold"),
        *tables.slice_tables({row: predictions[row] for row in rows["name"]}, confidence),
        curves=_curves("paraphrase", task.rows["name"]),
        calibration=[(row, figures.calibration_panel(row, dev, base, confidence)) for row, dev in predictions.items()],
        answers=_answers("paraphrase", predictions),
    )  # fmt: skip


def _sonnets(results: Results, tests: pd.DataFrame) -> Section:
    task = results.sonnets
    tails = list(tables.FLOORS.items())[1:]
    floors = [(title, results.floors.get(f"{key}_chrf")) for key, title in tails]
    forest = figures.forest(task.rows, task.measure, task.digits, floors)
    shown = tables.sonnet_tables(results, tests)
    curves, poems = _curves("sonnet", rows_of(results.params, "sonnet")), answers.poem_cards(results)
    return _section(results, task, [("Whole poems, mean over draws", forest)], *shown, curves=curves, poems=poems)


def _section(results: Results, task: Task, forests: list[Any], *shown: tables.Table, **parts: list[Any]) -> Section:
    """A section with what all tasks have, and with its other `parts`; figures are (caption, SVG)."""
    leaderboard = tables.main_table(replace(task, title="Results on dev", rows=ranked(task.rows)), results.confidence)
    return {"task": task, "forests": forests, "tables": [leaderboard, *shown], **parts}


def _curves(task: str, rows: Iterable[str]) -> list[tuple[str, str]]:
    found = {row: _with_reported(row, curves_of(task, row)) for row in rows}
    limits = figures.curve_limits(list(found.values()))
    drawn = {row: curves for row, curves in found.items() if {*LOSSES, *SCORES} & curves.keys()}
    return [(row, figures.curve_panel(row, curves, limits)) for row, curves in drawn.items()]


def _with_reported(row: str, curves: Curves) -> Curves:
    """The curves of a row, and the report's accuracy on dev after each of its epochs over as many steps as ours."""
    if "select_accuracy" not in curves or not (theirs := reported_curve(row)):
        return curves
    steps = np.linspace(0, curves["select_accuracy"]["step"].max(), len(theirs) + 1)[1:]
    return {**curves, "reported_accuracy": pd.DataFrame({"step": steps, "value": theirs})}


def _answers(corpus: str, predictions: Rows) -> list[tuple[Any, ...]]:
    """Of every row: its name, the corpus, its classes' short names, the confusion counts and the surest mistakes."""
    texts, names = answers.dev_texts(corpus), SHORT_NAMES[corpus]
    return [(row, corpus, names, confusion(dev).tolist(), answers.mistakes(dev, texts))
            for row, dev in predictions.items()]  # fmt: skip


def write_pictures(folder: Path, results: Results) -> None:
    """All paraphrase rows, and poems for one prompt, in fixed colours on white for light and dark pages."""
    task, systems = results.paraphrase, ("top_p_tuned", "line_mbr", "verse")
    forest = figures.forest(task.rows, f"{task.measure} on dev", task.digits, width=400)
    ((_, poems),) = answers.poem_cards(results, systems, prompts=1)
    cards = [("the real poem", poems[0][1]), *poems[1:]]
    *_, width, height = map(float, re.findall(r"-?[\d.]+", forest.split("viewBox", 1)[1])[:4])
    shown = {"forest": forest, "width": width, "height": height, "confidence": results.confidence}
    with new_folder(folder) as scratch:
        write_text(scratch / "forest_paraphrase.svg", template("forest.svg.j2").render(shown))
        write_text(scratch / "poems.svg", template("poems.svg.j2").render(cards=cards))


def summary(results: Results, tests: Tests, augmented: Augmentation) -> str:
    """All tables but the page's further ones, with notes."""
    confidence, pairs, params = results.confidence, results.paraphrase, results.params
    shown = [
        tables.main_table(results.sentiment, confidence, further=False),
        *tables.member_tables(results, results.sentiment),
        tables.main_table(pairs, confidence),
        tables.table(f"Paired tests against {answers.BASELINE}", tests["paraphrase"], "tests", confidence),
        *tables.member_tables(results, pairs),
        tables.robustness_table(pairs.rows, confidence),
        *augmentation.augmentation_tables(augmented),
        tables.main_table(results.sonnets, confidence),
        *tables.sonnet_tables(results, tests["sonnets"]),
        tables.data_table(results.data),
    ]
    return template("summary.md.j2").render(params=params, data=results.data, tables=shown)


def template(name: str) -> Any:  # noqa: ANN401 - of jinja2, which is slow to import
    """A template of this folder; markup in values is escaped but in Markdown."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    escape, files = select_autoescape(("html.j2", "svg.j2")), FileSystemLoader(Path(__file__).parent)
    env = Environment(loader=files, autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    env.filters |= {"hidden_path": hidden_path, "markdown": tables.markdown}
    return env.get_template(name)


def comparability(params: Mapping[str, Any]) -> str:
    """Whether the reported figures can be compared with ours."""
    return str(template("sentences.j2").module.comparability(params))


def hidden_path(value: Any) -> Any:  # noqa: ANN401 - from YAML
    """A path, or parameters, as they may be shown: of absolute paths, which name their owner, the last part is kept."""
    if isinstance(value, Mapping):
        return {key: hidden_path(item) for key, item in value.items()}
    absolute = isinstance(value, str) and (PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute())
    return PureWindowsPath(value).name if absolute else value


def changed_parameters(params: Mapping[str, Any]) -> tables.Table:
    """Key, value here and value in profiles/<profile>.yaml of each parameter that differs; none gives no rows."""
    name, files = str(params["profile"]), {path.stem: path for path in sorted(Path("profiles").glob("*.yaml"))}
    if (path := files.get(name)) is None:
        raise InputError(f"{PARAMS}: profile: {name!r} has no file in profiles/; expected one of {', '.join(files)}")
    header, rows = ["Key", "Here", "Profile"], list(_differences(params, parse(path)))
    return tables.Table(f"Parameters that differ from {path}", header, rows, figures=False)


def _differences(here: Any, there: Any, prefix: str = "") -> Iterator[list[str]]:  # noqa: ANN401 - from YAML
    if isinstance(here, Mapping) and isinstance(there, Mapping):
        for key in dict.fromkeys([*here, *there]):
            own, other = (values.get(key, tables.NOTHING) for values in (here, there))
            yield from _differences(own, other, f"{prefix}.{key}".lstrip("."))
    elif here != there:
        yield [prefix, *(hidden_path(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
                         for value in (here, there))]  # fmt: skip
