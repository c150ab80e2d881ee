"""Rule `numbers`: one sentence has an amount, a year or a rank that the other lacks.

Digits and words are the same ("1,000", "1000", "a thousand", "1k"), and so are ordinals and cardinals ("2nd", "second",
"II"). Words that are often no numbers (one, first, second, half; IV, VI) count only to explain a number of the other
sentence. Limits: units are not converted, so "60 minutes" and "an hour" differ; dates are compared digit by digit.
"""

import re
from collections.abc import Sequence

from pipeline.augment.rules.words import tokens

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_ORDINAL_ONES = (
    "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth"
).split()
_SMALL: dict[str, float] = {
    **{word: value for value, word in enumerate(_ONES)},
    **{word: value for value, word in enumerate(_ORDINAL_ONES)},
    **{word: 10 * (place + 2) for place, word in enumerate(_TENS)},
    **{word[:-1] + "ieth": 10 * (place + 2) for place, word in enumerate(_TENS)},
}
_SCALES: dict[str, float] = {"hundred": 100, "thousand": 1e3, "lakh": 1e5, "million": 1e6, "crore": 1e7}
_SCALES |= {"billion": 1e9, "trillion": 1e12, "k": 1e3, "bn": 1e9}
_SCALES |= {scale + "th": value for scale, value in _SCALES.items() if len(scale) > 2}
_OTHER: dict[str, float] = {"twice": 2, "thrice": 3, "dozen": 12, "half": 0.5, "once": 1}
_ROMAN: dict[str, float] = {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9}
_UNSURE = {"zero", "one", "first", "second", "half", "once", "twice", "iv", "vi"}
_DIGITS = re.compile(r"\d+(?:\.\d+)?")


def numbers_differ(first: str, second: str) -> bool:
    """Whether either sentence has a number that the other does not have."""
    (sure, known), (other_sure, other_known) = numbers(first), numbers(second)
    return not (sure <= other_known and other_sure <= known)


def numbers(text: str) -> tuple[set[float], set[float]]:
    """The values that are surely numbers, and all values including the unsure ones."""
    words = [word.lower() for word in tokens(text)]
    sure: set[float] = set()
    known: set[float] = set()
    start = 0
    while start < len(words):
        length, value = _number(words[start:])
        if length:
            known.add(value)
            if length > 1 or words[start] not in _UNSURE:
                sure.add(value)
        start += max(length, 1)
    return sure, known


def _number(words: Sequence[str]) -> tuple[int, float]:
    """How many words the number at the start takes (0 if there is none), and its value."""
    word = words[0]
    if word in _OTHER or word in _ROMAN:
        return 1, _OTHER.get(word, _ROMAN.get(word, 0))
    if word in ("hundred", "thousand", "million", "billion"):
        return _compound(["one", *words], given=1)
    if word not in _SMALL and not _DIGITS.fullmatch(word):
        return 0, 0
    return _compound(words, given=0)


def _compound(words: Sequence[str], given: int) -> tuple[int, float]:
    """Read "two hundred and twenty-five thousand", "2.5 million"; `given` words were put in front by the caller."""
    total, group, last, length = 0.0, 0.0, 0.0, 0
    while length < len(words):
        word = words[length]
        follows = words[length + 1] if length + 1 < len(words) else ""
        if length and word in _SCALES:
            scale = _SCALES[word]
            total, group = (total, group * scale) if scale == 100 else (total + group * scale, 0.0)
            last = scale
        elif length and word == "and" and last >= 100 and follows in _SMALL:
            pass
        elif word in _SMALL and (not length or last >= 100 or (20 <= last < 100 and 0 < _SMALL[word] < 10)):
            group, last = group + _SMALL[word], _SMALL[word]
        elif not length and _DIGITS.fullmatch(word):
            group, last = float(word), 1.0
        else:
            break
        length += 1
    return length - given, total + group
