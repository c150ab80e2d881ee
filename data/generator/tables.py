"""Writes the sample in the layout of the course files (names, columns, quoting): `python -m data.generator`."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from data.generator.news import NewsPair
from data.generator.questions import Pair
from data.generator.reviews import Review

SONNET_HEADER = "Sonnets\nby the authors of this project\nWritten for the embedded sample\n\n\n\n\n"


def row_id(*parts: str) -> str:
    """A stable hexadecimal id of 25 digits, as in the course files."""
    return hashlib.sha1("\n".join(parts).encode()).hexdigest()[:25]


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]], delimiter: str = "\t") -> None:
    """A table with LF line ends, quoted only where needed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_pairs(path: Path, pairs: Sequence[Pair], labelled: bool) -> None:
    """Question pairs; the label is a float, and absent in the student test file."""
    header = ["", "id", "sentence1", "sentence2"] + ["is_duplicate"] * labelled
    rows = [
        [i, row_id(pair.first, pair.second), pair.first, pair.second] + [float(pair.label)] * labelled
        for i, pair in enumerate(pairs)
    ]
    write_rows(path, header, rows)


def write_reviews(path: Path, reviews: Sequence[Review], labelled: bool) -> None:
    """Reviews; texts start with a blank and the student test file has one more column, as in the course files."""
    if labelled:
        header = ["", "id", "sentence", "sentiment"]
        rows: list[list[object]] = [[i, row_id(r.text), f" {r.text}", r.label] for i, r in enumerate(reviews)]
    else:
        header = ["0", "", "id", "sentence"]
        rows = [[i + 1, float(i), row_id(r.text), f" {r.text}"] for i, r in enumerate(reviews)]
    write_rows(path, header, rows)


def write_sonnets(path: Path, poems: Sequence[Sequence[str]], first_number: int) -> None:
    """Numbered poems below the header block."""
    parts = ["\n".join([str(first_number + i), "", *poem]) for i, poem in enumerate(poems)]
    path.write_text(SONNET_HEADER + "\n\n".join(parts) + "\n", encoding="utf-8", newline="\n")


def write_news(path: Path, pairs: Sequence[NewsPair]) -> None:
    """News pairs in the element structure of ETPC."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<xml>"]
    for i, pair in enumerate(pairs, 1):
        fields = {
            "pair_id": i,
            "sent1_id": 100000 + 2 * i,
            "sent2_id": 100001 + 2 * i,
            "sent1_raw": escape(pair.first),
            "sent2_raw": escape(pair.second),
            "etpc_label": pair.strict,
            "mrpc_label": pair.loose,
            "negation": pair.negation,
        }
        body = [f"    <{name}>{value}</{name}>" for name, value in fields.items()]
        lines += ["  <text_pair>", *body, "  </text_pair>"]
    path.write_text("\n".join([*lines, "</xml>"]) + "\n", encoding="utf-8", newline="\n")
