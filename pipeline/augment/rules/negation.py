"""Rule `negation`: one sentence denies what the other states.

A clause is negative when it holds an odd number of negators, a sentence when one of its clauses is: so "cannot live
without" is positive, and "not A and not B" is as negative as "neither A nor B". A prefix counts when the other sentence
has the bare word ("unhappy" against "happy"), so "not happy" and "unhappy" agree. Of texts with unequal numbers of
sentences only the last ones are compared ("I have no car. Who sells one?", "Who sells cars?"). Texts with few words in
common are left alone, since they may say the same with and without a negator ("is not good", "harms"). Limits: antonyms
("sell" against "buy") are no negators, and "remained unhurt" against "no one was hurt" is hit wrongly where the other
words agree.
"""

import re

from pipeline.augment.rules.words import FUNCTION_WORDS, plain, tokens

_NEGATORS = {"not", "no", "never", "none", "nobody", "nothing", "nowhere", "neither", "nor", "without", "cannot"}
_NEGATORS |= {"aint", "arent", "cant", "couldnt", "didnt", "doesnt", "dont", "hasnt", "havent", "isnt", "shouldnt"}
_NEGATORS |= {"wasnt", "werent", "wont", "wouldnt", "non"}
_PREFIXES = ("un", "dis", "in", "im", "il", "ir", "non", "mis")
_NOT_PREFIXED = {"inform", "invest", "intend", "income", "inside", "input", "import", "impress", "improve", "discover"}
_NOT_PREFIXED |= {"display", "discount", "dispose", "intense", "invent", "intent", "instill", "impart", "imposed"}
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
    return negation_differs(first, second) and _shared(first, second) >= _SAME_STATEMENT


def negation_differs(first: str, second: str) -> bool:
    """Whether exactly one of the texts is negative, however little they share."""
    sentences, other_sentences = _sentences(first), _sentences(second)
    if len(sentences) != len(other_sentences):  # one has an introduction that the other does without
        sentences, other_sentences = sentences[-1:], other_sentences[-1:]
    words, others = sum(sentences, []), sum(other_sentences, [])
    return _is_negative(words, set(others)) != _is_negative(others, set(words))


def _shared(first: str, second: str) -> float:
    """The share of the content words of the longer text that are in the other; a word counts by its beginning."""
    stems, others = _stems(first), _stems(second)
    return len(stems & others) / max(len(stems), len(others), 1) if stems or others else 1.0


def _stems(text: str) -> set[str]:
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
        if word in _CLAUSE_ENDS:
            if odd:
                return True
        odd ^= word in _NEGATORS or word.endswith("n't") or (_is_prefixed(word, words, other))
    return odd


def _is_prefixed(word: str, words: list[str], other: set[str]) -> bool:
    if word in other or word in _NOT_PREFIXED:
        return False
    bare = (word.removeprefix(prefix) for prefix in _PREFIXES if word.startswith(prefix))
    return any(len(stem) >= 4 and stem in other and stem not in words for stem in bare)
