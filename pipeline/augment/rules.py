"""Rules that see when two questions cannot mean the same: numbers, names, negation and swapped arguments."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise, product
from os.path import commonprefix

FUNCTION_WORDS = set(
    "who what when where why how which whose whom is are was were am be been do does did can could will would shall "
    "should may might must has have had if in on at to of for from by with and or but not my your his her its our "
    "their this that these those it he she we they you i me him them us as than there so more most less any "
    "some".split()
)


def plain(text: str) -> str:
    """Undo what tokenisation split: don ' t, 1 , 000, 2 . 5; drop the dots of U.S. and the commas of 1,000."""
    text = re.sub(r"(?<=\w) ?' ?(?=(?:t|s|re|ve|ll|d|m)\b)", "'", text.replace("\u2019", "'"), flags=re.IGNORECASE)
    text = re.sub(r"(?<![\d.])\d{1,3}(?: ?, ?\d{3})+(?!\d)", lambda match: re.sub(r"\D", "", match.group()), text)
    text = re.sub(r"(?<=\d) ?\. ?(?=\d)", ".", text)
    return re.sub(r"\b(?:[A-Za-z]\.){2,}", lambda match: match.group().replace(".", "") + " ", text)


def tokens(text: str) -> list[str]:
    """Words, numbers and punctuation marks, in their case; "5kg" is two tokens and a hyphen is a space."""
    return re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+(?:'[^\W\d_]+)?|[.,;:?!/&]", plain(text))


SYMMETRIC = set(
    "difference differences different differ same similar similarity similarities compare compared comparison distance "
    "far equal equals equivalent synonym related relation relationship connection married together".split()
)
PHRASE = 3  # words of a phrase at most


def arguments_swapped(first: str, second: str) -> bool:
    """Whether two phrases have changed places."""
    words, others = (
        [word for word in map(str.lower, tokens(text)) if word[0].isalnum() and word not in ("a", "an", "the")]
        for text in (first, second)
    )
    if words == others or ("by" in words) != ("by" in others) or SYMMETRIC & {*words, *others}:
        return False
    start, end, other_start, other_end = (
        {follows for word, follows in pairwise(some) if word == mark} - FUNCTION_WORDS
        for some in (words, others)
        for mark in ("from", "to")
    )
    # From X to Y against from Y to X, whatever else the sentences say.
    turned = start & other_end and end & other_start and not (start & other_start or end & other_end)
    return bool(turned) or exchanged(words, others) or exchanged(others, words)


def exchanged(words: Sequence[str], others: Sequence[str]) -> bool:
    """Whether an exchange of two phrases explains the other sentence, and better than one around "and" or "or" does."""
    longest = max(len(words), len(others))
    asked = differences(words, others)
    allowed = min(0.2 * longest, 2)  # words that may differ apart from the exchange
    shared = (Counter(words) & Counter(others)).total()
    if longest > 40 or shared < 0.75 * longest or asked > 4 * PHRASE + allowed:  # longer texts have too many exchanges
        return False
    places = {
        tuple(others[place : place + size]): place
        for size in range(1, PHRASE + 1)
        for place in reversed(range(len(others) - size + 1))  # the first place of a phrase counts
    }
    phrases = [
        (start, end, places[tuple(words[start:end])])
        for start in range(len(words))
        for end in range(start + 1, min(start + PHRASE, len(words)) + 1)
        if not {words[start], words[end - 1]} & FUNCTION_WORDS and tuple(words[start:end]) in places
    ]
    fewest = {True: longest, False: longest}  # differences that an exchange leaves, by whether the order matters
    for (start, end, place), (later, last, other_place) in product(phrases, phrases):
        if later > end and place > other_place:  # they stand the other way round
            between = words[end:later]
            turned = [*words[:start], *words[later:last], *between, *words[start:end], *words[last:]]
            matters = not {"and", "or", "vs", "versus"}.issuperset(between)
            fewest[matters] = min(fewest[matters], differences(turned, others))
    return fewest[True] <= allowed and fewest[True] + 2 <= asked and fewest[True] < fewest[False]


def differences(words: Sequence[str], others: Sequence[str]) -> int:
    """Words to replace, drop or add: an edit script of difflib, in which a replacement counts once a word."""
    matcher = SequenceMatcher(None, words, others, autojunk=False)
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal")


NO_NAMES = FUNCTION_WORDS - set("any been him less me more most so some than them there us".split())
NO_NAMES |= set("a an the ok i'm i've i'd i'll mr mrs ms dr sir".split())
SAME = {
    **dict.fromkeys(("us", "usa", "america", "american", "americans"), "united states"),
    **dict.fromkeys(("uk", "britain", "british"), "united kingdom"),
    **{"french": "france", "spanish": "spain", "dutch": "netherlands", "swiss": "switzerland", "polish": "poland"},
    **{"greek": "greece", "danish": "denmark", "turkish": "turkey", "irish": "ireland", "welsh": "wales"},
    **{"ww": "world war", "nyc": "new york", "eu": "european union"},
}


def names_differ(first: str, second: str) -> bool:
    """Whether a name of either sentence is missing from the other."""
    (names, words), (other_names, other_words) = names_and_words(first), names_and_words(second)
    sides = (names, other_words), (other_names, words)
    gaps = [[(name, unnamed(name, others)) for name in some] for some, others in sides]
    whole = any(len(missing) == len(name) for gap in gaps for name, missing in gap)
    return whole or all(any(missing for _, missing in gap) for gap in gaps)


def unnamed(run: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words of a name that the other sentence's words do not account for."""
    name, phrase = " ".join(run), " ".join(words)
    # The other holds the name's acronym, or the name is an acronym of adjacent words of the other.
    acronym, spelt = "".join(word[0] for word in run), "".join(word[0] for word in words)
    known = acronym in words if len(run) > 1 else len(name) > 1 and name in spelt
    if known or SAME.get(name, name) in {SAME.get(word, word) for word in words}:
        return []
    return [part for part in run if not (SAME.get(part, part) in phrase or any(alike(part, word) for word in words))]


def alike(name: str, word: str) -> bool:
    """Equal up to an ending ("Italy", "Italian", "Canada's"), or an acronym spelt by one word ("TV", "television")."""
    if name.rstrip("s") == word.rstrip("s") or SAME.get(word) == name:
        return True
    common = len(commonprefix((name, word)))
    if common >= max(4, min(len(name), len(word)) - 1) or (common >= 4 and word[common:] in ("n", "an", "ian", "ese")):
        return True
    short, long = sorted((name, word), key=len)
    letters = iter(long)
    return 2 <= len(short) <= 3 and short[0] == long[0] and all(letter in letters for letter in short)


def names_and_words(text: str) -> tuple[list[list[str]], list[str]]:
    """Names, each a run of adjacent words, and all words, lower-cased; in a title capitals say nothing."""
    marks = tokens(text)
    words = [word for word in marks if word[0].isalpha()]
    is_title = len(words) > 2 and sum(word[0].isupper() for word in words) >= 0.7 * len(words)
    runs: list[list[str]] = [[]]
    for before, word in zip([".", *marks], marks, strict=False):
        is_name = word[0].isupper() and word.lower() not in NO_NAMES
        if is_name and not is_title and (before not in ".?!:" or (len(word) > 1 and word.isupper())):
            runs[-1].append(word.lower().removesuffix("'s"))
        else:
            runs.append([])
    return list(filter(None, runs)), [word.lower().removesuffix("'s") for word in words]


NEGATORS = set(
    "not no never none nobody nothing nowhere neither nor without cannot aint arent cant couldnt didnt doesnt dont "
    "hasnt havent isnt shouldnt wasnt werent wont wouldnt non".split()
)
PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "mis")
NOT_PREFIXED = set(
    "inform invest intend income inside input import impress improve discover display discount dispose intense invent "
    "intent instill impart imposed".split()
)
# Parts that deny nothing: a tag at the end, "whether or not", "not only ... but also", "no matter", "No. 5".
EMPTY = re.compile(
    r",\s*\w+n't (?:i|you|he|she|it|we|they|there)\s*(?=[?.!]|$)|\bor not\b|\bnot (?:only|just|to mention)\b"
    r"|\bno matter\b|\bno\.? ?(?=\d)|\bno (?:wonder|doubt)\b|,\s*no\s*(?=[?.!]|$)",
    re.IGNORECASE,
)
CLAUSE_ENDS = {".", ",", ";", ":", "?", "!", "and", "or", "but", "nor", "because", "if", "so"}


def statement_negated(first: str, second: str) -> bool:
    """The rule: exactly one of the texts is negative, and they share at least half of their content words."""
    stems, others = (
        {
            word[:4]  # "forget" and "forgot" are one word
            for word in map(str.lower, tokens(text))
            if word[0].isalpha() and word not in FUNCTION_WORDS | NEGATORS and not word.endswith("n't")
        }
        for text in (first, second)
    )
    return len(stems & others) >= max(len(stems), len(others)) / 2 and negation_differs(first, second)


def negation_differs(first: str, second: str) -> bool:
    """Whether exactly one of the texts is negative, however little they share."""
    sentences, other_sentences = (
        [part.split() for part in re.split(r"(?<=[.?!]) ", marks) if re.search(r"\w", part)]
        for marks in (" ".join(tokens(EMPTY.sub(" ", plain(text)))).lower() for text in (first, second))
    )
    if len(sentences) != len(other_sentences):  # one has an introduction that the other does without
        sentences, other_sentences = sentences[-1:], other_sentences[-1:]
    words, others = sum(sentences, []), sum(other_sentences, [])
    return is_negative(words, set(others)) != is_negative(others, set(words))


def is_negative(words: Sequence[str], other: set[str]) -> bool:
    """Whether a clause holds an odd number of negators; a prefix is one before a word that only `other` has."""
    odd = False
    for word in words:
        if odd and word in CLAUSE_ENDS:
            return True
        stems = {word.removeprefix(prefix) for prefix in PREFIXES if word.startswith(prefix)} & other - set(words)
        prefixed = word not in other | NOT_PREFIXED and any(len(stem) >= 4 for stem in stems)
        odd ^= word in NEGATORS or word.endswith("n't") or prefixed
    return odd


ONES = "zero one two three four five six seven eight nine ten eleven twelve".split()
ONES += [f"{stem}teen" for stem in "thir four fif six seven eigh nine".split()]
ORDINAL_ONES = "zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
ORDINAL_ONES += [f"{word}th" for word in ONES[13:]]
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
SMALL: dict[str, float] = {
    **{word: value for words in (ONES, ORDINAL_ONES) for value, word in enumerate(words)},
    **{word: value for value, ten in zip(range(20, 100, 10), TENS, strict=True) for word in (ten, f"{ten[:-1]}ieth")},
}
SCALES: dict[str, float] = {"hundred": 100, "thousand": 1e3, "lakh": 1e5, "million": 1e6, "crore": 1e7}
SCALES |= {"billion": 1e9, "trillion": 1e12, "k": 1e3, "bn": 1e9}
SCALES |= {scale + "th": value for scale, value in SCALES.items() if len(scale) > 2}
OTHER: dict[str, float] = {"twice": 2, "thrice": 3, "dozen": 12, "half": 0.5, "once": 1}
OTHER |= {"ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9}
UNSURE = {"zero", "one", "first", "second", "half", "once", "twice", "iv", "vi"}


def numbers_differ(first: str, second: str) -> bool:
    """Whether either sentence has a number that the other does not have."""
    (sure, known), (other_sure, other_known) = numbers(first), numbers(second)
    return not (sure <= other_known and other_sure <= known)


def numbers(text: str) -> tuple[set[float], set[float]]:
    """The values that are surely numbers, and all values including the unsure ones."""
    words = [word.lower() for word in tokens(text)]
    sure, known = set[float](), set[float]()
    while words:
        length, value = number(words)
        known |= {value} if length else set()
        sure |= {value} if length > 1 or (length and words[0] not in UNSURE) else set()
        words = words[max(length, 1) :]
    return sure, known


def number(words: Sequence[str]) -> tuple[int, float]:
    """Words (0 if none) and value of the number at the start: "two hundred and five", "2.5 million", "million"."""
    if words[0] in OTHER:
        return 1, OTHER[words[0]]
    given = words[0] in ("hundred", "thousand", "million", "billion")
    words = ["one", *words] if given else words
    total, group, last, length = 0.0, 0.0, 0.0, 0
    while length < len(words):
        word, follows = words[length], "".join(words[length + 1 : length + 2])
        if length and word in SCALES:
            last = SCALES[word]
            total, group = (total, group * last) if last == 100 else (total + group * last, 0.0)
        elif length and word == "and" and last >= 100 and follows in SMALL:
            pass
        elif word in SMALL and (not length or last >= 100 or (20 <= last < 100 and 0 < SMALL[word] < 10)):
            last = SMALL[word]
            group += last
        elif not length and re.fullmatch(r"\d+(?:\.\d+)?", word):
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
