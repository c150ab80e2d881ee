"""An SQLite file that several processes may share: what was paid for once (translations, scores) is never lost.

Write-ahead logging lets one process write while others read; every transaction is one short batch, so a writer waits
for milliseconds. A killed process loses its open transaction and nothing else.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pipeline.errors import InputError

PATIENCE = 30.0  # seconds to wait for another process's transaction
LOCKED = "locked by another process for {patience:g} s: wait for that process or stop it, then run again"
DAMAGED = (
    "damaged, or not a database: move it away (with its -wal and -shm files), then rescue its rows with "
    "`sqlite3 moved.sqlite .recover | sqlite3 {path}` or import an export, or run again to start empty"
)
FULL = "the disk is full, or fails: free some space and run again, nothing finished is lost"
CLOSED = "cannot be opened for writing: make the file and its folder writable"
_PROBLEMS = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), LOCKED),
    **dict.fromkeys((sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT), DAMAGED),
    **dict.fromkeys((sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR), FULL),
    **dict.fromkeys((sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM), CLOSED),
}


class Store:
    """A table in a file, created where there is none; close it, or use it in a `with` statement.

    A file that is locked, damaged or read-only and a full disk are InputErrors, here and in every use.

    Args:
        schema: CREATE TABLE IF NOT EXISTS ...
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        with self._friendly():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level="IMMEDIATE")
            try:
                self._prepare(schema)
            except BaseException:  # Ctrl-C too: nobody else has the connection and could close it
                self.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def select(self, query: str, keys: Iterable[Sequence[str]] = ((),)) -> list[list[tuple[Any, ...]]]:
        """The rows of the query for each of `keys`, its parameters."""
        with self._friendly():
            return [self._connection.execute(query, key).fetchall() for key in keys]

    def insert(self, statement: str, rows: Iterable[Sequence[str | float]]) -> int:
        """Insert in one transaction; returns the number of new rows."""
        with self._friendly(), self._connection:
            return self._connection.executemany(statement, rows).rowcount

    def _prepare(self, schema: str) -> None:
        self._use_write_ahead_log()
        # Safe against a killed process; a power cut may lose the last commits but never damages the file.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        if self._connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise InputError(f"{self.path}: {DAMAGED.format(path=self.path)}")
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(schema)

    def _use_write_ahead_log(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:  # SQLite does not wait for this lock by itself when two processes create the file at once
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    @contextlib.contextmanager
    def _friendly(self) -> Iterator[None]:
        """Turn the failures that a user can repair into one line; the rest are bugs."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended one
            if code not in _PROBLEMS:
                raise
            raise InputError(f"{self.path}: {_PROBLEMS[code].format(path=self.path, patience=PATIENCE)}") from error
