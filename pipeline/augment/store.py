"""An SQLite file that several processes may share: what was paid for once (translations, scores) is never lost.

Write-ahead logging lets one process write while others read; every transaction is one short batch, so a writer waits
for milliseconds. A killed process loses its open transaction and nothing else.
"""

import contextlib
import errno
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import InputError
from pipeline.files import ALMOST_NOTHING

PATIENCE = 30.0  # seconds to wait for another process's transaction


def open_store(path: Path, schema: str) -> sqlite3.Connection:
    """Open (or create) the database and run `schema`, statements of the form CREATE ... IF NOT EXISTS.

    Use it as `with friendly(path), connection: ...`: one transaction, that takes the write lock at its first statement.
    Close it when done. A database that is locked, damaged, read-only or out of space is an InputError.
    """
    with friendly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level="IMMEDIATE")
        try:
            _prepare(connection, schema)
        except BaseException:  # Ctrl-C too: nobody else has the connection and could close it
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def friendly(path: Path) -> Iterator[None]:
    """Turn the failures of SQLite that a user can repair into one-line InputErrors about `path`."""
    try:
        yield
    except sqlite3.Error as error:
        message = _explain(getattr(error, "sqlite_errorcode", None), path)
        if message is None:
            raise
        raise InputError(f"{path}: {message}") from error


def _prepare(connection: sqlite3.Connection, schema: str) -> None:
    _use_write_ahead_log(connection)
    # Safe against a killed process; a power cut may lose the last commits but never damages the file.
    connection.execute("PRAGMA synchronous = NORMAL")
    if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        damaged = sqlite3.DatabaseError("quick_check failed")
        damaged.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise damaged
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in filter(str.strip, schema.split(";")):  # `executescript` would end the transaction first
            connection.execute(statement)


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:  # SQLite does not wait for this lock by itself when two processes create the file at once
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _explain(code: int | None, path: Path) -> str | None:
    """What happened and what to do; None for what is a bug. The low byte of an extended code is the primary code."""
    primary = None if code is None else code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"locked by another process for {PATIENCE:g} s: wait for that process or stop it, then run again"
    if primary in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return (
            f"damaged, or not a database: move it away (with its -wal and -shm files), then rescue its rows with "
            f"`sqlite3 moved.sqlite .recover | sqlite3 {path}` or import an export, or run again to start empty"
        )
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _disk_is_full(path)):
        return "the disk is full: free some space and run again, nothing finished is lost"
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return "cannot be opened for writing: make the file and its folder writable"
    if primary == sqlite3.SQLITE_IOERR:
        return "the disk fails to read or write it: look at the system's log, then run again"
    return None


def _disk_is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < ALMOST_NOTHING
    except OSError as error:
        return error.errno == errno.ENOSPC
