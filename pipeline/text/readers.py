"""Readers of the raw corpora, one for each kind of file: rows as they come, and counts of what was dropped.

One bad row costs that row. Tables are tab- or comma-separated and quoted as CSV: a quoted field may hold delimiters,
doubled quotes and line ends. Python's reader alone would let one unbalanced quote swallow the rest of the file, so a
quoted field may run on only up to a line that is a whole row.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipeline.errors import InputError, listed
from pipeline.text.normalise import Normalise, alike, clean, clean_line
from pipeline.text.prepared import GIVEN_LINES, SONNET_LINES, Pair, Poem, Sentence

AnyRow = TypeVar("AnyRow", Pair, Sentence)
Counts = Counter[str]
# Above a sonnet: 18, 18., ###18###, XVIII or Sonnet XVIII.
HEADING = re.compile(
    r"\W{0,4}(?:(?i:sonnet)\s+)?(?:(\d{1,6})|(?=[IVXLC])(C{0,3}(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})))\W{0,4}"
)
Read = tuple[list[tuple[int, dict[str, str]]], Counts]  # what `read_table` gives
# Of the row type, the columns of its texts, of its label (None: unlabelled) and the number of classes.
Columns = tuple[Callable[..., AnyRow], Sequence[str], str | None, int]
Layout = tuple[str, int, int | None]  # of a file's rows: delimiter, number of cells, place of one that holds a number


def read_qqp(path: Path, labelled: bool, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The question pairs of one file."""
    return _read_table(path, (Pair, Pair._fields[1:3], "is_duplicate" if labelled else None, 2), normalise)


def read_ap_h(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The sentence pairs; some second sentences are empty in the published file."""
    return _read_table(path, (Pair, Pair._fields[1:3], "label", 2), normalise)


def read_sentiment(path: Path, labelled: bool, classes: int, normalise: Normalise) -> tuple[list[Sentence], Counts]:
    """The sentences of one file."""
    return _read_table(path, (Sentence, ["sentence"], "sentiment" if labelled else None, classes), normalise)


def read_etpc(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The text pairs; the label is `etpc_label`. The file is UTF-8, whatever its first line declares."""
    forbidden = dict.fromkeys(set(range(0x20)) - {0x09, 0x0A, 0x0D})  # characters that XML refuses
    try:
        tree = fromstring("\n".join(read_lines(path)).translate(forbidden))
    except DefusedXmlException:
        raise InputError(f"{path}: XML entities are refused, as they can exhaust the memory; remove them") from None
    except ParseError as error:
        raise InputError(f"{path}: not well-formed XML: {error}; fetch the file again") from None
    cells = [{child.tag: child.text or "" for child in pair} for pair in tree.iter("text_pair")]
    table = [(number, {**row, "id": row.get("pair_id", "")}) for number, row in enumerate(cells, 1)]
    columns = Pair, ["sent1_raw", "sent2_raw"], "etpc_label", 2
    return _usable(path, (table, Counter(raw_rows=len(cells))), columns, normalise)


def _read_table(path: Path, columns: Columns[AnyRow], normalise: Normalise) -> tuple[list[AnyRow], Counts]:
    label: str | None = columns[2]
    table = read_table(path, [*columns[1], *([label] if label else [])], numeric=label)
    return _usable(path, table, columns, normalise)


def _usable(path: Path, read: Read, columns: Columns[AnyRow], normalise: Normalise) -> tuple[list[AnyRow], Counts]:
    """The rows with unique ids, without those of an empty text or a wrong label, which may be written `1` or `1.0`."""
    label, classes = columns[2:]
    table, counts = read
    rows, strange = dict[str, AnyRow](), list[str]()
    for number, row in table:
        values = [normalise(row.get(column, "")) for column in columns[1]]
        found = as_number(row.get(label, "")) if label else None
        if not all(values):
            counts["dropped_empty_text"] += 1
        elif label and found not in range(classes):
            counts["dropped_label"] += 1
            strange.append(row.get(label, ""))
        else:
            if not (name := clean(row.get("id", f"row-{number}"))):
                name = f"row-{number}"
                counts["generated_ids"] += 1
            if name in rows:
                counts["renamed_ids"] += 1
            while name in rows:
                name = f"{name}-{number}"
            rows[name] = columns[0](name, *values, None if found is None else int(found))
    if not rows:
        dropped = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name.startswith("dropped_"))
        expected = ", ".join(columns[1]) + (f" and {label} from 0 to {classes - 1}" if label else "")
        raise InputError(f"{path}: no usable row ({dropped or 'no rows at all'}); expected rows with {expected}")
    if len(strange) > max(5, len(table) / 10):  # another scale: what looks right in it would be wrong, too
        example = ", ".join(list(dict.fromkeys(strange))[:3])
        wrong = f"{len(strange)} of {len(table)} rows have a {label} such as {example}"
        raise InputError(f"{path}: {wrong}; expected whole numbers from 0 to {classes - 1}: convert its scale")
    return list(rows.values()), counts


def read_poems_with_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Whole poems, prompted with their first three lines; poems that end there are dropped."""
    sonnets, counts = _numbered(path)
    counts["not_14_lines"] += sum(len(lines) != SONNET_LINES for lines in sonnets.values())
    whole = {number: lines for number, lines in sonnets.items() if len(lines) > GIVEN_LINES}
    counts["dropped_too_short"] += len(sonnets) - len(whole)
    if not whole:
        raise InputError(f"{path}: no sonnet has more than {GIVEN_LINES} lines; expected whole poems")
    return [Poem(number, "\n".join(lines[:GIVEN_LINES]), "\n".join(lines)) for number, lines in whole.items()], +counts


def read_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Prompts without their poems."""
    sonnets, counts = _numbered(path)
    return [Poem(number, "\n".join(lines[:GIVEN_LINES]), None) for number, lines in sonnets.items()], counts


def join_poems(prompts: list[Poem], path: Path) -> list[Poem]:
    """`prompts` completed by the poems of the same number in `path`, which begin with them."""
    texts = {poem.id: poem.text for poem in read_poems_with_prompts(path)[0]}
    if missing := [str(prompt.id) for prompt in prompts if prompt.id not in texts]:
        raise InputError(f"{path}: no whole poem for sonnet {listed(missing)}, whose prompt is in the held-out file")
    for prompt in prompts:
        if not alike(texts[prompt.id] or "").startswith(alike(prompt.prompt)):
            raise InputError(
                f"{path}: sonnet {prompt.id} does not begin as its prompt in the held-out file; renumber it"
            )
    return [prompt._replace(text=texts[prompt.id]) for prompt in prompts]


def _numbered(path: Path) -> tuple[dict[int, list[str]], Counts]:
    """The lines of each sonnet by number; one that is repeated or has no lines is dropped."""
    sections: list[tuple[int, int, list[str]]] = []  # line of the heading, number, lines
    for place, line in enumerate(map(clean, read_lines(path)), 1):
        if heading := HEADING.fullmatch(line):
            sections.append((place, int(heading[1]) if heading[1] else from_roman(heading[2]), []))
        elif line and sections:
            sections[-1][2].append(line)
    expected = "expected a line with only its number above each one"
    if not sections:
        raise InputError(f"{path}: no sonnet found; {expected}")
    counts, sonnets = Counter(raw_rows=len(sections)), dict[int, list[str]]()
    for place, number, lines in sections:
        if len(lines) > 2 * SONNET_LINES:
            raise InputError(f"{path}:{place}: sonnet {number} has {len(lines)} lines; {expected}")
        if not lines:
            counts["dropped_empty_text"] += 1
        elif (first := sonnets.setdefault(number, lines)) is not lines:
            if alike(" ".join(first)) != alike(" ".join(lines)):
                raise InputError(f"{path}:{place}: another sonnet {number}, with other lines; give each its own number")
            counts["dropped_duplicate"] += 1
    if not sonnets:
        raise InputError(f"{path}: every sonnet is empty; expected lines of text below each number")
    return sonnets, counts


def from_roman(numeral: str) -> int:
    """XCIV -> 94."""
    digits = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}[letter] for letter in numeral]
    return sum(-own if own < after else own for own, after in pairwise([*digits, 0]))


def read_plays(path: Path) -> list[str]:
    """Documents of 80 lines or more with their indentation; blank lines and space at their ends are removed."""
    documents: list[list[str]] = [[]]
    for line in map(clean_line, read_lines(path)):
        # A text without any blank line is cut as well: one huge document would not be split later.
        if (not line and len(documents[-1]) >= 80) or len(documents[-1]) >= 800:
            documents.append([])
        documents[-1].append(line)
    if not (found := [text for lines in documents if (text := "\n".join(lines).strip("\n"))]):
        raise InputError(f"{path}: the file is empty; expected text, or leave the file out")
    return found


def read_table(path: Path, columns: Sequence[str], numeric: str | None = None) -> Read:
    """Line number and cells by column of each readable row of `path`, and how many rows were dropped, by reason.

    The file must have `columns`; `numeric` names one that holds a number in every sound row. Blank lines are skipped.
    """
    lines = read_lines(path)
    index = next((index for index, line in enumerate(lines) if line.strip()), None)
    if index is None:
        raise InputError(f"{path}: the file is empty; expected a header with the columns {', '.join(columns)}")
    delimiter = "\t" if "\t" in lines[index] else ","
    header = [name.strip() for name in _record([lines[index]], 0, (delimiter, 0, None))[0]]
    if missing := [name for name in columns if name not in header]:
        found = ", ".join(repr(name[:40]) for name in header[:12])
        raise InputError(f"{path}: column {', '.join(missing)} is missing; the columns found are {found or 'none'}")
    layout = delimiter, len(header), header.index(numeric) if numeric else None
    rows, counts, used = [], Counter[str](), 1
    while (index := index + used) < len(lines):
        cells, used = _record(lines, index, layout)
        if lines[index].strip():
            counts["raw_rows"] += 1
            if reason := _defect(cells, header):
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


def _defect(cells: Sequence[str], header: Sequence[str]) -> str | None:
    if not cells:
        return "quoting"
    if [cell.strip() for cell in cells] == header:  # of a second file that was joined to the first
        return "header"
    if any("\0" in cell for cell in cells):
        return "nul_byte"
    if any(len(cell) > 100_000 for cell in cells):  # csv itself stops a quoted field at 131,072
        return "long_field"
    return None if len(cells) == len(header) else "field_count"
