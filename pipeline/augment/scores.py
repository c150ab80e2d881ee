"""Scores of sentence pairs, computed once: a cache keyed by scorer, its revision and the two texts.

A score is rounded to 4 decimals before anybody uses it, so that a run which reads it from the cache and a run which
computes it decide alike. Every chunk is committed at once: a killed run loses one chunk at most.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from pipeline.augment.store import friendly, open_store
from pipeline.errors import InputError

SCORES = Path("data/memory/scores.sqlite")
DECIMALS = 4
CHUNK = 128  # pairs scored and committed together
Sentences = tuple[str, str]
_SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
    scorer TEXT NOT NULL, revision TEXT NOT NULL, first TEXT NOT NULL, second TEXT NOT NULL, score REAL NOT NULL,
    PRIMARY KEY (scorer, revision, first, second)
) WITHOUT ROWID
"""


class Scorer(Protocol):
    """Scores pairs in the direction first -> second; `revision` identifies everything that the score depends on."""

    @property
    def name(self) -> str:
        """What the score is, such as nli or chrf."""

    @property
    def revision(self) -> str:
        """Its version: equal revisions give equal scores."""

    def score(self, pairs: Sequence[Sentences]) -> Sequence[float]:
        """One finite score for each pair, in the order of the pairs."""


class ScoreCache:
    """The scores in an SQLite file, which several processes may share; leaving the context closes it."""

    def __init__(self, path: Path = SCORES) -> None:
        self.path = path
        self._connection = open_store(path, _SCHEMA)

    def __enter__(self) -> "ScoreCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def get(self, scorer: Scorer, pairs: Sequence[Sentences]) -> dict[Sentences, float]:
        """The scores that are known already."""
        query = "SELECT score FROM scores WHERE scorer = ? AND revision = ? AND first = ? AND second = ?"
        known = {}
        with friendly(self.path):
            for pair in pairs:
                row = self._connection.execute(query, (scorer.name, scorer.revision, *pair)).fetchone()
                if row is not None:
                    known[pair] = float(row[0])
        return known

    def add(self, scorer: Scorer, scores: Mapping[Sentences, float]) -> None:
        """Store scores in one transaction; what another process stored meanwhile stays."""
        rows = [(scorer.name, scorer.revision, *pair, score) for pair, score in scores.items()]
        with friendly(self.path), self._connection:
            self._connection.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?)", rows)


def score_all(pairs: Sequence[Sentences], scorer: Scorer, cache: ScoreCache) -> list[float]:
    """The score of every pair, to 4 decimals, in the order of `pairs`; only what the cache lacks is computed."""
    distinct = list(dict.fromkeys(pairs))
    scores = cache.get(scorer, distinct)
    for chunk in _chunks([pair for pair in distinct if pair not in scores], scorer.name):
        fresh = _score(chunk, scorer)
        cache.add(scorer, fresh)
        scores |= fresh
    return [scores[pair] for pair in pairs]


def _chunks(pairs: Sequence[Sentences], name: str) -> Iterator[list[Sentences]]:
    """Chunks of similar length, the longest first so that the estimated time errs on the safe side."""
    if not pairs:
        return
    from tqdm import tqdm

    ordered = sorted(pairs, key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
    with tqdm(total=len(ordered), desc=f"score {name}", unit="pair", leave=False) as bar:
        for start in range(0, len(ordered), CHUNK):
            chunk = ordered[start : start + CHUNK]
            yield chunk
            bar.update(len(chunk))


def _score(pairs: Sequence[Sentences], scorer: Scorer) -> dict[Sentences, float]:
    scores = dict(zip(pairs, map(float, scorer.score(pairs)), strict=True))
    for pair, score in scores.items():
        if not math.isfinite(score):
            raise InputError(
                f"{scorer.name} {scorer.revision}: the score of {pair!r} is {score}; is the model damaged?"
            )
    return {pair: round(score, DECIMALS) for pair, score in scores.items()}
