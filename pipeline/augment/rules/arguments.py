"""Rule `argument_order`: both sentences hold the same words, and two of them have changed places.

Two phrases of up to three words have changed places when exchanging them turns one sentence into the other, up to a
fifth of its words or two ("Is A better than B?", "Is B better than A?"), or when one goes from X to Y and the other
from Y to X. A phrase moved as a whole ("In Paris, where ...") is no exchange. Where order does not matter the rule is
silent: "A and B", "A or B", and sentences about a comparison as such (difference, similar, distance). Limits: it is
silent where the words differ by more ("A beats B" against "B is stronger than A"), in texts of over 40 words, and for a
passive, which exchanges the places and keeps the roles.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from pipeline.augment.rules.words import FUNCTION_WORDS, tokens

_DROPPED = {"a", "an", "the"}
_COORDINATORS = {"and", "or", "vs", "versus"}
_SYMMETRIC = {"difference", "differences", "different", "differ", "same", "similar", "similarity", "similarities"}
_SYMMETRIC |= {"compare", "compared", "comparison", "distance", "far", "equal", "equals", "equivalent", "synonym"}
_SYMMETRIC |= {"related", "relation", "relationship", "connection", "married", "together"}
_PHRASE = 3  # words
_TOLERANCE = 0.2  # of the words may differ apart from the exchange,
_MOST = 2  # and never more words than this
_LONGEST = 40  # words; exchanges are not tried in longer texts, where there are too many
_SHARED = 0.75  # of the words must be shared before exchanges are tried


def arguments_swapped(first: str, second: str) -> bool:
    """Whether two phrases have changed places."""
    words, others = _words(first), _words(second)
    if words == others or {"by"} & (set(words) ^ set(others)) or _SYMMETRIC & {*words, *others}:
        return False
    return _route_reversed(words, others) or _exchanged(words, others) or _exchanged(others, words)


def _words(text: str) -> list[str]:
    return [word for word in map(str.lower, tokens(text)) if word[0].isalnum() and word not in _DROPPED]


def _route_reversed(words: Sequence[str], others: Sequence[str]) -> bool:
    """From X to Y against from Y to X, whatever else the sentences say."""
    ends, other_ends = _ends(words), _ends(others)
    there, back = ends["from"] & other_ends["to"], ends["to"] & other_ends["from"]
    return bool(there and back) and not (ends["from"] & other_ends["from"] or ends["to"] & other_ends["to"])


def _ends(words: Sequence[str]) -> dict[str, set[str]]:
    """The first content word after every "from" and "to"."""
    ends: dict[str, set[str]] = {"from": set(), "to": set()}
    for word, follows in zip(words, words[1:], strict=False):
        if word in ends and follows not in FUNCTION_WORDS:
            ends[word].add(follows)
    return ends


def _exchanged(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether some exchange explains the other sentence, and better than one around "and" or "or" does."""
    longest = max(len(words), len(others))
    asked = _differences(words, others)
    allowed = min(_TOLERANCE * longest, _MOST)
    shared = (Counter(words) & Counter(others)).total()
    if longest > _LONGEST or shared < _SHARED * longest or asked > 4 * _PHRASE + allowed:
        return False
    found = {True: longest, False: longest}  # fewest differences left, by whether the order matters
    for exchanged, matters in _exchanges(words, others):
        found[matters] = min(found[matters], _differences(exchanged, others))
    return found[True] <= allowed and found[True] + 2 <= asked and found[True] < found[False]


def _exchanges(words: Sequence[str], others: Sequence[str]) -> Iterator[tuple[list[str], bool]]:
    """Every exchange of two phrases that stand the other way round in `others`; does their order matter?"""
    phrases = [
        (start, end, place)
        for start in range(len(words))
        for end in range(start + 1, min(start + _PHRASE, len(words)) + 1)
        if not {words[start], words[end - 1]} & FUNCTION_WORDS
        and (place := _find(words[start:end], others)) is not None
    ]
    for start, end, place in phrases:
        for later, last, other_place in phrases:
            if later > end and place > other_place:
                between = set(words[end:later])
                exchanged = [*words[:start], *words[later:last], *words[end:later], *words[start:end], *words[last:]]
                yield exchanged, not between <= _COORDINATORS


def _find(phrase: Sequence[str], words: Sequence[str]) -> int | None:
    size = len(phrase)
    places = (place for place in range(len(words) - size + 1) if words[place : place + size] == phrase)
    return next(places, None)


def _differences(words: Sequence[str], others: Sequence[str]) -> int:
    """Words to replace, drop or add: an edit script of difflib, in which a replacement counts once a word."""
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal")
