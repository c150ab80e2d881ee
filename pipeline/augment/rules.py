"""Rules that see when two questions cannot mean the same: numbers, names, negation and swapped arguments."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from os.path import commonprefix

FUNCTION_WORDS = set(
    "who what when where why how which whose whom is are was were am be been do does did can could will would shall "
    "should may might must has have had if in on at to of for from by with and or but not my your his her its our "
    "their this that these those it he she we they you i me him them us as than there so more most less any "
    "some".split()
)
_APOSTROPHE = re.compile(r"(?<=\w) ?' ?(?=(?:t|s|re|ve|ll|d|m)\b)", re.IGNORECASE)
_THOUSANDS = re.compile(r"(?<![\d.])(\d{1,3})((?: ?, ?\d{3})+)(?!\d)")
_DECIMAL = re.compile(r"(?<=\d) ?\. ?(?=\d)")
_DOTTED = re.compile(r"\b(?:[A-Za-z]\.){2,}")
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?|[.,;:?!/&]")


def plain(text: str) -> str:
    """Undo what tokenisation split: don ' t, 1 , 000, 2 . 5; drop the dots of U.S. and the commas of 1,000."""
    text = _APOSTROPHE.sub("'", text.replace("\u2019", "'"))
    text = _THOUSANDS.sub(lambda match: re.sub(r"\D", "", match.group()), text)
    return _DOTTED.sub(lambda match: match.group().replace(".", "") + " ", _DECIMAL.sub(".", text))


def tokens(text: str) -> list[str]:
    """Words, numbers and punctuation marks, in their case; "5kg" is two tokens and a hyphen is a space."""
    return _WORD.findall(plain(text))


_DROPPED = {"a", "an", "the"}
_COORDINATORS = {"and", "or", "vs", "versus"}
_SYMMETRIC = set(
    "difference differences different differ same similar similarity similarities compare compared comparison distance "
    "far equal equals equivalent synonym related relation relationship connection married together".split()
)
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
    start, end, other_start, other_end = (_after(mark, some) for some in (words, others) for mark in ("from", "to"))
    return bool(start & other_end and end & other_start) and not (start & other_start or end & other_end)


def _after(mark: str, words: Sequence[str]) -> set[str]:
    """The content words that stand after `mark`."""
    return {follows for word, follows in zip(words, words[1:], strict=False) if word == mark} - FUNCTION_WORDS


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
    places = {
        tuple(others[place : place + size]): place
        for size in range(1, _PHRASE + 1)
        for place in reversed(range(len(others) - size + 1))  # the first place of a phrase counts
    }
    phrases = [
        (start, end, places[tuple(words[start:end])])
        for start in range(len(words))
        for end in range(start + 1, min(start + _PHRASE, len(words)) + 1)
        if not {words[start], words[end - 1]} & FUNCTION_WORDS and tuple(words[start:end]) in places
    ]
    for start, end, place in phrases:
        for later, last, other_place in phrases:
            if later > end and place > other_place:
                between = set(words[end:later])
                exchanged = [*words[:start], *words[later:last], *words[end:later], *words[start:end], *words[last:]]
                yield exchanged, not between <= _COORDINATORS


def _differences(words: Sequence[str], others: Sequence[str]) -> int:
    """Words to replace, drop or add: an edit script of difflib, in which a replacement counts once a word."""
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal")


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


def names_differ(first: str, second: str) -> bool:
    """Whether a name of either sentence is missing from the other."""
    (names, words), (other_names, other_words) = _names_and_words(first), _names_and_words(second)
    unnamed = [(name, _unnamed(name, other_words)) for name in names]
    unnamed_by_first = [(name, _unnamed(name, words)) for name in other_names]
    whole = any(len(missing) == len(name) for name, missing in unnamed + unnamed_by_first)
    parts = any(missing for _, missing in unnamed) and any(missing for _, missing in unnamed_by_first)
    return whole or parts


def _unnamed(run: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words of a name that the other sentence's words do not account for."""
    phrase = " ".join(words)
    same = _SAME.get(" ".join(run), " ".join(run)) in {_SAME.get(word, word) for word in words}
    if same or _initials(run, words):
        return []
    return [name for name in run if not (_SAME.get(name, name) in phrase or any(_alike(name, word) for word in words))]


def _alike(name: str, word: str) -> bool:
    """Equal up to an ending ("Italy", "Italian", "Canada's"), or an acronym spelt by one word ("TV", "television")."""
    if name == word or name.rstrip("s") == word.rstrip("s") or _SAME.get(word) == name:
        return True
    common = len(commonprefix((name, word)))
    if common >= max(4, min(len(name), len(word)) - 1) or (common >= 4 and word[common:] in ("n", "an", "ian", "ese")):
        return True
    short, long = sorted((name, word), key=len)
    letters = iter(long)
    return 2 <= len(short) <= 3 and short[0] == long[0] and all(letter in letters for letter in short) and short != long


def _initials(run: Sequence[str], words: Sequence[str]) -> bool:
    """Whether a name is an acronym of adjacent words of the other sentence, or the other holds the name's acronym."""
    if len(run) > 1:
        return "".join(word[0] for word in run) in words
    return len(run[0]) > 1 and run[0] in "".join(word[0] for word in words)


def _names_and_words(text: str) -> tuple[list[list[str]], list[str]]:
    """Names, each a run of adjacent words, and all words, lower-cased."""
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
    return list(filter(None, runs)), list(map(_bare, words))


def _is_name(word: str, marks: Sequence[str], place: int) -> bool:
    if not word[0].isupper() or word.lower() in _NO_NAMES:
        return False
    starts = place == 0 or marks[place - 1] in ".?!:"
    return not starts or (len(word) > 1 and word.isupper())


def _bare(word: str) -> str:
    return word.lower().removesuffix("'s")


_NEGATORS = set(
    "not no never none nobody nothing nowhere neither nor without cannot aint arent cant couldnt didnt doesnt dont "
    "hasnt havent isnt shouldnt wasnt werent wont wouldnt non".split()
)
_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "mis")
_NOT_PREFIXED = set(
    "inform invest intend income inside input import impress improve discover display discount dispose intense invent "
    "intent instill impart imposed".split()
)
# Parts that deny nothing: a tag at the end, "whether or not", "not only ... but also", "no matter", "No. 5".
_EMPTY = re.compile(
    r",\s*\w+n't (?:i|you|he|she|it|we|they|there)\s*(?=[?.!]|$)|\bor not\b|\bnot (?:only|just|to mention)\b"
    r"|\bno matter\b|\bno\.? ?(?=\d)|\bno (?:wonder|doubt)\b|,\s*no\s*(?=[?.!]|$)",
    re.IGNORECASE,
)
_SAME_STATEMENT = 0.5
_STEM = 4  # letters: "forget" and "forgot" are one word
_CLAUSE_ENDS = {".", ",", ";", ":", "?", "!", "and", "or", "but", "nor", "because", "if", "so"}


def statement_negated(first: str, second: str) -> bool:
    """The rule: exactly one of the texts is negative, and they share at least half of their content words."""
    stems, others = _stems(first), _stems(second)
    shared = not (stems or others) or len(stems & others) >= _SAME_STATEMENT * max(len(stems), len(others))
    return shared and negation_differs(first, second)


def negation_differs(first: str, second: str) -> bool:
    """Whether exactly one of the texts is negative, however little they share."""
    sentences, other_sentences = _sentences(first), _sentences(second)
    if len(sentences) != len(other_sentences):  # one has an introduction that the other does without
        sentences, other_sentences = sentences[-1:], other_sentences[-1:]
    words, others = sum(sentences, []), sum(other_sentences, [])
    return _is_negative(words, set(others)) != _is_negative(others, set(words))


def _stems(text: str) -> set[str]:
    """The content words; a word counts by its beginning."""
    words = (word.lower() for word in tokens(text) if word[0].isalpha())
    return {word[:_STEM] for word in words if word not in FUNCTION_WORDS | _NEGATORS and not word.endswith("n't")}


def _sentences(text: str) -> list[list[str]]:
    sentences: list[list[str]] = [[]]
    for word in tokens(_EMPTY.sub(" ", plain(text))):
        sentences[-1].append(word.lower())
        if word in ".?!":
            sentences.append([])
    return [words for words in sentences if any(word[0].isalnum() for word in words)]


def _is_negative(words: list[str], other: set[str]) -> bool:
    """Whether a clause holds an odd number of negators; `other` decides what is a prefix."""
    odd = False
    for word in words:
        if odd and word in _CLAUSE_ENDS:
            return True
        odd ^= word in _NEGATORS or word.endswith("n't") or _is_prefixed(word, words, other)
    return odd


def _is_prefixed(word: str, words: list[str], other: set[str]) -> bool:
    if word in other or word in _NOT_PREFIXED:
        return False
    bare = (word.removeprefix(prefix) for prefix in _PREFIXES if word.startswith(prefix))
    return any(len(stem) >= 4 and stem in other and stem not in words for stem in bare)


_ONES = "zero one two three four five six seven eight nine ten eleven twelve".split()
_ONES += [f"{stem}teen" for stem in "thir four fif six seven eigh nine".split()]
_ORDINAL_ONES = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_ORDINAL_ONES += [f"{word}th" for word in _ONES[13:]]
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SMALL: dict[str, float] = {
    **{word: value for words in (_ONES, _ORDINAL_ONES) for value, word in enumerate(words)},
    **{word: value for value, ten in zip(range(20, 100, 10), _TENS, strict=True) for word in (ten, f"{ten[:-1]}ieth")},
}
_SCALES: dict[str, float] = {"hundred": 100, "thousand": 1e3, "lakh": 1e5, "million": 1e6, "crore": 1e7}
_SCALES |= {"billion": 1e9, "trillion": 1e12, "k": 1e3, "bn": 1e9}
_SCALES |= {scale + "th": value for scale, value in _SCALES.items() if len(scale) > 2}
_OTHER: dict[str, float] = {"twice": 2, "thrice": 3, "dozen": 12, "half": 0.5, "once": 1}
_OTHER |= {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9}
_UNSURE = {"zero", "one", "first", "second", "half", "once", "twice", "iv", "vi"}
_DIGITS = re.compile(r"\d+(?:\.\d+)?")


def numbers_differ(first: str, second: str) -> bool:
    """Whether either sentence has a number that the other does not have."""
    (sure, known), (other_sure, other_known) = numbers(first), numbers(second)
    return not (sure <= other_known and other_sure <= known)


def numbers(text: str) -> tuple[set[float], set[float]]:
    """The values that are surely numbers, and all values including the unsure ones."""
    words = [word.lower() for word in tokens(text)]
    sure, known = set[float](), set[float]()
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
    if words[0] in _OTHER:
        return 1, _OTHER[words[0]]
    if words[0] in ("hundred", "thousand", "million", "billion"):
        return _compound(["one", *words], given=1)
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


RULES: dict[str, Callable[[str, str], bool]] = {
    "numbers": numbers_differ,
    "negation": statement_negated,
    "named_entity": names_differ,
    "argument_order": arguments_swapped,
}


def violated_rule(first: str, second: str) -> str | None:
    """The name of the first rule, in the order of `RULES`, that the pair violates; None if it violates none."""
    return next((name for name, differs in RULES.items() if differs(first, second)), None)
