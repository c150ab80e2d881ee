"""Normalise raw text; doing so twice changes nothing.

`cased` (every corpus): control characters removed, Unicode NFC, white space collapsed, quotes repaired.
`course` (pairs and sentences): also lower-cased, with `. ? , '` split off by a space, as the course's code does.

Quotes: the course's files went through several CSV exports, each of which may have quoted a field again and doubled
the quotes inside it. So, in this order: a run of quotes that stands alone and holds doubled ones, as in `a "" "" b`,
becomes the one quote it stands for; a text that is quoted as a whole, with only doubled quotes inside, is unquoted once
per export; any other run that holds doubled quotes becomes one. Single quotes are left alone, also around a whole text.
"""

import re
import unicodedata
from collections.abc import Callable

from pipeline.errors import InputError

Normalise = Callable[[str], str]

# str.split() counts these control characters as white space; the others disappear.
_CONTROLS = {code: (" " if chr(code).isspace() else None) for code in (*range(0x20), *range(0x7F, 0xA0))}
_PLAIN = str.maketrans("‘’‚‛′`´“”„‟″‐‑‒–—―−", "'" * 7 + '"' * 5 + "-" * 7)
_QUOTE_RUN = re.compile(r'"(?: ?")+')
_QUOTE_RUN_ALONE = re.compile(rf"(?<!\S){_QUOTE_RUN.pattern}(?!\S)")


def clean_line(line: str) -> str:
    """A line of plain text with its indentation: no control characters, NFC, no trailing space."""
    if not line.isprintable():
        if any("\ud800" <= character <= "\udfff" for character in line):
            raise InputError(f"{line[:60]!a}: half a character, which is no text; give it as UTF-8")
        line = line.translate(_CONTROLS)
    return unicodedata.normalize("NFC", line).rstrip()


def clean(text: str) -> str:
    """`text` on one line: no control characters, NFC, single spaces."""
    return " ".join(clean_line(text).split())


def cased(text: str) -> str:
    """`clean` text, with quotes as they were before the CSV exports."""
    text = clean(text)
    if '""' not in text:
        return text
    text = _QUOTE_RUN_ALONE.sub(_one_quote, text)
    while text[0] == text[-1] == '"' and '""' in text[1:-1] and '"' not in text[1:-1].replace('""', ""):
        text = text[1:-1].replace('""', '"').strip()
    return _QUOTE_RUN.sub(_one_quote, text)


def _one_quote(run: re.Match[str]) -> str:
    return '"' if '""' in run[0] else run[0]


def course(text: str) -> str:
    """`cased` text in lower case with `. ? , '` split off."""
    return " ".join(re.sub(r"([.?,'])", r" \1", cased(text.lower())).split())


def alike(text: str) -> str:
    """What is equal for texts that differ only in case, spaces, and ways to write quotes, dashes or joined letters."""
    return " ".join(unicodedata.normalize("NFKC", text.translate(_PLAIN)).casefold().split())


STYLES: dict[str, Normalise] = {"cased": cased, "course": course}
