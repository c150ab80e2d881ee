"""ETPC, the Extended Typology Paraphrase Corpus (https://aclanthology.org/L18-1221): <text_pair> elements.

The published text holds control characters that XML forbids; they are removed before it is parsed.
"""

import io
from collections import Counter
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from pipeline.errors import InputError
from pipeline.text.cells import Ids, check_usable, read_label
from pipeline.text.normalise import Normalise
from pipeline.text.prepared import Pair
from pipeline.text.table import Counts, read_lines

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
