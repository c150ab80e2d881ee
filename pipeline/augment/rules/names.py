"""Rule `named_entity`: one sentence names somebody or something that the other does not name.

A name is a capitalised word that neither begins a sentence nor is a question word, or an acronym. Names in a row are
one name: "Donald Trump" is named by "Trump", but "North Korea" and "South Korea" differ, since each has a word that the
other lacks. An acronym is named by its initials or by a word that holds its letters ("TV", "television"), a country by
its adjective. Limits: lower-cased text and titles in capitals have no names, a sentence's first word counts only where
it follows from a longer name, and other names of the same thing ("Holland", "Big Apple") are hit wrongly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.augment.rules.words import tokens

_NO_NAMES = set(
    "a i ok who what when where why how which whose whom is are was were am do does did can could will would shall "
    "should may might must has have had if in on at to of for from by with the an and or but not my your his her its "
    "our their this that these those it he she we they you as be i'm i've i'd i'll mr mrs ms dr sir".split()
)
_SAME = {
    **dict.fromkeys(("us", "usa", "america", "american", "americans"), "united states"),
    **dict.fromkeys(("uk", "britain", "british"), "united kingdom"),
    **{"french": "france", "spanish": "spain", "dutch": "netherlands", "swiss": "switzerland", "polish": "poland"},
    **{"greek": "greece", "danish": "denmark", "turkish": "turkey", "irish": "ireland", "welsh": "wales"},
    **{"ww": "world war", "nyc": "new york", "eu": "european union"},
}
_TITLE_SHARE = 0.7  # of the words are capitalised: a title, in which capitals say nothing


@dataclass(frozen=True)
class _Sentence:
    names: list[list[str]]  # runs of adjacent name words, lower-cased
    words: list[str]  # all words, lower-cased


def names_differ(first: str, second: str) -> bool:
    """Whether a name of either sentence is missing from the other."""
    sentence, other = _read(first), _read(second)
    unnamed = [_unnamed(run, other.words) for run in sentence.names]
    unnamed_by_first = [_unnamed(run, sentence.words) for run in other.names]
    whole = any(
        len(missing) == len(run)
        for runs, missings in ((sentence.names, unnamed), (other.names, unnamed_by_first))
        for run, missing in zip(runs, missings, strict=True)
    )
    return whole or (any(unnamed) and any(unnamed_by_first))


def _unnamed(run: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words of a name that the other sentence's words do not account for."""
    phrase = " ".join(words)
    if _SAME.get(" ".join(run), " ".join(run)) in {_SAME.get(word, word) for word in words}:
        return []
    if _initials(run, words):
        return []
    return [name for name in run if not (_SAME.get(name, name) in phrase or any(_alike(name, word) for word in words))]


def _alike(name: str, word: str) -> bool:
    """Equal up to an ending ("Italy", "Italian", "Canada's"), or an acronym spelt by one word ("TV", "television")."""
    if name == word or name.rstrip("s") == word.rstrip("s") or _SAME.get(word) == name:
        return True
    common = next((place for place, (a, b) in enumerate(zip(name, word, strict=False)) if a != b), None)
    common = min(len(name), len(word)) if common is None else common
    if common >= max(4, min(len(name), len(word)) - 1) or (common >= 4 and word[common:] in ("n", "an", "ian", "ese")):
        return True
    short, long = sorted((name, word), key=len)
    return len(short) in (2, 3) and len(short) < len(long) and _spelt(short, long)


def _spelt(acronym: str, word: str) -> bool:
    letters = iter(word)
    return word[0] == acronym[0] and all(letter in letters for letter in acronym)


def _initials(run: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a run is an acronym of adjacent words of the other sentence, or the other holds the run's acronym."""
    if len(run) > 1:
        return "".join(word[0] for word in run) in words
    name = run[0]
    initials = "".join(word[0] for word in words)
    return len(name) > 1 and name in initials


def _read(text: str) -> _Sentence:
    marks = tokens(text)
    words = [word for word in marks if word[0].isalpha()]
    capitals = sum(word[0].isupper() for word in words)
    is_title = len(words) > 2 and capitals >= _TITLE_SHARE * len(words)
    runs: list[list[str]] = [[]]
    for place, word in enumerate(marks):
        if not is_title and _is_name(word, marks, place):
            runs[-1].append(_bare(word))
        else:
            runs.append([])
    return _Sentence([run for run in runs if run], [_bare(word) for word in words])


def _is_name(word: str, marks: Sequence[str], place: int) -> bool:
    if not word[0].isupper() or word.lower() in _NO_NAMES:
        return False
    starts = place == 0 or marks[place - 1] in ".?!:"
    return not starts or (len(word) > 1 and word.isupper())


def _bare(word: str) -> str:
    return word.lower().removesuffix("'s")
