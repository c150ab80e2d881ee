"""A table on the terminal: aligned columns, never wrapped, so that other tools can cut and sort them."""

from collections.abc import Sequence


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print text cells left-aligned, columns whose cells all begin with a digit or a sign right-aligned."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    right = [bool(rows) and all(cell[:1] in "+-−0123456789–" for cell in column[1:]) for column in columns]
    for line in (header, *rows):
        cells = [f"{cell:{'>' if end else '<'}{width}}" for cell, width, end in zip(line, widths, right, strict=True)]
        print("  ".join(cells).rstrip())
