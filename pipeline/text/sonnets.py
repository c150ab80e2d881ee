"""Sonnets in the course's layout: a header, then for each sonnet its number on a line of its own and its lines.

A poem keeps its lines in order, each with single spaces and without the indentation of the couplet.
"""

import re
from collections import Counter
from pathlib import Path

from pipeline.errors import InputError
from pipeline.text.normalise import clean
from pipeline.text.prepared import Poem
from pipeline.text.table import Counts, read_lines

PROMPT_LINES = 3
_NUMBER = re.compile(r"\d{1,6}\.?")


def read_poems_with_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Whole poems, prompted with their first three lines; poems that end there are dropped."""
    counts: Counts = Counter()
    poems = []
    for number, lines in _numbered(path, counts).items():
        if len(lines) != 14:
            counts["not_14_lines"] += 1
        if len(lines) > PROMPT_LINES:
            poems.append(_poem(number, lines))
        else:
            counts["dropped_too_short"] += 1
    if not poems:
        raise InputError(f"{path}: no sonnet has more than {PROMPT_LINES} lines; expected whole poems")
    return poems, counts


def read_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Prompts without their poems."""
    counts: Counts = Counter()
    prompts = [Poem(number, _poem(number, lines).prompt, None) for number, lines in _numbered(path, counts).items()]
    return prompts, counts


def join_poems(prompts: list[Poem], path: Path) -> list[Poem]:
    """`prompts` completed by the poems of the same number in `path`."""
    texts = {poem.id: poem.text for poem in read_poems_with_prompts(path)[0]}
    missing = [str(prompt.id) for prompt in prompts if prompt.id not in texts]
    if missing:
        raise InputError(f"{path}: no whole poem for sonnet {', '.join(missing)}, whose prompt is in the held-out file")
    return [Poem(prompt.id, prompt.prompt, texts[prompt.id]) for prompt in prompts]


def _poem(number: int, lines: list[str]) -> Poem:
    return Poem(number, "\n".join(lines[:PROMPT_LINES]), "\n".join(lines))


def _numbered(path: Path, counts: Counts) -> dict[int, list[str]]:
    """The lines of each sonnet by number; a repeated number keeps its first sonnet, one without lines is dropped."""
    sections: list[tuple[int, list[str]]] = []
    for line in map(clean, read_lines(path)):
        if _NUMBER.fullmatch(line):
            sections.append((int(line.rstrip(".")), []))
        elif line and sections:
            sections[-1][1].append(line)
    if not sections:
        raise InputError(f"{path}: no sonnet found; expected a line with only its number above each one")
    sonnets: dict[int, list[str]] = {}
    for number, lines in sections:
        counts["raw_rows"] += 1
        if not lines:
            counts["dropped_empty_text"] += 1
        elif number in sonnets:
            counts["dropped_duplicate"] += 1
        else:
            sonnets[number] = lines
    if not sonnets:
        raise InputError(f"{path}: every sonnet is empty; expected lines of text below each number")
    return sonnets
