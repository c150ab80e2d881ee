"""Translations and scores that were made once and are never made again: two SQLite files that processes may share.

Every transaction is one short batch, so a process waits for another's for milliseconds. A killed process loses its open
transaction and nothing else.
"""

import contextlib
import math
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from tqdm import tqdm

from pipeline.errors import InputError
from pipeline.files import write_text

MEMORY, SCORES = Path("data/memory/translations.sqlite"), Path("data/memory/scores.sqlite")
COLUMNS = ("source", "target", "text", "backend", "revision", "translation")
PATIENCE = 30.0  # seconds to wait for another process's transaction
CHUNK = 128  # pairs scored and committed together
DAMAGED = (
    "damaged, or not a database: move it away (with its -journal or -wal file), then rescue its rows with "
    "`sqlite3 moved.sqlite .recover | sqlite3 {path}` or import an export, or run again to start empty"
)
ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
UNESCAPES = {escape: character for character, escape in ESCAPES.items()}
Texts = tuple[str, str]


class Store:
    """A table in a file, created where there is none; its last column is the value, and all others are the key.

    To be used in a `with` statement. A file that is locked, damaged or read-only and a full disk are InputErrors.
    """

    def __init__(self, path: Path, table: str, columns: Sequence[str], kind: str = "TEXT") -> None:
        self.path, self.table, self.columns = path, table, columns
        cells = " TEXT NOT NULL, ".join(columns) + f" {kind} NOT NULL, PRIMARY KEY ({', '.join(columns[:-1])})"
        with self.friendly():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level="IMMEDIATE")
            if self.connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise InputError(f"{path}: {DAMAGED.format(path=path)}")
            with self.connection:
                self.connection.execute("BEGIN IMMEDIATE")
                self.connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({cells}) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def look_up(self, keys: Mapping[Any, Sequence[str]]) -> dict[Any, Any]:
        """Name -> the value of its key, or the first value whose key begins so; a name without a value is left out."""
        *columns, value = self.columns
        found = {}
        with self.friendly():
            for name, start in keys.items():
                known = " AND ".join(f"{column} = ?" for column in columns[: len(start)])
                query = f"SELECT {value} FROM {self.table} WHERE {known} ORDER BY {', '.join(columns)} LIMIT 1"
                found[name] = self.connection.execute(query, start).fetchone()
        return {name: row[0] for name, row in found.items() if row}

    def insert(self, rows: Sequence[Sequence[str | float]]) -> int:
        """Insert in one transaction what is not there yet; returns the number of new rows."""
        query = f"INSERT OR IGNORE INTO {self.table} VALUES ({', '.join('?' * len(self.columns))})"
        with self.friendly(), self.connection:
            return self.connection.executemany(query, rows).rowcount

    @contextlib.contextmanager
    def friendly(self) -> Iterator[None]:
        """Turn the failures that a user can repair into one line; the rest are bugs."""
        try:
            yield
        except sqlite3.Error as error:
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the primary code of an extended one
                case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                    problem = f"locked by another process for {PATIENCE:g} s: wait for it or stop it, then run again"
                case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                    problem = DAMAGED.format(path=self.path)
                case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY:
                    problem = f"{error}: free some space, or make the file and its folder writable, and run again"
                case _:
                    raise
            raise InputError(f"{self.path}: {problem}") from error


class TranslationMemory(Store):
    """The table of translations."""

    def __init__(self, path: Path = MEMORY) -> None:
        super().__init__(path, "translations", COLUMNS)

    def get(self, source: str, target: str, texts: Sequence[str], *version: str) -> dict[str, str]:
        """The known translations of `texts` by a version (backend, revision); without one the first by any version."""
        return self.look_up({text: (source, target, text, *version) for text in texts})

    def add(self, backend: str, revision: str, source: str, target: str, translations: Mapping[str, str]) -> None:
        """Keep translations, text -> translation, in one transaction; what the memory has already stays as it is."""
        self.insert([(source, target, text, backend, revision, found) for text, found in translations.items()])

    def export_tsv(self, path: Path) -> int:
        r"""Write all rows to `path`, complete or not at all; returns their number.

        The file is sorted by the key, with \t, \n, \r and \\ escaped: the same rows give the same bytes.
        """
        with self.friendly():
            rows = self.connection.execute(f"SELECT * FROM translations ORDER BY {', '.join(COLUMNS)}").fetchall()
        escape = str.maketrans(ESCAPES)
        write_text(path, "".join("\t".join(cell.translate(escape) for cell in row) + "\n" for row in [COLUMNS, *rows]))
        return len(rows)

    def import_tsv(self, path: Path) -> int:
        """Add the rows of an exported file; returns the number of new ones. After a broken row none is added."""
        try:
            header, *lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
        except UnicodeDecodeError:
            raise InputError(f"{path}: not UTF-8 text; expected a file written by `memory export`") from None
        if header.split("\t") != list(COLUMNS):
            raise InputError(f"{path}:1: expected the header {' '.join(COLUMNS)}, separated by tabs")
        rows = []
        for number, line in enumerate(lines, 2):
            cells = line.split("\t")
            if len(cells) != len(COLUMNS):
                raise InputError(f"{path}:{number}: expected {len(COLUMNS)} fields separated by tabs, got {len(cells)}")
            for name, cell in zip(COLUMNS, cells, strict=True):
                if not re.fullmatch(r"(?:[^\\]|\\[tnr\\])+", cell):
                    allowed = r"one of \t \n \r \\"
                    raise InputError(f"{path}:{number}: {name} is empty or has a backslash that is not {allowed}")
            rows.append([re.sub(r"\\.", lambda escape: UNESCAPES[escape[0]], cell) for cell in cells])
        return self.insert(rows)


class ScoreCache(Store):
    """The table of scores."""

    def __init__(self, path: Path = SCORES) -> None:
        super().__init__(path, "scores", ("scorer", "revision", "first", "second", "score"), "REAL")


class Scorer(Protocol):
    """Scores pairs in the direction first -> second; scorers of equal name and revision give equal scores."""

    name: str

    @property
    def revision(self) -> str: ...

    def score(self, pairs: Sequence[Texts]) -> Sequence[float]:
        """One finite score for each pair, in the order of the pairs."""


def score_all(pairs: Sequence[Texts], scorer: Scorer, cache: ScoreCache) -> list[float]:
    """The score of every pair, in the order of `pairs`; only what the cache lacks is computed, and committed by chunks.

    A score is rounded to 4 decimals before anybody uses it, so that a run which reads it and a run which computes it
    decide alike. The longest pairs are scored first, so that the estimated time errs on the safe side.
    """
    version = (scorer.name, scorer.revision)
    scores: dict[Texts, float] = cache.look_up({pair: (*version, *pair) for pair in pairs})
    missing = [pair for pair in dict.fromkeys(pairs) if pair not in scores]
    missing.sort(key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
    starts = range(0, len(missing), CHUNK)
    for start in tqdm(starts, f"score {scorer.name}", unit="chunk", leave=False, disable=not missing):
        chunk = missing[start : start + CHUNK]
        fresh = {pair: round(float(score), 4) for pair, score in zip(chunk, scorer.score(chunk), strict=True)}
        for pair, score in fresh.items():
            if not math.isfinite(score):
                raise InputError(f"{' '.join(version)}: the score of {pair!r} is {score}; is the model damaged?")
        cache.insert([(*version, *pair, score) for pair, score in fresh.items()])
        scores |= fresh
    return [scores[pair] for pair in pairs]
