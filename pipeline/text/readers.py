"""Readers of the raw corpora, one for each kind of file: rows as they come, and counts of what was dropped."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from pipeline.errors import InputError
from pipeline.text.delimited import Counts, as_number, read_lines, read_table
from pipeline.text.normalise import Normalise, clean, clean_line
from pipeline.text.prepared import GIVEN_LINES, SONNET_LINES, Pair, Poem, Sentence

AnyRow = TypeVar("AnyRow", Pair, Sentence)
Read = tuple[list[tuple[int, dict[str, str]]], Counts]  # what `read_table` gives
# Of the row type, the columns of its texts, of its label (None: unlabelled) and the number of classes.
Columns = tuple[Callable[..., AnyRow], Sequence[str], str | None, int]


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
    """The text pairs; the label is `etpc_label`."""
    forbidden = dict.fromkeys(set(range(0x20)) - {0x09, 0x0A, 0x0D})  # characters that XML refuses
    try:
        tree = fromstring("\n".join(read_lines(path)).translate(forbidden).encode())
    except DefusedXmlException:
        raise InputError(f"{path}: XML entities are refused, as they can exhaust the memory; remove them") from None
    except ParseError as error:
        raise InputError(f"{path}: not well-formed XML: {error}; fetch the file again") from None
    cells = [{child.tag: child.text or "" for child in pair} for pair in tree.iter("text_pair")]
    table = [(number, {**row, "id": row.get("pair_id", "")}) for number, row in enumerate(cells, 1)]
    columns = Pair, ["sent1_raw", "sent2_raw"], "etpc_label", 2
    return _usable(path, (table, Counter(raw_rows=len(cells))), columns, normalise)


def _read_table(path: Path, columns: Columns[AnyRow], normalise: Normalise) -> tuple[list[AnyRow], Counts]:
    texts, label = columns[1:3]
    return _usable(path, read_table(path, [*texts, label] if label else texts, numeric=label), columns, normalise)


def _usable(path: Path, read: Read, columns: Columns[AnyRow], normalise: Normalise) -> tuple[list[AnyRow], Counts]:
    """The rows without an empty text or a wrong label, which may be written `1` or `1.0`; those are counted.

    Ids become unique: a missing one is made from the row's number, a repeated one gets it appended; both are counted.
    """
    kind, texts, label, classes = columns
    table, counts = read
    rows, seen = list[AnyRow](), set[str]()
    for number, row in table:
        values = [normalise(row.get(name, "")) for name in texts]
        found = as_number(row.get(label, "")) if label else None
        if not all(values):
            counts["dropped_empty_text"] += 1
        elif label and found not in range(classes):
            counts["dropped_label"] += 1
        else:
            name = clean(row.get("id", ""))
            if "id" in row and not name:
                counts["generated_ids"] += 1
            name = name or f"row-{number}"
            if name in seen:
                counts["renamed_ids"] += 1
            while name in seen:
                name = f"{name}-{number}"
            seen.add(name)
            rows.append(kind(name, *values, None if found is None else int(found)))
    if not rows:
        dropped = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name.startswith("dropped_"))
        expected = ", ".join(texts) + (f" and {label} from 0 to {classes - 1}" if label else "")
        raise InputError(f"{path}: no usable row ({dropped or 'no rows at all'}); expected rows with {expected}")
    return rows, counts


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
    """`prompts` completed by the poems of the same number in `path`."""
    texts = {poem.id: poem.text for poem in read_poems_with_prompts(path)[0]}
    if missing := [str(prompt.id) for prompt in prompts if prompt.id not in texts]:
        raise InputError(f"{path}: no whole poem for sonnet {', '.join(missing)}, whose prompt is in the held-out file")
    return [Poem(prompt.id, prompt.prompt, texts[prompt.id]) for prompt in prompts]


def _numbered(path: Path) -> tuple[dict[int, list[str]], Counts]:
    """The lines of each sonnet by number; a repeated number keeps its first sonnet, one without lines is dropped."""
    sections: list[tuple[int, list[str]]] = []
    for line in map(clean, read_lines(path)):
        if re.fullmatch(r"\d{1,6}\.?", line):
            sections.append((int(line.rstrip(".")), []))
        elif line and sections:
            sections[-1][1].append(line)
    if not sections:
        raise InputError(f"{path}: no sonnet found; expected a line with only its number above each one")
    counts, sonnets = Counter(raw_rows=len(sections)), dict[int, list[str]]()
    for number, lines in sections:
        if not lines:
            counts["dropped_empty_text"] += 1
        elif sonnets.setdefault(number, lines) is not lines:
            counts["dropped_duplicate"] += 1
    if not sonnets:
        raise InputError(f"{path}: every sonnet is empty; expected lines of text below each number")
    return sonnets, counts


def read_plays(path: Path) -> list[str]:
    """Documents of 80 lines or more with their indentation; blank lines and space at their ends are removed."""
    documents: list[list[str]] = [[]]
    for line in map(clean_line, read_lines(path)):
        # A text without any blank line is cut as well: one huge document would not be split later.
        if (not line and len(documents[-1]) >= 80) or len(documents[-1]) >= 800:
            documents.append([])
        documents[-1].append(line)
    found = [text for lines in documents if (text := "\n".join(lines).strip("\n"))]
    if not found:
        raise InputError(f"{path}: the file is empty; expected text, or leave the file out")
    return found
