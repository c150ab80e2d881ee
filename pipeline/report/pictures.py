"""plots/pictures: what README.md shows, drawn in fixed colours so that it is readable on light and dark pages."""

import re
from html import escape
from pathlib import Path
from textwrap import wrap

from pipeline.files import new_folder, write_text
from pipeline.report.excerpts import Card, poem_cards
from pipeline.report.figures import forest
from pipeline.report.results import Results
from pipeline.report.tables import percent

COLOURS = {"ink": "#16191d", "muted": "#646b73", "line": "#dcdfe1", "accent": "#0b5c8f", "paper": "#ffffff"}
SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
SERIF = "Georgia, 'Times New Roman', serif"
SYSTEMS = ("top_p_tuned", "line_mbr", "verse")
COLUMN, LINE, CHARACTERS = 400, 20, 54  # width of a poem and height of a line in pixels; a longer line is broken
HEAD = 62  # from the top of a poem's part to its first line


def write(folder: Path, results: Results) -> None:
    """Write both pictures."""
    with new_folder(folder) as scratch:
        write_text(scratch / "forest_paraphrase.svg", forest_picture(results))
        write_text(scratch / "poems.svg", poems_picture(results))


def forest_picture(results: Results) -> str:
    """All paraphrase rows with their intervals and the reported figures."""
    task = results.paraphrase
    figure = forest(task.rows, f"{task.measure} on dev", task.digits, width=400)
    box = re.search(r'viewBox="(\S+) (\S+) (\S+) (\S+)"', figure)
    assert box is not None  # figures.to_svg writes one
    left, top, width, height = map(float, box.groups())
    key = (
        f'<g transform="translate({left},{top - 18})" font-size="10.5" fill="var(--muted)">'
        '<path d="M0 0h24" stroke="var(--accent)" stroke-width="2.2" opacity=".45"/>'
        '<circle cx="12" r="3" fill="var(--accent)"/>'
        f'<text x="32" y="3.5">ours with its {percent(results.confidence)}</text>'
        '<path d="M200 0l4 -4l4 4l-4 4z" fill="none" stroke="var(--muted)"/>'
        '<text x="216" y="3.5">reported by others</text></g>'
    )
    body = figure[figure.index(">") + 1 : -len("</svg>")]
    body = re.sub(r"var\(--(\w+)\)", lambda name: COLOURS[name[1]], key + body)
    label = re.search(r'aria-label="([^"]*)"', figure)
    assert label is not None
    return picture((left - 16, top - 44, width + 32, height + 56), SANS, label[1], body)


def poems_picture(results: Results) -> str:
    """The real poem and those of SYSTEMS for the first dev prompt, two by two."""
    ((_, (real, *others)),) = poem_cards(list(results.sonnets.rows["name"]), SYSTEMS, prompts=1)
    cards = [real._replace(title="the real poem"), *others]
    blocks = [[part for line in card.lines for part in _lines(*line)] for card in cards]
    parts, y = [], 0
    for first in range(0, len(cards), 2):
        pair = list(zip(cards, blocks, strict=True))[first : first + 2]
        for column, (card, block) in enumerate(pair):
            parts.append(f'<g transform="translate({28 + column * (COLUMN + 28)},{y})">{_poem(card, block)}</g>')
        y += HEAD + LINE * max(len(block) for _, block in pair) + 10
    label = "The same three given lines continued by " + ", ".join(card.title for card in cards)
    return picture((0, 0, 2 * COLUMN + 84, y + 14), SERIF, label, "".join(parts))


def _lines(given: bool, parts: list[tuple[str, bool]]) -> list[tuple[bool, str]]:
    """A line of a poem as the lines that are drawn: (was it given, its text)."""
    text = "".join(text for text, _ in parts)
    return [(given, piece) for piece in wrap(text, CHARACTERS, subsequent_indent="    ")]


def _poem(card: Card, lines: list[tuple[bool, str]]) -> str:
    title = f'<text y="36" font-family="{SANS}" font-size="13" font-weight="600">{escape(card.title)}</text>'
    rule = f'<path d="M0 44h{COLUMN}" stroke="{COLOURS["line"]}"/>'
    parts = [title, rule]
    gap = 0
    for place, (given, text) in enumerate(lines):
        if not given and place and lines[place - 1][0]:
            gap = 8
        indent = 20 if text.startswith("    ") else 0
        look = f' fill="{COLOURS["muted"]}" font-style="italic"' if given else ""
        y = HEAD + 4 + gap + LINE * place
        parts.append(f'<text x="{indent}" y="{y}" font-size="15"{look}>{escape(text.strip())}</text>')
    return "".join(parts)


def picture(box: tuple[float, float, float, float], font: str, label: str, body: str) -> str:
    """A whole SVG file on a white ground."""
    left, top, width, height = (f"{part:g}" for part in box)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{label}" '
        f'viewBox="{left} {top} {width} {height}" font-family="{font}" fill="{COLOURS["ink"]}">'
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" fill="#fff"/>{body}</svg>\n'
    )
