"""Translations and scores that were made once and are never made again: two SQLite files that processes may share.

Every transaction is one short batch, so a process waits for another's for milliseconds. A killed process loses its open
transaction and nothing else.

The exchange format of translations is a TSV file, sorted by their key, with \\t, \\n, \\r and \\\\ escaped: the same
rows give the same bytes.
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

MEMORY = Path("data/memory/translations.sqlite")
SCORES = Path("data/memory/scores.sqlite")
COLUMNS = ("source", "target", "text", "backend", "revision", "translation")  # the key, and what it stands for
KEY = ", ".join(COLUMNS[:-1])
PATIENCE = 30.0  # seconds to wait for another process's transaction
DECIMALS = 4
CHUNK = 128  # pairs scored and committed together
DAMAGED = (
    "damaged, or not a database: move it away (with its -journal or -wal file), then rescue its rows with "
    "`sqlite3 moved.sqlite .recover | sqlite3 {path}` or import an export, or run again to start empty"
)
NOT_WRITABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
UNESCAPES = {escape: character for character, escape in ESCAPES.items()}
Texts = tuple[str, str]


class Store:
    """A table in a file, created by `schema` where there is none; to be used in a `with` statement.

    A file that is locked, damaged or read-only and a full disk are InputErrors, here and in every use.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        with self.friendly():
            path.parent.mkdir(parents=True, exist_ok=True)
            self.connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level="IMMEDIATE")
            try:
                if self.connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise InputError(f"{path}: {DAMAGED.format(path=path)}")
                with self.connection:
                    self.connection.execute("BEGIN IMMEDIATE")
                    self.connection.execute(schema)
            except BaseException:  # Ctrl-C too: nobody else has the connection and could close it
                self.connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def look_up(self, query: str, keys: Mapping[Any, Sequence[str]]) -> dict[Any, Any]:
        """The one value that the query finds with the parameters of each key; a key without one is left out."""
        with self.friendly():
            found = {name: self.connection.execute(query, key).fetchall() for name, key in keys.items()}
        return {name: rows[0][0] for name, rows in found.items() if rows}

    def insert(self, table: str, rows: Sequence[Sequence[str | float]]) -> int:
        """Insert in one transaction what is not there yet; returns the number of new rows."""
        if not rows:
            return 0
        marks = ", ".join("?" * len(rows[0]))
        with self.friendly(), self.connection:
            return self.connection.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", rows).rowcount

    @contextlib.contextmanager
    def friendly(self) -> Iterator[None]:
        """Turn the failures that a user can repair into one line; the rest are bugs."""
        try:
            yield
        except sqlite3.Error as error:
            match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the primary code of an extended one
                case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                    held = f"locked by another process for {PATIENCE:g} s"
                    problem = f"{held}: wait for that process or stop it, then run again"
                case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                    problem = DAMAGED.format(path=self.path)
                case code if code in NOT_WRITABLE:
                    problem = f"{error}: free some space, or make the file and its folder writable, and run again"
                case _:
                    raise
            raise InputError(f"{self.path}: {problem}") from error


class TranslationMemory(Store):
    """The table of translations."""

    def __init__(self, path: Path = MEMORY) -> None:
        columns = " TEXT NOT NULL, ".join(COLUMNS) + f" TEXT NOT NULL, PRIMARY KEY ({KEY})"
        super().__init__(path, f"CREATE TABLE IF NOT EXISTS translations ({columns}) WITHOUT ROWID")

    def get(self, backend: str, revision: str, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """The known translations of `texts` by one revision of one backend."""
        query = """SELECT translation FROM translations
                   WHERE source = ? AND target = ? AND text = ? AND backend = ? AND revision = ?"""
        return self.look_up(query, {text: (source, target, text, backend, revision) for text in texts})

    def get_any(self, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """The known translations of `texts` by whatever backend; of several, the first by (backend, revision)."""
        query = """SELECT translation FROM translations WHERE source = ? AND target = ? AND text = ?
                   ORDER BY backend, revision LIMIT 1"""
        return self.look_up(query, {text: (source, target, text) for text in texts})

    def add(self, backend: str, revision: str, source: str, target: str, translations: Mapping[str, str]) -> None:
        """Keep translations, text -> translation, in one transaction; what the memory has already stays as it is."""
        rows = [(source, target, text, backend, revision, translation) for text, translation in translations.items()]
        self.insert("translations", rows)

    def export_tsv(self, path: Path) -> int:
        """Write all rows to `path`, complete or not at all; returns their number."""
        with self.friendly():
            rows = self.connection.execute(f"SELECT * FROM translations ORDER BY {KEY}").fetchall()
        escape = str.maketrans(ESCAPES)
        write_text(path, "".join("\t".join(cell.translate(escape) for cell in row) + "\n" for row in [COLUMNS, *rows]))
        return len(rows)

    def import_tsv(self, path: Path) -> int:
        """Add the rows of an exported file, all or (after a broken row) none; returns the number of new ones."""
        return self.insert("translations", read_tsv(path))


def read_tsv(path: Path) -> list[list[str]]:
    """The rows of an exported file, without the header; a broken row is an InputError that names file and line."""
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
                problem = f"{name} is empty or has a backslash that is not one of \\t \\n \\r \\\\"
                raise InputError(f"{path}:{number}: {problem}")
        rows.append([re.sub(r"\\.", lambda escape: UNESCAPES[escape[0]], cell) for cell in cells])
    return rows


class Scorer(Protocol):
    """Scores pairs in the direction first -> second; scorers of equal name and revision give equal scores."""

    @property
    def name(self) -> str: ...

    @property
    def revision(self) -> str: ...

    def score(self, pairs: Sequence[Texts]) -> Sequence[float]:
        """One finite score for each pair, in the order of the pairs."""


class ScoreCache(Store):
    """The table of scores."""

    def __init__(self, path: Path = SCORES) -> None:
        key = ("scorer", "revision", "first", "second")
        columns = f"{' TEXT NOT NULL, '.join(key)} TEXT NOT NULL, score REAL NOT NULL, PRIMARY KEY ({', '.join(key)})"
        super().__init__(path, f"CREATE TABLE IF NOT EXISTS scores ({columns}) WITHOUT ROWID")

    def get(self, scorer: Scorer, pairs: Sequence[Texts]) -> dict[Texts, float]:
        """The scores that are known already."""
        query = "SELECT score FROM scores WHERE scorer = ? AND revision = ? AND first = ? AND second = ?"
        return self.look_up(query, {pair: (scorer.name, scorer.revision, *pair) for pair in pairs})

    def add(self, scorer: Scorer, scores: Mapping[Texts, float]) -> None:
        """Store scores in one transaction; what another process stored meanwhile stays."""
        self.insert("scores", [(scorer.name, scorer.revision, *pair, score) for pair, score in scores.items()])


def score_all(pairs: Sequence[Texts], scorer: Scorer, cache: ScoreCache) -> list[float]:
    """The score of every pair, in the order of `pairs`; only what the cache lacks is computed, and committed by chunks.

    A score is rounded before anybody uses it, so that a run which reads it and a run which computes it decide alike.
    Pairs of similar length are scored together, the longest first so that the estimated time errs on the safe side.
    """
    scores = cache.get(scorer, pairs)
    missing = [pair for pair in dict.fromkeys(pairs) if pair not in scores]
    missing.sort(key=lambda pair: (-len(pair[0]) - len(pair[1]), pair))
    starts = range(0, len(missing), CHUNK)
    for start in tqdm(starts, f"score {scorer.name}", unit="chunk", leave=False, disable=not missing):
        chunk = missing[start : start + CHUNK]
        fresh = {pair: float(score) for pair, score in zip(chunk, scorer.score(chunk), strict=True)}
        for pair, score in fresh.items():
            if not math.isfinite(score):
                name = f"{scorer.name} {scorer.revision}"
                raise InputError(f"{name}: the score of {pair!r} is {score}; is the model damaged?")
            fresh[pair] = round(score, DECIMALS)
        cache.add(scorer, fresh)
        scores |= fresh
    return [scores[pair] for pair in pairs]
