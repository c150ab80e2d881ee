"""Texts from a file of the user's, or from standard input: CSV with a header, or JSON lines."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.errors import InputError


def read_records(path: Path | None, columns: Sequence[str]) -> list[list[str]]:
    """The texts of `columns` row by row; None reads standard input. Other columns are ignored.

    JSON lines begin with a brace, anything else is CSV. Unlike in training data, a bad row is an InputError: nothing is
    left out of what the user asked for.
    """
    name = str(path or "standard input")
    if path and not path.is_file():
        raise InputError(f"{path}: no such file; expected CSV with the header {','.join(columns)}, or JSON lines")
    if path is None and sys.stdin.isatty():
        raise InputError("nothing to predict; give texts, --file FILE, or a file on standard input")
    data = path.read_bytes() if path else sys.stdin.buffer.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{name}:{line}: not UTF-8; save it as UTF-8 text") from None
    read = json_lines if text.lstrip()[:1] == "{" else csv_rows
    records = list(read(name, text, columns))
    if not records:
        raise InputError(f"{name}: no rows; expected CSV with the header {','.join(columns)}, or JSON lines")
    return records


def json_lines(name: str, text: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The values of `columns` in every object."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict) or not all(isinstance(row.get(column), str) for column in columns):
            raise InputError(f"{name}:{number}: expected a JSON object with the texts {', '.join(columns)}")
        yield [row[column] for column in columns]


def csv_rows(name: str, text: str, columns: Sequence[str]) -> Iterator[list[str]]:
    """The cells of `columns` in every row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            raise InputError(f"{name}: column {', '.join(missing)} is missing; expected the header {','.join(columns)}")
        places = [header.index(column) for column in columns]
        for row in reader:
            if row and len(row) != len(header):
                raise InputError(
                    f"{name}:{reader.line_num}: {len(row)} fields, expected {len(header)}; quote texts with commas"
                )
            if row:
                yield [row[place] for place in places]
    except csv.Error as error:
        raise InputError(f"{name}:{reader.line_num}: not valid CSV: {error}") from None
