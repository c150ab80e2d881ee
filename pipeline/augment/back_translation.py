"""Back-translation of training pairs (BET, Corbeil & Ghadivel 2020, https://arxiv.org/abs/2009.12452).

A sentence of a pair is translated into another language and back; the pair keeps its label. Both sentences and both
labels take part, and every translation is checked (quality.py) before it may train anything.

The sentences are translated by shards, which are DVC stages, perhaps on several machines. The last bits of a model's
output depend on what shares its batch, so no batch may depend on the number of shards: the work is cut into blocks of a
fixed size, every block is done by itself, and shard k of n does blocks k, k + n, k + 2n...
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline.config.augmentation import Selection
from pipeline.errors import InputError
from pipeline.files import read_csv, read_jsonl, write_csv, write_jsonl
from pipeline.text.prepared import Pair

BACK_TRANSLATIONS = Path("data/augmented/back_translation")  # <language>/candidates.csv
TRANSLATIONS = Path("data/augmented/translations")  # of the shards: <language>/<shard>/translations.jsonl
SENTENCES = 1024  # translated together
Item = TypeVar("Item")


class Translation(NamedTuple):
    """A sentence and its back-translation, empty where there is none; similarity is the cosine, None if not taken."""

    source: str
    translation: str
    similarity: float | None


class BackTranslated(NamedTuple):
    """A back-translation of one sentence of a training pair; similarity and chrF are to `source`."""

    id: str  # of the training pair
    sentence: str  # which one was translated: sentence1 or sentence2
    label: int
    source: str
    translation: str
    other: str
    similarity: float | None
    chrf: float
    verdict: str


def blocks_of(items: Sequence[Item], size: int, shard: int, shards: int) -> list[Sequence[Item]]:
    """The blocks of `size` items that fall to shard `shard` of `shards`; the last of all blocks may be shorter."""
    return [items[start : start + size] for start in range(shard * size, len(items), shards * size)]


def select_sentences(pairs: Sequence[Pair], selection: Selection, language: str) -> list[tuple[Pair, str]]:
    """The (pair, sentence) to translate, in the order of `pairs`.

    Pairs are drawn by a hash of language and text, not by the seed: another seed, another split or more data translate
    mostly the same sentences, which the memory has.
    """

    def rank(index: int) -> bytes:
        text = "\t".join([language, pairs[index].sentence1, pairs[index].sentence2])
        return hashlib.sha256(text.casefold().encode()).digest()

    eligible = [index for index, pair in enumerate(pairs) if pair.label in selection.labels]
    if selection.pairs is not None:
        eligible = sorted(sorted(eligible, key=rank)[: selection.pairs])
    return [(pairs[index], sentence) for index in eligible for sentence in selection.sentences]


def distinct_sentences(selected: Sequence[tuple[Pair, str]]) -> list[str]:
    """What is to be translated, each sentence once."""
    return list(dict.fromkeys(getattr(pair, sentence) for pair, sentence in selected))


def write_translations(folder: Path, translations: Sequence[Translation]) -> None:
    """What one shard has done."""
    write_jsonl(folder / "translations.jsonl", (row._asdict() for row in translations))


def read_translations(language: str, shards: Sequence[int], wanted: Sequence[str]) -> dict[str, Translation]:
    """What all shards of a language have done, by source; they must have done all that is `wanted`."""
    files = [TRANSLATIONS / language / str(shard) / "translations.jsonl" for shard in shards]
    found = {row["source"]: Translation(**row) for file in files for row in read_jsonl(file)}
    if missing := [source for source in wanted if source not in found]:
        raise InputError(f"{TRANSLATIONS / language}: {missing[0]!r} is missing; run `dvc repro`")
    return found


def write_back_translated(folder: Path, rows: Sequence[BackTranslated]) -> None:
    """All back-translations through one language with their scores and verdicts."""
    write_csv(folder / "candidates.csv", BackTranslated._fields, rows)


def read_back_translated(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """(language, cells by column) of every back-translation through every language."""
    for path in sorted(folder.glob("*/candidates.csv")):
        for row in read_csv(path, BackTranslated._fields):
            yield path.parent.name, row


def letters(text: str) -> str:
    """The text without case, punctuation and spaces: what makes two texts the same."""
    return re.sub(r"[\W_]+", "", text).casefold()
