"""Figures about prepared splits for metrics/data.json, and the floors that any model has to beat."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.text.prepared import Pair, Poem
from pipeline.text.splits import Row, questions, texts

Figures = dict[str, float]
_WORD = re.compile(r"\w+")


def describe(rows: Sequence[Row], counts: Mapping[str, int]) -> Figures:
    """Rows, share of each label, mean words in a text, then what was dropped and repaired."""
    labels = Counter(row.label for row in rows if row.label is not None)
    shares = {f"label_{label}": labels[label] / len(rows) for label in sorted(labels)}
    words = _mean_words([text for row in rows for text in texts(row)])
    return {"rows": len(rows), **shares, "mean_words": words, **dict(sorted(counts.items()))}


def describe_texts(items: Sequence[str], counts: Mapping[str, int]) -> Figures:
    """Rows, mean words, then what was dropped."""
    return {"rows": len(items), "mean_words": _mean_words(items), **dict(sorted(counts.items()))}


def describe_poems(poems: Sequence[Poem], counts: Mapping[str, int]) -> Figures:
    """Poems (or prompts, where the poem is unknown), mean words, then what was dropped."""
    return describe_texts([poem.text or poem.prompt for poem in poems], counts)


def majority_accuracy(train: Sequence[Row], dev: Sequence[Row]) -> float:
    """Accuracy on dev of always answering the most frequent label of train."""
    label = Counter(row.label for row in train).most_common(1)[0][0]
    return sum(row.label == label for row in dev) / len(dev)


def word_overlap_accuracy(train: Sequence[Pair], dev: Sequence[Pair]) -> float:
    """Accuracy on dev of answering 1 from some Jaccard similarity of words upwards, which is fitted on train."""
    threshold = best_threshold([(jaccard(pair), pair.label or 0) for pair in train])
    return sum((jaccard(pair) >= threshold) == (pair.label == 1) for pair in dev) / len(dev)


def jaccard(pair: Pair) -> float:
    """Shared words over all words of a pair, without regard to case."""
    first, second = (set(_WORD.findall(text.lower())) for text in texts(pair))
    return len(first & second) / len(first | second) if first or second else 1.0


def best_threshold(scored: Sequence[tuple[float, int]]) -> float:
    """The least score to answer 1 to with the highest accuracy; of equally good ones, the highest."""
    by_score: dict[float, int] = Counter()
    for score, label in scored:
        by_score[score] += 1 if label else -1
    best, gain, threshold = 0, 0, float("inf")  # answering 0 throughout
    for score in sorted(by_score, reverse=True):
        gain += by_score[score]
        if gain > best:
            best, threshold = gain, score
    return threshold


def shares_question(train: Sequence[Pair], dev: Sequence[Pair]) -> float:
    """Share of the training pairs that have a question in common with dev."""
    known = {question for pair in dev for question in questions(pair)}
    return sum(any(question in known for question in questions(pair)) for pair in train) / len(train)


def _mean_words(items: Sequence[str]) -> float:
    return sum(len(text.split()) for text in items) / len(items) if items else 0.0
