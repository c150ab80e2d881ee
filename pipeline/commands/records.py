"""Texts from a file of the user's, or from standard input: CSV with a header, or JSON lines."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import InputError


def read_records(path: Path | None, columns: Sequence[str]) -> list[list[str]]:
    """The texts of `columns`, row by row; None reads standard input. Other columns are ignored.

    JSON lines begin with a brace, anything else is CSV. Unlike in training data, a bad row is an InputError: nothing is
    left out of what the user asked for.
    """
    name = str(path or "standard input")
    wanted = f"expected CSV with the header {','.join(columns)}, or JSON lines with these texts"
    if path and not path.is_file():
        raise InputError(f"{path}: no such file; {wanted}")
    if path is None and sys.stdin.isatty():
        raise InputError("nothing to predict; give texts, --file FILE, or a file on standard input")
    data = path.read_bytes() if path else sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8; save it as UTF-8 text") from None
    records = []
    for line, row in (_json_lines if text.lstrip().startswith("{") else _csv_rows)(name, text):
        if missing := [column for column in columns if not isinstance(row.get(column), str)]:
            raise InputError(f"{name}:{line}: {', '.join(missing)} is missing; {wanted}")
        records.append([row[column] for column in columns])
    if not records:
        raise InputError(f"{name}: no rows; {wanted}")
    return records


def _json_lines(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, dict(json.loads(line))
            except (ValueError, TypeError):
                raise InputError(f"{name}:{number}: not a JSON object") from None


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        for row in filter(None, reader):  # without blank lines
            if len(row) != len(header):
                where = f"{name}:{reader.line_num}"
                raise InputError(f"{where}: {len(row)} fields, expected {len(header)}; quote texts that have commas")
            yield reader.line_num, dict(zip(header, row, strict=True))
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: not valid CSV: {error}") from None
