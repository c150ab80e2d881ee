"""Back-translation of training pairs (BET, Corbeil & Ghadivel 2020, https://arxiv.org/abs/2009.12452).

A sentence of a pair is translated into another language and back; the pair keeps its label. Both sentences and both
labels take part, and every translation is checked before it may train anything.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

from pipeline.config.augmentation import Selection
from pipeline.errors import InputError
from pipeline.files import read_csv, read_jsonl, write_csv, write_jsonl
from pipeline.text.prepared import Pair

BACK_TRANSLATIONS = Path("data/augmented/back_translation")  # <language>/candidates.csv
TRANSLATIONS = Path("data/augmented/translations")  # of the shards: <language>/<shard>/translations.jsonl


@dataclass(frozen=True)
class Translation:
    """A sentence and its back-translation, empty where there is none; similarity as in Candidate."""

    source: str
    translation: str
    similarity: float | None


@dataclass(frozen=True)
class Candidate:
    """A back-translation of one sentence of a training pair; similarity and chrF are to `source`, None if not taken."""

    id: str  # of the training pair
    sentence: str  # which one was translated: sentence1 or sentence2
    label: int
    source: str
    translation: str
    other: str
    similarity: float | None
    chrf: float | None
    verdict: str


def select(pairs: Sequence[Pair], selection: Selection, language: str) -> list[tuple[Pair, str]]:
    """The (pair, sentence) to translate, in the order of `pairs`.

    Pairs are drawn by a hash of language and text, not by the seed: another seed, another split or more data translate
    mostly the same sentences, which the memory has.
    """
    eligible = [index for index, pair in enumerate(pairs) if pair.label in selection.labels]
    if selection.pairs is not None:
        eligible.sort(key=lambda index: _rank(pairs[index], language))
        eligible = sorted(eligible[: selection.pairs])
    return [(pairs[index], sentence) for index in eligible for sentence in selection.sentences]


def _rank(pair: Pair, language: str) -> bytes:
    return hashlib.sha256("\t".join([language, pair.sentence1, pair.sentence2]).casefold().encode()).digest()


def distinct_sentences(selected: Sequence[tuple[Pair, str]]) -> list[str]:
    """What is to be translated, each sentence once."""
    return list(dict.fromkeys(getattr(pair, sentence) for pair, sentence in selected))


def write_translations(folder: Path, translations: Sequence[Translation]) -> None:
    """What one shard has done."""
    write_jsonl(folder / "translations.jsonl", map(asdict, translations))


def read_translations(language: str, shards: Sequence[int], wanted: Sequence[str]) -> dict[str, Translation]:
    """What all shards of a language have done, by source; they must have done all that is `wanted`."""
    files = [TRANSLATIONS / language / str(shard) / "translations.jsonl" for shard in shards]
    found = {row["source"]: Translation(**row) for file in files for row in read_jsonl(file)}
    if missing := [source for source in wanted if source not in found]:
        raise InputError(f"{TRANSLATIONS / language}: {missing[0]!r} is missing; run `dvc repro`")
    return found


COLUMNS = [field.name for field in fields(Candidate)]


def write_candidates(path: Path, candidates: Sequence[Candidate]) -> None:
    """All candidates with their scores and verdicts."""
    write_csv(path, COLUMNS, map(astuple, candidates))


def read_candidates(path: Path) -> list[Candidate]:
    """What `write_candidates` wrote."""
    return [
        Candidate(
            row["id"],
            row["sentence"],
            int(row["label"]),
            row["source"],
            row["translation"],
            row["other"],
            _number(row["similarity"]),
            _number(row["chrf"]),
            row["verdict"],
        )
        for row in read_csv(path, COLUMNS)
    ]


def read_back_translations(folder: Path) -> dict[str, list[str]]:
    """Back-translations by their source, through every language."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.glob("*/candidates.csv")):
        for row in read_candidates(path):
            found[row.source].append(row.translation)
    return dict(found)


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
