"""The prepared files, data/prepared/<corpus>/<split>: what `prepare` writes and every later stage reads.

sst, cfimdb        {train,select,dev,test}.csv    id,text,label             (label empty in test)
paraphrase         {train,select,dev,test}.csv    id,sentence1,sentence2,label
etpc               train.csv                      id,sentence1,sentence2,label   (no rows when the raw file is absent)
ap_h               {train,dev}.csv                id,sentence1,sentence2,label   (no rows when the raw file is absent)
sonnets            {train,select,dev,test}.jsonl  {"id", "prompt", "poem"}  (poem is null in test)
plays              train.jsonl                    {"text"}                  (no rows when the raw file is absent)
"""

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import read_csv, read_jsonl, write_csv, write_jsonl

PREPARED = Path("data/prepared")


@dataclass(frozen=True)
class Sentence:
    """A sentence or review with its sentiment, 0 (worst) upwards; None where unlabelled."""

    id: str
    text: str
    label: int | None


@dataclass(frozen=True)
class Pair:
    """Two sentences; label 1 = paraphrases, 0 = not, None where unlabelled."""

    id: str
    sentence1: str
    sentence2: str
    label: int | None


@dataclass(frozen=True)
class Poem:
    """A sonnet: `prompt` is its first three lines, `text` all lines joined by newlines (None for a bare prompt)."""

    id: int
    prompt: str
    text: str | None


SENTENCE = ("id", "text", "label")
PAIR = ("id", "sentence1", "sentence2", "label")


def write_sentences(path: Path, rows: Iterable[Sentence]) -> None:
    """Write a sentiment split."""
    write_csv(path, SENTENCE, map(attrgetter(*SENTENCE), rows))


def read_sentences(path: Path) -> list[Sentence]:
    """Read a sentiment split."""
    return [Sentence(row["id"], row["text"], _label(row["label"])) for row in read_csv(path, SENTENCE)]


def write_pairs(path: Path, rows: Iterable[Pair]) -> None:
    """Write a paraphrase split."""
    write_csv(path, PAIR, map(attrgetter(*PAIR), rows))


def read_pairs(path: Path) -> list[Pair]:
    """Read a paraphrase split."""
    return [Pair(row["id"], row["sentence1"], row["sentence2"], _label(row["label"])) for row in read_csv(path, PAIR)]


def write_poems(path: Path, poems: Iterable[Poem]) -> None:
    """Write a sonnet split."""
    write_jsonl(path, ({"id": poem.id, "prompt": poem.prompt, "poem": poem.text} for poem in poems))


def read_poems(path: Path) -> list[Poem]:
    """Read a sonnet split."""
    try:
        return [Poem(row["id"], row["prompt"], row["poem"]) for row in read_jsonl(path)]
    except (KeyError, TypeError):
        raise InputError(f"{path}: expected id, prompt and poem in every line; delete it and run `dvc repro`") from None


def read_texts(path: Path) -> list[str]:
    """Read plain text documents."""
    return [row["text"] for row in read_jsonl(path)]


def _label(cell: str) -> int | None:
    return int(cell) if cell else None
