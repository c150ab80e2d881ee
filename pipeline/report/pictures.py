"""plots/pictures: what README.md shows, drawn in fixed colours on white, which is readable on light and dark pages."""

import re
from pathlib import Path
from textwrap import wrap
from typing import Any

from pipeline.files import new_folder, write_text
from pipeline.report.excerpts import Card, poem_cards
from pipeline.report.figures import forest
from pipeline.report.page import template
from pipeline.report.results import Results
from pipeline.report.tables import percent

COLOURS = {"ink": "#16191d", "muted": "#646b73", "line": "#dcdfe1", "accent": "#0b5c8f", "paper": "#ffffff"}
SYSTEMS = ("top_p_tuned", "line_mbr", "verse")  # beside the real poem
COLUMN, LINE, CHARACTERS = 400, 20, 54  # a poem's width, a line's height (pixels); a longer line is broken
HEAD, STANZA = 66, 8  # from a poem's top to its first line, and between the given and the other lines
KEY = """<g transform="translate({left},{top})" font-size="10.5" fill="var(--muted)">
<path d="M0 0h24" stroke="var(--accent)" stroke-width="2.2" opacity=".45"/><circle cx="12" r="3" fill="var(--accent)"/>
<text x="32" y="3.5">ours with its {interval}</text>
<path d="M200 0l4 -4l4 4l-4 4z" fill="none" stroke="var(--muted)"/><text x="216" y="3.5">reported by others</text>
</g>
"""


def write(folder: Path, results: Results) -> None:
    """Write both pictures."""
    with new_folder(folder) as scratch:
        write_text(scratch / "forest_paraphrase.svg", forest_picture(results))
        write_text(scratch / "poems.svg", poems_picture(results))


def forest_picture(results: Results) -> str:
    """All paraphrase rows with their intervals and the reported figures."""
    task = results.paraphrase
    head, body = forest(task.rows, f"{task.measure} on dev", task.digits, width=400).split(">", 1)
    left, top, width, height = map(float, re.findall(r"-?[\d.]+", head.split("viewBox")[1]))
    box = [left - 16, top - 44, width + 32, height + 56]
    places = 'x="{:g}" y="{:g}" width="{:g}" height="{:g}"'.format(*box)
    head = re.sub(r'viewBox="[^"]*"', f'{places} viewBox="{" ".join(f"{part:g}" for part in box)}"', head)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif"')
    key = KEY.format(left=left, top=top - 18, interval=percent(results.confidence))
    text = f'{head}><rect {places} fill="#fff"/>\n{key}{body}\n'
    return re.sub(r"var\(--(\w+)\)", lambda name: COLOURS[name[1]], text)


def poems_picture(results: Results) -> str:
    """The real poem and those of SYSTEMS for the first dev prompt, two by two."""
    ((_, (real, *others)),) = poem_cards(list(results.sonnets.rows["name"]), SYSTEMS, prompts=1)
    cards = [real._replace(title="the real poem"), *others]
    poems: list[dict[str, Any]] = []
    top = 0
    for first in range(0, len(cards), 2):
        pair = [(card.title, _lines(card)) for card in cards[first : first + 2]]
        for place, (title, lines) in enumerate(pair):
            poems.append({"title": title, "x": 28 + place * (COLUMN + 28), "y": top, "lines": lines})
        top += max(lines[-1]["y"] for _, lines in pair) + 18
    titles = ", ".join(card.title for card in cards)
    return template("poems.svg.j2").render(
        poems=poems, titles=titles, column=COLUMN, width=2 * COLUMN + 84, height=top + 10
    )


def _lines(card: Card) -> list[dict[str, Any]]:
    """The lines of a poem with their places; what is broken off a long line is indented."""
    found: list[dict[str, Any]] = []
    for given, parts in card.lines:
        for place, text in enumerate(wrap("".join(text for text, _ in parts), CHARACTERS)):
            y = HEAD + LINE * len(found) + (0 if given else STANZA)
            found.append({"text": text, "given": given, "x": 20 if place else 0, "y": y})
    return found
