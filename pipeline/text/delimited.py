"""Read tab- or comma-separated text as it really is: one bad row costs that row, and every dropped row is counted.

The quoting is CSV's: a quoted field may hold delimiters, doubled quotes and line ends. Python's reader alone would let
one unbalanced quote swallow the rest of the file, so a quoted field may run on only up to a line that is a whole row.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.errors import InputError

MAX_FIELD = 100_000  # characters; csv itself stops a quoted field at 131,072
Counts = Counter[str]
Layout = tuple[str, int, int | None]  # of a file's rows: delimiter, number of cells, place of one that holds a number


def read_table(
    path: Path, columns: Sequence[str], numeric: str | None = None
) -> tuple[list[tuple[int, dict[str, str]]], Counts]:
    """Line number and cells by column of each readable row of `path`, and how many rows were dropped, by reason.

    The file must have `columns`; `numeric` names one that holds a number in every sound row. Blank lines are skipped.
    """
    lines = read_lines(path)
    index = next((index for index, line in enumerate(lines) if line.strip()), None)
    if index is None:
        raise InputError(f"{path}: the file is empty; expected a header with the columns {', '.join(columns)}")
    delimiter = "\t" if "\t" in lines[index] else ","
    header = [name.strip() for name in next(csv.reader([lines[index]], delimiter=delimiter))]
    if missing := [name for name in columns if name not in header]:
        found = ", ".join(repr(name[:40]) for name in header[:12])
        raise InputError(f"{path}: column {', '.join(missing)} is missing; the columns found are {found}")
    layout = delimiter, len(header), header.index(numeric) if numeric else None
    rows, counts, used = [], Counter[str](), 1
    while (index := index + used) < len(lines):
        cells, used = _record(lines, index, layout)
        if lines[index].strip():
            counts["raw_rows"] += 1
            if reason := _defect(cells, len(header)):
                counts[f"dropped_{reason}"] += 1
            else:
                rows.append((index + 1, dict(zip(header, cells, strict=True))))
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


def _record(lines: Sequence[str], index: int, layout: Layout) -> tuple[list[str], int]:
    """The cells and the number of lines of the record that begins at a line; no cells if its quoting is broken."""
    if '"' not in lines[index]:
        return lines[index].split(layout[0]), 1
    reader = csv.reader(_until_next_row(lines, index, layout), delimiter=layout[0], strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error:
        return [], 1


def _until_next_row(lines: Sequence[str], index: int, layout: Layout) -> Iterator[str]:
    _, width, numeric = layout
    yield lines[index] + "\n"
    for following in range(index + 1, len(lines)):
        line = lines[following]
        cells, _ = _record([line], 0, layout)
        whole = len(cells) == width and (numeric is None or as_number(cells[numeric]) is not None)
        # The line that ends a quoted field has an odd number of quotes, so it is never taken for the next row.
        if whole and line.count('"') % 2 == 0:
            return
        yield line + "\n"


def _defect(cells: Sequence[str], width: int) -> str | None:
    if not cells:
        return "quoting"
    if any("\0" in cell for cell in cells):
        return "nul_byte"
    if any(len(cell) > MAX_FIELD for cell in cells):
        return "long_field"
    return None if len(cells) == width else "field_count"
