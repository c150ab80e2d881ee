"""The translation memory: every translation that was ever made, so that none is made twice and a run can be repeated.

    python -m pipeline.augment.memory export translations.tsv
    python -m pipeline.augment.memory import translations.tsv

Rows are keyed by source language, target language, text, backend and the backend's revision. The exchange format is a
TSV file, sorted by that key, with \\t, \\n, \\r and \\\\ escaped: the same rows give the same bytes.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from pipeline.augment.store import friendly, open_store
from pipeline.errors import InputError, stage_main
from pipeline.files import write_text

MEMORY = Path("data/memory/translations.sqlite")
COLUMNS = ("source", "target", "text", "backend", "revision", "translation")
SCHEMA = f"""
CREATE TABLE IF NOT EXISTS translations (
    {", ".join(f"{column} TEXT NOT NULL" for column in COLUMNS)},
    PRIMARY KEY ({", ".join(COLUMNS[:5])})
) WITHOUT ROWID
"""
INSERT = f"INSERT OR IGNORE INTO translations VALUES ({', '.join('?' * len(COLUMNS))})"
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}
_UNESCAPES = {escape: character for character, escape in _ESCAPES.items()}
_FIELD = re.compile(r"(?:[^\\]|\\[tnr\\])+")


class TranslationMemory:
    """An SQLite file that several processes may use at once; close it, or use it in a `with` statement."""

    def __init__(self, path: Path = MEMORY) -> None:
        self.path = path
        self._connection = open_store(path, SCHEMA)

    def __enter__(self) -> "TranslationMemory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def get(self, backend: str, revision: str, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """The known translations of `texts` by one revision of one backend."""
        query = """SELECT translation FROM translations
                   WHERE source = ? AND target = ? AND text = ? AND backend = ? AND revision = ?"""
        return self._look_up(query, {text: (source, target, text, backend, revision) for text in texts})

    def get_any(self, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """The known translations of `texts` by whatever backend; of several, the first by (backend, revision)."""
        query = """SELECT translation FROM translations WHERE source = ? AND target = ? AND text = ?
                   ORDER BY backend, revision LIMIT 1"""
        return self._look_up(query, {text: (source, target, text) for text in texts})

    def add(self, backend: str, revision: str, source: str, target: str, translations: Mapping[str, str]) -> None:
        """Keep translations, text -> translation, in one transaction; what the memory has already stays as it is."""
        rows = [(source, target, text, backend, revision, new) for text, new in translations.items()]
        with self._transaction():
            self._connection.executemany(INSERT, rows)

    def export_tsv(self, path: Path) -> int:
        """Write all rows to `path`, complete or not at all; returns their number."""
        with friendly(self.path):
            rows = self._connection.execute(f"SELECT * FROM translations ORDER BY {', '.join(COLUMNS[:5])}").fetchall()
        lines = ["\t".join(map(_escape, row)) + "\n" for row in [COLUMNS, *rows]]
        write_text(path, "".join(lines))
        return len(rows)

    def import_tsv(self, path: Path) -> int:
        """Add the rows of an exported file, all or (after a broken row) none; returns the number of new ones."""
        rows = read_tsv(path)
        with self._transaction():
            before = self._connection.total_changes
            self._connection.executemany(INSERT, rows)
            return self._connection.total_changes - before

    def _look_up(self, query: str, keys: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        with friendly(self.path):
            found = {text: self._connection.execute(query, key).fetchone() for text, key in keys.items()}
        return {text: row[0] for text, row in found.items() if row}

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with friendly(self.path), self._connection:
            yield


def read_tsv(path: Path) -> list[list[str]]:
    """The rows of an exported file, without the header; a broken row is an InputError that names file and line."""
    try:
        header, *lines = path.read_text(encoding="utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; expected a file written by `memory export`") from None
    if header.split("\t") != list(COLUMNS):
        raise InputError(f"{path}:1: expected the header {' '.join(COLUMNS)}, separated by tabs")
    return [_read_row(line, f"{path}:{number}") for number, line in enumerate(lines, 2)]


def _read_row(line: str, place: str) -> list[str]:
    cells = line.split("\t")
    if len(cells) != len(COLUMNS):
        raise InputError(f"{place}: expected {len(COLUMNS)} fields separated by tabs, got {len(cells)}")
    for name, cell in zip(COLUMNS, cells, strict=True):
        if not _FIELD.fullmatch(cell):
            raise InputError(f"{place}: {name} is empty or has a backslash that is not one of \\t \\n \\r \\\\")
    return [re.sub(r"\\.", lambda escape: _UNESCAPES[escape[0]], cell) for cell in cells]


def _escape(cell: str) -> str:
    return re.sub(r"[\t\n\r\\]", lambda character: _ESCAPES[character[0]], cell)


def main(arguments: Sequence[str]) -> None:
    """Export the memory to a file, or import one into it."""
    if len(arguments) != 2 or arguments[0] not in ("export", "import"):
        raise InputError("usage: python -m pipeline.augment.memory export FILE | import FILE")
    command, file = arguments[0], Path(arguments[1])
    if command == "export" and not MEMORY.exists():
        raise InputError(f"{MEMORY}: no such file: nothing was translated yet")
    with TranslationMemory() as memory:
        count = memory.export_tsv(file) if command == "export" else memory.import_tsv(file)
    print(f"{file}: {count} translations {'written' if command == 'export' else f'added to {MEMORY}'}")


if __name__ == "__main__":
    stage_main(main)
