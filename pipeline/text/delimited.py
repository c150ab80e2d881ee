"""Read tab- or comma-separated text as it really is: one bad row costs that row, and every dropped row is counted.

The quoting is CSV's: a quoted field may hold delimiters, doubled quotes and line ends. Python's reader alone would let
one unbalanced quote swallow the rest of the file, so a quoted field may run on only up to a line that is a whole row.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import InputError

MAX_FIELD = 100_000  # characters; csv itself stops a quoted field at 131,072
Counts = Counter[str]


class _Layout(NamedTuple):
    """How the rows of one file look."""

    delimiter: str
    header: list[str]
    numeric: str | None

    def is_row(self, cells: Sequence[str]) -> bool:
        """Whether `cells` are a whole row: the right number, with a number where one belongs."""
        if len(cells) != len(self.header):
            return False
        return self.numeric is None or as_number(cells[self.header.index(self.numeric)]) is not None


def read_table(
    path: Path, columns: Sequence[str], numeric: str | None = None
) -> tuple[list[tuple[int, dict[str, str]]], Counts]:
    """Line number and cells by column of each readable row of `path`, and how many rows were dropped, by reason.

    The file must have `columns`; `numeric` names one that holds a number in every sound row.
    """
    lines = read_lines(path)
    start = next((index for index, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise InputError(f"{path}: the file is empty; expected a header with the columns {', '.join(columns)}")
    delimiter = "\t" if "\t" in lines[start] else ","
    header = [name.strip() for name in next(csv.reader([lines[start]], delimiter=delimiter))]
    missing = [name for name in columns if name not in header]
    if missing:
        found = ", ".join(repr(name[:40]) for name in header[:12])
        raise InputError(f"{path}: column {', '.join(missing)} is missing; the columns found are {found}")
    rows, counts = [], Counter[str]()
    for line, cells, reason in _records(lines, start + 1, _Layout(delimiter, header, numeric)):
        counts["raw_rows"] += 1
        if reason:
            counts[f"dropped_{reason}"] += 1
        else:
            rows.append((line, dict(zip(header, cells, strict=True))))
    return rows, counts


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file without their line ends; anything else is an InputError that names the place."""
    data = path.read_bytes()
    if data.count(b"\0") * 10 > len(data):
        raise InputError(f"{path}: binary data or UTF-16 (byte {data.index(0)} is zero); save it as UTF-8 text")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}: line {line}, byte {error.start}: not UTF-8; save it as UTF-8 text") from None
    return [line.removesuffix("\r") for line in text.split("\n" if "\n" in text else "\r")]


def as_number(cell: str) -> float | None:
    """The number in a cell, None where there is none."""
    try:
        return float(cell)
    except ValueError:
        return None


def _records(lines: Sequence[str], start: int, layout: _Layout) -> Iterator[tuple[int, list[str], str | None]]:
    """Line number, cells and, for a row that cannot be used, the reason; blank lines are skipped."""
    index = start
    while index < len(lines):
        line = lines[index]
        cells, used = _record(lines, index, layout) if '"' in line else (line.split(layout.delimiter), 1)
        if line.strip():
            yield index + 1, cells, _defect(cells, layout)
        index += used


def _record(lines: Sequence[str], index: int, layout: _Layout) -> tuple[list[str], int]:
    """The cells and the number of lines of the record that begins at a line with quotes; no cells if it is broken."""
    reader = csv.reader(_until_next_row(lines, index, layout), delimiter=layout.delimiter, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return [], 1


def _until_next_row(lines: Sequence[str], index: int, layout: _Layout) -> Iterator[str]:
    yield lines[index] + "\n"
    for following in range(index + 1, len(lines)):
        line = lines[following]
        cells = _record([line], 0, layout)[0] if '"' in line else line.split(layout.delimiter)
        # The line that ends a quoted field has an odd number of quotes, so it is never taken for the next row.
        if layout.is_row(cells) and line.count('"') % 2 == 0:
            return
        yield line + "\n"


def _defect(cells: Sequence[str], layout: _Layout) -> str | None:
    if not cells:
        return "quoting"
    if any("\0" in cell for cell in cells):
        return "nul_byte"
    if any(len(cell) > MAX_FIELD for cell in cells):
        return "long_field"
    return None if len(cells) == len(layout.header) else "field_count"
