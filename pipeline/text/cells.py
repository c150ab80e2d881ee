"""What the table readers share: labels, ids, and the check that something usable was read."""

from collections.abc import Sized
from pathlib import Path

from pipeline.errors import InputError
from pipeline.text.normalise import clean
from pipeline.text.table import Counts, as_number


def read_label(cell: str, classes: int) -> int | None:
    """The label 0 to `classes` - 1 in a cell, which may be written `1` or `1.0`; None where there is none."""
    number = as_number(cell)
    return int(number) if number is not None and number in range(classes) else None


class Ids:
    """Unique ids: a missing one is made from the row's number, a repeated one gets it appended; both are counted."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self.seen: set[str] = set()

    def unique(self, cell: str | None, number: int) -> str:
        """The id of row `number`; `cell` is None in a file without ids."""
        name = clean(cell or "") or f"row-{number}"
        if cell is not None and not cell.strip():
            self.counts["generated_ids"] += 1
        if name in self.seen:
            self.counts["renamed_ids"] += 1
        while name in self.seen:
            name = f"{name}-{number}"
        self.seen.add(name)
        return name


def check_usable(path: Path, rows: Sized, counts: Counts, expected: str) -> None:
    """Refuse a file of which nothing is left."""
    if not len(rows):
        dropped = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name.startswith("dropped_"))
        raise InputError(f"{path}: no usable row ({dropped or 'no rows at all'}); expected {expected}")
