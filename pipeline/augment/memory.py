"""The translation memory: every translation that was ever made, so that none is made twice and a run can be repeated.

Rows are keyed by source language, target language, text, backend and the backend's revision. The exchange format is a
TSV file, sorted by that key, with \\t, \\n, \\r and \\\\ escaped: the same rows give the same bytes.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.augment.store import Store
from pipeline.errors import InputError
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


class TranslationMemory(Store):
    """The table of translations."""

    def __init__(self, path: Path = MEMORY) -> None:
        super().__init__(path, SCHEMA)

    def get(self, backend: str, revision: str, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """The known translations of `texts` by one revision of one backend."""
        query = """SELECT translation FROM translations
                   WHERE source = ? AND target = ? AND text = ? AND backend = ? AND revision = ?"""
        found = self.select(query, ((source, target, text, backend, revision) for text in texts))
        return {text: rows[0][0] for text, rows in zip(texts, found, strict=True) if rows}

    def get_any(self, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """The known translations of `texts` by whatever backend; of several, the first by (backend, revision)."""
        query = """SELECT translation FROM translations WHERE source = ? AND target = ? AND text = ?
                   ORDER BY backend, revision LIMIT 1"""
        found = self.select(query, ((source, target, text) for text in texts))
        return {text: rows[0][0] for text, rows in zip(texts, found, strict=True) if rows}

    def add(self, backend: str, revision: str, source: str, target: str, translations: Mapping[str, str]) -> None:
        """Keep translations, text -> translation, in one transaction; what the memory has already stays as it is."""
        self.insert(INSERT, [(source, target, text, backend, revision, new) for text, new in translations.items()])

    def export_tsv(self, path: Path) -> int:
        """Write all rows to `path`, complete or not at all; returns their number."""
        (rows,) = self.select(f"SELECT * FROM translations ORDER BY {', '.join(COLUMNS[:5])}")
        write_text(path, "".join("\t".join(map(_escape, row)) + "\n" for row in [COLUMNS, *rows]))
        return len(rows)

    def import_tsv(self, path: Path) -> int:
        """Add the rows of an exported file, all or (after a broken row) none; returns the number of new ones."""
        return self.insert(INSERT, read_tsv(path))


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
