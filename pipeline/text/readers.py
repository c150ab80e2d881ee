"""Readers of the raw corpora, one for each kind of file: rows as they come, and counts of what was dropped."""

import io
import re
from collections import Counter
from collections.abc import Sized
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from pipeline.errors import InputError
from pipeline.text.lines import GIVEN_LINES
from pipeline.text.normalise import Normalise, clean, clean_line
from pipeline.text.prepared import Pair, Poem, Sentence
from pipeline.text.table import Counts, as_number, read_lines, read_table


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


def read_pair_table(path: Path, label: str | None, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The pairs of `sentence1` and `sentence2`; `label` names the label column, None for an unlabelled file."""
    columns = ["sentence1", "sentence2"] + ([label] if label else [])
    table, counts = read_table(path, columns, numeric=label)
    ids, pairs = Ids(counts), []
    for line, row in table:
        sentence1, sentence2 = normalise(row["sentence1"]), normalise(row["sentence2"])
        value = read_label(row[label], 2) if label else None
        if not sentence1 or not sentence2:
            counts["dropped_empty_text"] += 1
        elif label and value is None:
            counts["dropped_label"] += 1
        else:
            pairs.append(Pair(ids.unique(row.get("id"), line), sentence1, sentence2, value))
    expected = f"two sentences and {label} 0 or 1" if label else "two sentences"
    check_usable(path, pairs, counts, f"{expected} in a row")
    return pairs, counts


def read_qqp(path: Path, labelled: bool, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The question pairs of one file."""
    return read_pair_table(path, "is_duplicate" if labelled else None, normalise)


def read_ap_h(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The sentence pairs; some second sentences are empty in the published file."""
    return read_pair_table(path, "label", normalise)


_FORBIDDEN = dict.fromkeys(set(range(0x20)) - {0x09, 0x0A, 0x0D})


def read_etpc(path: Path, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The text pairs; the label is `etpc_label`."""
    counts: Counts = Counter()
    ids, pairs = Ids(counts), []
    for number, cells in enumerate(_text_pairs(path), 1):
        counts["raw_rows"] += 1
        sentence1, sentence2 = normalise(cells.get("sent1_raw", "")), normalise(cells.get("sent2_raw", ""))
        label = read_label(cells.get("etpc_label", ""), 2)
        if not sentence1 or not sentence2:
            counts["dropped_empty_text"] += 1
        elif label is None:
            counts["dropped_label"] += 1
        else:
            pairs.append(Pair(ids.unique(cells.get("pair_id", ""), number), sentence1, sentence2, label))
    check_usable(path, pairs, counts, "text_pair elements with sent1_raw, sent2_raw and etpc_label 0 or 1")
    return pairs, counts


def _text_pairs(path: Path) -> list[dict[str, str]]:
    text = "\n".join(read_lines(path)).translate(_FORBIDDEN)
    try:
        return [_cells(element) for _, element in iterparse(io.BytesIO(text.encode())) if element.tag == "text_pair"]
    except DefusedXmlException:
        raise InputError(f"{path}: XML entities are refused, as they can exhaust the memory; remove them") from None
    except ParseError as error:
        raise InputError(f"{path}: not well-formed XML: {error}; fetch the file again") from None


def _cells(element: Element) -> dict[str, str]:
    cells = {child.tag: child.text or "" for child in element}
    element.clear()  # the tree would otherwise grow with the file
    return cells


CLASSES = {"sst": 5, "cfimdb": 2}


def read_sentiment(path: Path, classes: int, labelled: bool, normalise: Normalise) -> tuple[list[Sentence], Counts]:
    """The sentences of one file."""
    label = "sentiment" if labelled else None
    table, counts = read_table(path, ["sentence"] + ([label] if label else []), numeric=label)
    ids, sentences = Ids(counts), []
    for line, row in table:
        text = normalise(row["sentence"])
        value = read_label(row[label], classes) if label else None
        if not text:
            counts["dropped_empty_text"] += 1
        elif label and value is None:
            counts["dropped_label"] += 1
        else:
            sentences.append(Sentence(ids.unique(row.get("id"), line), text, value))
    expected = f"a sentence and a sentiment 0 to {classes - 1}" if label else "a sentence"
    check_usable(path, sentences, counts, f"{expected} in a row")
    return sentences, counts


_NUMBER = re.compile(r"\d{1,6}\.?")


def read_poems_with_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Whole poems, prompted with their first three lines; poems that end there are dropped."""
    counts: Counts = Counter()
    poems = []
    for number, lines in _numbered(path, counts).items():
        if len(lines) != 14:
            counts["not_14_lines"] += 1
        if len(lines) > GIVEN_LINES:
            poems.append(_poem(number, lines))
        else:
            counts["dropped_too_short"] += 1
    if not poems:
        raise InputError(f"{path}: no sonnet has more than {GIVEN_LINES} lines; expected whole poems")
    return poems, counts


def read_prompts(path: Path) -> tuple[list[Poem], Counts]:
    """Prompts without their poems."""
    counts: Counts = Counter()
    prompts = [Poem(number, _poem(number, lines).prompt, None) for number, lines in _numbered(path, counts).items()]
    return prompts, counts


def join_poems(prompts: list[Poem], path: Path) -> list[Poem]:
    """`prompts` completed by the poems of the same number in `path`."""
    texts = {poem.id: poem.text for poem in read_poems_with_prompts(path)[0]}
    missing = [str(prompt.id) for prompt in prompts if prompt.id not in texts]
    if missing:
        raise InputError(f"{path}: no whole poem for sonnet {', '.join(missing)}, whose prompt is in the held-out file")
    return [Poem(prompt.id, prompt.prompt, texts[prompt.id]) for prompt in prompts]


def _poem(number: int, lines: list[str]) -> Poem:
    return Poem(number, "\n".join(lines[:GIVEN_LINES]), "\n".join(lines))


def _numbered(path: Path, counts: Counts) -> dict[int, list[str]]:
    """The lines of each sonnet by number; a repeated number keeps its first sonnet, one without lines is dropped."""
    sections: list[tuple[int, list[str]]] = []
    for line in map(clean, read_lines(path)):
        if _NUMBER.fullmatch(line):
            sections.append((int(line.rstrip(".")), []))
        elif line and sections:
            sections[-1][1].append(line)
    if not sections:
        raise InputError(f"{path}: no sonnet found; expected a line with only its number above each one")
    sonnets: dict[int, list[str]] = {}
    for number, lines in sections:
        counts["raw_rows"] += 1
        if not lines:
            counts["dropped_empty_text"] += 1
        elif number in sonnets:
            counts["dropped_duplicate"] += 1
        else:
            sonnets[number] = lines
    if not sonnets:
        raise InputError(f"{path}: every sonnet is empty; expected lines of text below each number")
    return sonnets


LINES = 80


def read_plays(path: Path) -> list[str]:
    """Documents with their line structure and indentation; trailing space and blank lines at their ends are removed."""
    documents: list[str] = []
    lines: list[str] = []
    for line in map(clean_line, read_lines(path)):
        # A text without any blank line is cut as well: one huge document would not be split later.
        if (not line and len(lines) >= LINES) or len(lines) >= 10 * LINES:
            documents.append("\n".join(lines).strip("\n"))
            lines = []
        lines.append(line)
    documents.append("\n".join(lines).strip("\n"))
    documents = [document for document in documents if document]
    if not documents:
        raise InputError(f"{path}: the file is empty; expected text, or leave the file out")
    return documents
