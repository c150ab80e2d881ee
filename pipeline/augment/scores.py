"""Scores of sentence pairs, computed once: a cache keyed by scorer, its revision and the two texts.

A score is rounded to 4 decimals before anybody uses it, so that a run which reads it from the cache and a run which
computes it decide alike. Every chunk is committed at once: a killed run loses one chunk at most.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from pipeline.augment.store import Store
from pipeline.errors import InputError

SCORES = Path("data/memory/scores.sqlite")
DECIMALS = 4
CHUNK = 128  # pairs scored and committed together
Texts = tuple[str, str]
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

    def score(self, pairs: Sequence[Texts]) -> Sequence[float]:
        """One finite score for each pair, in the order of the pairs."""


class ScoreCache(Store):
    """The table of scores."""

    def __init__(self, path: Path = SCORES) -> None:
        super().__init__(path, _SCHEMA)

    def get(self, scorer: Scorer, pairs: Sequence[Texts]) -> dict[Texts, float]:
        """The scores that are known already."""
        query = "SELECT score FROM scores WHERE scorer = ? AND revision = ? AND first = ? AND second = ?"
        found = self.select(query, ((scorer.name, scorer.revision, *pair) for pair in pairs))
        return {pair: float(rows[0][0]) for pair, rows in zip(pairs, found, strict=True) if rows}

    def add(self, scorer: Scorer, scores: Mapping[Texts, float]) -> None:
        """Store scores in one transaction; what another process stored meanwhile stays."""
        rows = [(scorer.name, scorer.revision, *pair, score) for pair, score in scores.items()]
        self.insert("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?)", rows)


def score_all(pairs: Sequence[Texts], scorer: Scorer, cache: ScoreCache) -> list[float]:
    """The score of every pair, to 4 decimals, in the order of `pairs`; only what the cache lacks is computed.

    Pairs of similar length are scored together, the longest first so that the estimated time errs on the safe side.
    """
    distinct = list(dict.fromkeys(pairs))
    scores = cache.get(scorer, distinct)
    missing = [pair for pair in distinct if pair not in scores]
    missing.sort(key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
    with tqdm(total=len(missing), desc=f"score {scorer.name}", unit="pair", leave=False, disable=not missing) as bar:
        for start in range(0, len(missing), CHUNK):
            chunk = missing[start : start + CHUNK]
            fresh = _score(chunk, scorer)
            cache.add(scorer, fresh)
            scores |= fresh
            bar.update(len(chunk))
    return [scores[pair] for pair in pairs]


def _score(pairs: Sequence[Texts], scorer: Scorer) -> dict[Texts, float]:
    scores = dict(zip(pairs, map(float, scorer.score(pairs)), strict=True))
    for pair, score in scores.items():
        if not math.isfinite(score):
            message = f"the score of {pair!r} is {score}; is the model damaged?"
            raise InputError(f"{scorer.name} {scorer.revision}: {message}")
    return {pair: round(score, DECIMALS) for pair, score in scores.items()}
