"""Readers of the raw corpora, one for each kind of file: rows as they come, and counts of what was dropped."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from pipeline.errors import InputError
from pipeline.text.delimited import Counts, as_number, read_lines, read_table
from pipeline.text.lines import GIVEN_LINES, SONNET_LINES
from pipeline.text.normalise import Normalise, clean, clean_line
from pipeline.text.prepared import Pair, Poem, Sentence

CLASSES = {"sst": 5, "cfimdb": 2}
AnyRow = TypeVar("AnyRow", Pair, Sentence)


class _Columns(NamedTuple):
    """Where the texts and the label of a row are; the label is None in an unlabelled file, else 0 to `classes` - 1."""

    texts: Sequence[str]
    label: str | None
    classes: int = 2


def read_qqp(path: Path, labelled: bool, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The question pairs of one file."""
    return _read_table(
        path, Pair, _Columns(["sentence1", "sentence2"], "is_duplicate" if labelled else None), normalise
    )


def read_ap_h(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The sentence pairs; some second sentences are empty in the published file."""
    return _read_table(path, Pair, _Columns(["sentence1", "sentence2"], "label"), normalise)


def read_sentiment(path: Path, classes: int, labelled: bool, normalise: Normalise) -> tuple[list[Sentence], Counts]:
    """The sentences of one file."""
    columns = _Columns(["sentence"], "sentiment" if labelled else None, classes)
    return _read_table(path, Sentence, columns, normalise)


def _read_table(
    path: Path, kind: Callable[..., AnyRow], columns: _Columns, normalise: Normalise
) -> tuple[list[AnyRow], Counts]:
    table, counts = read_table(path, [*columns.texts, *filter(None, [columns.label])], numeric=columns.label)
    return _usable_rows(path, table, kind, columns, normalise, counts), counts


def _usable_rows(
    path: Path,
    table: Iterable[tuple[int, Mapping[str, str]]],
    kind: Callable[..., AnyRow],
    columns: _Columns,
    normalise: Normalise,
    counts: Counts,
) -> list[AnyRow]:
    """The rows without an empty text or a wrong label, which may be written `1` or `1.0`; those are counted.

    Ids become unique: a missing one is made from the row's number, a repeated one gets it appended; both are counted.
    """
    texts, label, classes = columns
    rows: list[AnyRow] = []
    seen: set[str] = set()
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
        labels = f" and {label} from 0 to {classes - 1}" if label else ""
        expected = f"expected rows with {', '.join(texts)}{labels}"
        raise InputError(f"{path}: no usable row ({dropped or 'no rows at all'}); {expected}")
    return rows


_FORBIDDEN = dict.fromkeys(set(range(0x20)) - {0x09, 0x0A, 0x0D})  # characters that XML refuses


def read_etpc(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The text pairs; the label is `etpc_label`."""
    text = "\n".join(read_lines(path)).translate(_FORBIDDEN)
    try:
        cells = [_cells(element) for _, element in iterparse(io.BytesIO(text.encode())) if element.tag == "text_pair"]
    except DefusedXmlException:
        raise InputError(f"{path}: XML entities are refused, as they can exhaust the memory; remove them") from None
    except ParseError as error:
        raise InputError(f"{path}: not well-formed XML: {error}; fetch the file again") from None
    counts = Counter({"raw_rows": len(cells)})
    columns = _Columns(["sent1_raw", "sent2_raw"], "etpc_label")
    return _usable_rows(path, enumerate(cells, 1), Pair, columns, normalise, counts), counts


def _cells(element: Element) -> dict[str, str]:
    cells = {child.tag: child.text or "" for child in element}
    element.clear()  # the tree would otherwise grow with the file
    return cells | {"id": cells.get("pair_id", "")}


_NUMBER = re.compile(r"\d{1,6}\.?")


def read_poems_with_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Whole poems, prompted with their first three lines; poems that end there are dropped."""
    sonnets, counts = _numbered(path)
    for lines in sonnets.values():
        if len(lines) != SONNET_LINES:
            counts["not_14_lines"] += 1
        if len(lines) <= GIVEN_LINES:
            counts["dropped_too_short"] += 1
    poems = [
        Poem(number, "\n".join(lines[:GIVEN_LINES]), "\n".join(lines))
        for number, lines in sonnets.items()
        if len(lines) > GIVEN_LINES
    ]
    if not poems:
        raise InputError(f"{path}: no sonnet has more than {GIVEN_LINES} lines; expected whole poems")
    return poems, counts


def read_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Prompts without their poems."""
    sonnets, counts = _numbered(path)
    return [Poem(number, "\n".join(lines[:GIVEN_LINES]), None) for number, lines in sonnets.items()], counts


def join_poems(prompts: list[Poem], path: Path) -> list[Poem]:
    """`prompts` completed by the poems of the same number in `path`."""
    texts = {poem.id: poem.text for poem in read_poems_with_prompts(path)[0]}
    missing = [str(prompt.id) for prompt in prompts if prompt.id not in texts]
    if missing:
        raise InputError(f"{path}: no whole poem for sonnet {', '.join(missing)}, whose prompt is in the held-out file")
    return [Poem(prompt.id, prompt.prompt, texts[prompt.id]) for prompt in prompts]


def _numbered(path: Path) -> tuple[dict[int, list[str]], Counts]:
    """The lines of each sonnet by number; a repeated number keeps its first sonnet, one without lines is dropped."""
    sections: list[tuple[int, list[str]]] = []
    for line in map(clean, read_lines(path)):
        if _NUMBER.fullmatch(line):
            sections.append((int(line.rstrip(".")), []))
        elif line and sections:
            sections[-1][1].append(line)
    if not sections:
        raise InputError(f"{path}: no sonnet found; expected a line with only its number above each one")
    counts, sonnets = Counter({"raw_rows": len(sections)}), dict[int, list[str]]()
    for number, lines in sections:
        if not lines:
            counts["dropped_empty_text"] += 1
        elif number in sonnets:
            counts["dropped_duplicate"] += 1
        else:
            sonnets[number] = lines
    if not sonnets:
        raise InputError(f"{path}: every sonnet is empty; expected lines of text below each number")
    return sonnets, counts


LINES = 80  # of a document, at least


def read_plays(path: Path) -> list[str]:
    """Documents with their line structure and indentation; trailing space and blank lines at their ends are removed."""
    documents: list[list[str]] = [[]]
    for line in map(clean_line, read_lines(path)):
        # A text without any blank line is cut as well: one huge document would not be split later.
        if (not line and len(documents[-1]) >= LINES) or len(documents[-1]) >= 10 * LINES:
            documents.append([])
        documents[-1].append(line)
    found = [text for lines in documents if (text := "\n".join(lines).strip("\n"))]
    if not found:
        raise InputError(f"{path}: the file is empty; expected text, or leave the file out")
    return found
