"""`dvc plots show` and `dvc plots diff` on invented results: pages that a browser without network draws."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert
from browser import dom, needs_browser
from report_project import ROOT
from ruamel.yaml import YAML

from pipeline.evaluation.predictions import Predictions
from pipeline.files import read_csv, write_csv
from pipeline.report import plot_tables
from pipeline.report.augmentation import Augmentation
from pipeline.report.results import Results, Task

PLOTS = YAML(typ="safe").load(ROOT / "dvc.yaml")["plots"]
FIGURES = {name: values for figure in PLOTS for name, values in figure.items()}
EMPTY = "Loss before the tasks"  # this project has no curves of a backbone, a generator or first stages
OLD, NEW = "#945dd6", "#13adc7"  # DVC's colours of the first and second revision
MATRICES = {"Confusion in sentiment", "Confusion in paraphrase detection"}  # coloured by share


def write_results(rows: list[str], shift: float) -> None:
    """plots/tables for paraphrase rows of these names and one row of the other tasks, `shift` apart in all scores."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    positive = np.clip(0.3 * labels + rng.uniform(0, 0.7, 60) + shift / 4, 0.02, 0.98)
    dev = Predictions([str(number) for number in range(60)], labels, np.stack([1 - positive, positive], axis=1))
    for task, names in (("sentiment", ["cfimdb_full"]), ("paraphrase", rows), ("sonnet", ["full"])):
        for name in names:
            score = "select_chrf" if task == "sonnet" else "select_accuracy"
            for curve in ("train_loss", "select_loss", score, *(["kl"] if task == "paraphrase" else [])):
                points = [[step, 0.5 + shift + 1 / step] for step in range(10, 60, 10)]
                write_csv(Path(f"plots/curves/{task}/{name}/{curve}.tsv"), ["step", curve], points, delimiter="\t")

    def scored(names: list[str], group: str = "") -> pd.DataFrame:
        values = np.array([0.6 + shift - 0.05 * place for place in range(len(names))])
        ap_h = {"ap_h_accuracy": 0.4 + shift, "ap_h_accuracy_low": 0.3, "ap_h_accuracy_high": 0.6}
        headline = {"value": values, "low": values - 0.1, "high": values + 0.1, "reported": 0.9}
        return pd.DataFrame({"name": names, "group": group, **headline, **ap_h})

    params = {"sentiment": {"methods": {"cfimdb_full": {}}}, "sonnet": {"methods": {"full": {}}},
              "paraphrase": {"methods": dict.fromkeys(rows, {}), "first_stages": {}}}  # fmt: skip
    results = Results(
        params,
        0.95,
        Task("sentiment", "Sentiment", "Accuracy", "Handout", 4, scored(["cfimdb_full"], "CFIMDB")),
        Task("paraphrase", "Paraphrase detection", "Accuracy", "Reported", 4, scored(rows)),
        Task("sonnets", "Sonnets", "chrF", "Reported", 2, scored(["top_p"])),
        {"prompt_only_chrf": 0.2},
        {"cfimdb": {"dev": {"majority": 0.5}}},
    )
    apt = {"candidates": 90, "scored": 80, "adversarial": 8, "ordinary": 9}
    augmented = Augmentation({"es": {"candidates": 200, "accepted": 130, "copy": 50, "drift": 20}}, apt, {})
    predictions = {"sentiment": {"cfimdb_full": dev}, "paraphrase": dict.fromkeys(rows, dev)}
    plot_tables.write(Path("plots/tables"), results, predictions, augmented)


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the pages of show and diff, and two commits: the second has a row more, and no other dvc.yaml."""
    folder, before = tmp_path_factory.mktemp("plots"), Path.cwd()
    os.chdir(folder)
    try:
        shutil.copytree(ROOT / ".dvc/plots", ".dvc/plots")
        shutil.copy(ROOT / ".dvc/config", ".dvc/config")
        with open("dvc.yaml", "w") as file:
            YAML(typ="safe").dump({"plots": PLOTS}, file)
        call("git", "init", "-q")
        for rows, shift in ((["baseline", "r_drop"], 0.0), (["baseline", "r_drop", "fresh"], 0.05)):
            write_results(rows, shift)
            call("git", "add", "dvc.yaml", "plots/tables")
            call("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "results")
        for name, command in (("show", ["show"]), ("diff", ["diff", "HEAD~1", "HEAD"])):
            done = dvc("plots", *command, "--out", name)
            assert done.returncode == 0 and "failed" not in done.stderr, done.stderr
            bundled(Path(name, "index.html"))
    finally:
        os.chdir(before)
    return folder


def bundled(page: Path) -> None:
    """Put the libraries that the page would load from the web into it, and let it draw what a parser can read."""
    libraries = vl_convert.javascript_bundle("window.draw = vegaEmbed;", "5.21")
    embed = "window.vegaEmbed = (where, figure) => draw(where, figure, {renderer: 'svg', actions: false});"
    text, count = re.subn(r'<script[^>]*src="https://[^"]*"[^>]*></script>', "", page.read_text(encoding="utf-8"))
    assert count == 3  # vega, vega-lite and vega-embed
    scripts = f"<script>(() => {{{libraries}}})(); {embed}</script>"
    page.write_text(text.replace("<title>", scripts + "<title>"), encoding="utf-8")


def dvc(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)


def call(*command: str) -> None:
    subprocess.run(command, check=True)


@dataclass
class Figure:
    """What a browser drew for one figure: marks by kind such as symbol or line, their colours, and all text."""

    marks: Counter[str] = field(default_factory=Counter)
    colours: set[str] = field(default_factory=set)
    text: list[str] = field(default_factory=list)


class Drawn(HTMLParser):
    """The figures of a page after its scripts ran, by the names of dvc.yaml."""

    VOID = {"meta", "br", "link", "input"}

    def __init__(self, dom: str) -> None:
        super().__init__()
        self.names = {name.replace(" ", "_"): name for name in FIGURES}
        self.figures: dict[str, Figure] = {}
        self.open: list[tuple[str, str]] = []  # tag and kind of mark, of every element that is not closed yet
        self.name = ""
        self.sources: list[str] = []
        self.feed(dom)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        if "src" in values or tag == "link":
            self.sources.append(str(values))
        if tag == "div" and values.get("id") in self.names:
            self.name = self.names[values["id"]]
            self.figures[self.name] = Figure()
        classes = values.get("class", "").split()
        kind = next((name[5:] for name in classes if name.startswith("mark-") and "role-mark" in classes), "")
        around = self.open[-1][1] if self.open else ""
        if around and tag in ("path", "line", "text"):
            figure = self.figures[self.name]
            assert "NaN" not in str(values) and "undefined" not in str(values), (self.name, values)
            figure.marks[around] += 1
            figure.colours |= {values[key] for key in ("fill", "stroke") if key in values}
        if tag not in self.VOID:
            self.open.append((tag, kind if tag == "g" else ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self.name and not any(tag in ("script", "style") for tag, _ in self.open):
            self.figures[self.name].text.append(data.strip())


def drawn(page: Path, profile: Path) -> dict[str, Figure]:
    """The page in a browser that finds no host of any name."""
    found = Drawn(dom(page, profile))
    assert found.sources == []
    assert list(found.figures) == [name for name in FIGURES if name in found.figures]
    return found.figures


def test_tables_hold_every_row_and_little_else(plots: Path) -> None:
    def table(name: str) -> list[dict[str, str]]:
        return read_csv(plots / f"plots/tables/{name}.csv", [])

    rows = ["baseline", "r_drop", "fresh"]
    for name in ("confusion_paraphrase", "precision_recall", "reliability", "loss_paraphrase", "score_paraphrase"):
        assert list(dict.fromkeys(line["row"] for line in table(name))) == rows, name
    forest = [line for line in table("forest_accuracy") if line["dataset"] == "Quora Question Pairs"]
    values = [float(line["value"]) for line in forest]
    assert sorted(line["row"] for line in forest) == sorted(rows) and values == sorted(values, reverse=True)
    assert table("funnels")[2] == {"source": "Back-translation, es", "place": "2", "step": "− drift", "left": "130"}
    assert {(line["row"], line["split"]) for line in table("terms")} == {(f"{row}: kl", "train") for row in rows}
    counts = [line for line in table("confusion_paraphrase") if line["row"] == "fresh"]
    assert sum(int(line["count"]) for line in counts) == 60
    assert sum(float(line["share"]) for line in counts if line["actual"] == "yes") == pytest.approx(1, abs=1e-5)


def test_a_long_curve_keeps_its_last_point() -> None:
    steps = np.arange(1, 1000)
    points = pd.DataFrame({"step": steps, "value": 1 / steps})
    table = plot_tables.curve_table({"row": {"train_loss": points}}, ["train_loss"])
    assert list(table) == ["row", "split", "step", "value"] and len(table) <= plot_tables.POINTS + 1
    assert table.iloc[0].tolist() == ["row", "train", 1, 1.0] and table.iloc[-1].tolist() == [
        "row",
        "train",
        999,
        1 / 999,
    ]


def test_pages_hold_every_figure(plots: Path) -> None:
    for name in ("show", "diff"):
        text = (plots / name / "index.html").read_text(encoding="utf-8")
        assert [name for name in FIGURES if f'<div id = "{name.replace(" ", "_")}">' not in text] == []


@needs_browser
def test_show_draws_every_row(plots: Path, tmp_path: Path) -> None:
    figures = drawn(plots / "show/index.html", tmp_path)
    assert not figures[EMPTY].marks
    marks = {name: figure.marks for name, figure in figures.items()}
    # Four rows with an interval and a reported figure, and a floor; in each matrix four cells.
    assert marks["Forest plot of accuracy"] == {"rule": 4, "symbol": 9}
    assert marks["Forest plot of chrF"] == {"rule": 1, "symbol": 3}
    assert marks["Confusion in paraphrase detection"] == {"rect": 12, "text": 12}
    assert marks["Precision and recall"]["line"] == marks["Terms of the paraphrase losses"]["line"] == 3
    assert marks["Loss in paraphrase detection"] == {"line": 6, "symbol": 15}
    assert marks["Accuracy in paraphrase detection over training"] == {"line": 3, "symbol": 15}
    assert marks["Reliability"]["line"] == 3 and marks["Reliability"]["rule"] == marks["Reliability"]["symbol"] > 9
    assert marks["Augmentation funnels"] == {"rect": 7, "text": 7}
    assert min(count.total() for name, count in marks.items() if name != EMPTY) >= 3
    for name, figure in figures.items():
        if name != EMPTY:
            words = {FIGURES[name][key] for key in ("title", "x_label", "y_label") if key in FIGURES[name]}
            assert words <= set(figure.text), name
            assert name in MATRICES or OLD in figure.colours and NEW not in figure.colours, name


@needs_browser
def test_diff_tells_revisions_apart(plots: Path, tmp_path: Path) -> None:
    figures = drawn(plots / "diff/index.html", tmp_path)
    for name in FIGURES:
        if name == EMPTY:
            continue
        assert {"HEAD~1", "HEAD"} <= set(figures[name].text), name
        assert name in MATRICES or {OLD, NEW} <= figures[name].colours, name
    assert figures["Forest plot of accuracy"].marks == {"rule": 7, "symbol": 16}  # the row more in one of them
    assert figures["Confusion in paraphrase detection"].marks == {"rect": 20, "text": 20}
    assert figures["Loss in paraphrase detection"].marks["line"] == 10
    about_pairs = [name for name in FIGURES if "paraphrase" in name] + ["Precision and recall", "Reliability"]
    assert [name for name in about_pairs if not any("fresh" in text for text in figures[name].text)] == []
