"""The prepared files, data/prepared/<corpus>/<split>: what `prepare` writes and every later stage reads.

sst, cfimdb        {train,select,dev,test}.csv    id,text,label             (label empty in test)
paraphrase         {train,select,dev,test}.csv    id,sentence1,sentence2,label
etpc               train.csv                      id,sentence1,sentence2,label   (no rows when the raw file is absent)
ap_h               {train,dev}.csv                id,sentence1,sentence2,label   (no rows when the raw file is absent)
sonnets            {train,select,dev,test}.jsonl  {"id", "prompt", "poem"}  (poem is null in test)
plays              train.jsonl                    {"text"}                  (no rows when the raw file is absent)
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pipeline.files import read_csv, read_jsonl, write_csv, write_jsonl

PREPARED = Path("data/prepared")
GIVEN_LINES = 3
SONNET_LINES = 14


class Sentence(NamedTuple):
    id: str
    text: str  # a sentence or review
    label: int | None  # its sentiment, 0 (worst) upwards; None where unlabelled


class Pair(NamedTuple):
    id: str
    sentence1: str
    sentence2: str
    label: int | None  # 1: paraphrases, 0: not; None where unlabelled


class Poem(NamedTuple):
    id: int
    prompt: str  # its first three lines
    text: str | None  # all its lines, joined by newlines; None for a bare prompt


@dataclass(frozen=True)
class Generated:
    """One poem of a system, as generation writes and evaluation reads it."""

    id: int
    draw: int
    prompt: str
    text: str  # begins with the prompt
    nll: float | None = None  # mean over the completion's tokens under the scoring model, in nats; None without any

    @property
    def completion(self) -> str:
        return self.text[len(self.prompt) :]

    @cached_property
    def lines(self) -> list[str]:
        return lines_of(self.text)

    @cached_property
    def new_lines(self) -> list[str]:
        return self.lines[GIVEN_LINES:]


def write_sentences(path: Path, rows: Iterable[Sentence]) -> None:
    write_csv(path, Sentence._fields, rows)


def read_sentences(path: Path) -> list[Sentence]:
    rows = read_csv(path, Sentence._fields)
    return [Sentence(row["id"], row["text"], int(row["label"]) if row["label"] else None) for row in rows]


def write_pairs(path: Path, rows: Iterable[Pair]) -> None:
    write_csv(path, Pair._fields, rows)


def read_pairs(path: Path) -> list[Pair]:
    rows = [[row[name] for name in Pair._fields] for row in read_csv(path, Pair._fields)]
    return [Pair(name, first, second, int(label) if label else None) for name, first, second, label in rows]


def write_poems(path: Path, poems: Iterable[Poem]) -> None:
    write_jsonl(path, ({"id": poem.id, "prompt": poem.prompt, "poem": poem.text} for poem in poems))


def read_poems(path: Path) -> list[Poem]:
    return [Poem(row["id"], row["prompt"], row["poem"]) for row in read_jsonl(path)]


def lines_of(text: str) -> list[str]:
    """The lines of a poem, without indentation and blank lines."""
    return [line.strip() for line in text.split("\n") if line.strip()]


def words_of(text: str) -> list[str]:
    """Lower-cased words; an apostrophe inside or in front belongs to its word ('tis, feel'st)."""
    return [match.group().lower() for match in word_matches(text)]


def word_matches(text: str) -> list[re.Match[str]]:
    """The words of a text with their places."""
    return list(re.finditer(r"'?\w+(?:['-]\w+)*", text.replace("\u2019", "'")))


def jaccard(pair: Pair) -> float:
    """Shared words over all words of a pair, without regard to case."""
    first, second = (set(re.findall(r"\w+", text.lower())) for text in (pair.sentence1, pair.sentence2))
    return len(first & second) / len(first | second) if first or second else 1.0
