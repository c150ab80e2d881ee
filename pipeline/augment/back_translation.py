"""Back-translation of training pairs (BET, Corbeil & Ghadivel 2020, https://arxiv.org/abs/2009.12452).

A sentence of a pair is translated into another language and back; the pair keeps its label. Both sentences and both
labels take part, and every translation is checked before it may train anything.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from pipeline.config.back_translation import Selection
from pipeline.files import read_csv, write_csv
from pipeline.text.prepared import Pair


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


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
