"""Minimum Bayes risk with chrF as utility: the candidate that is closest, on average, to all others.

With aggregated references (Vamvas & Sennrich 2024, https://arxiv.org/abs/2402.04251) the n-gram counts of all
references are averaged first, so that the cost grows with N instead of N squared.

chrF is that of sacrebleu for one sentence: n-grams up to 6 without white space, precision and recall averaged over the
orders that both texts have, beta 2, 0 to 100. Matches are counted exactly, in integers, so that equal texts tie.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

ORDERS = 6
BETA = 2.0
COLUMNS = 4096  # n-grams in one matrix product
DECIMALS = 9

Numbers = NDArray[np.int64] | NDArray[np.float64]
Floats = NDArray[np.float64]


def mbr(candidates: Sequence[str], aggregated: bool = False) -> int:
    """The index of the best of `candidates`, each of them also a reference; the first one of equals.

    A repeated candidate counts as often as a reference: pass each once where it should not vote for itself.
    """
    counts = Counter(candidates)  # in the order of first appearance
    distinct = list(counts)
    if aggregated:
        scores = References(candidates).scores(distinct)
    else:
        scores = (pairwise_chrf(distinct) * np.array(list(counts.values()))).sum(1)
    return candidates.index(distinct[best(scores)])


def best(scores: Floats) -> int:
    """The place of the highest of (n,) scores, the first of those that rounding errors may tell apart."""
    return int(scores.round(DECIMALS).argmax())


def pairwise_chrf(texts: Sequence[str]) -> Floats:
    """(texts, texts) chrF: rows are hypotheses, columns references.

    The smaller of two counts of an n-gram is the number of k for which both texts hold it more than k times, so that
    matches are products of 0/1 matrices.
    """
    texts = [without_space(text) for text in texts]
    matches, totals = np.zeros((ORDERS, len(texts), len(texts))), np.zeros((ORDERS, len(texts)))
    for order in range(1, ORDERS + 1):
        counts = count(texts, order, numbered(texts, order))
        totals[order - 1] = counts.sum(1)
        for start in range(0, counts.shape[1], COLUMNS):
            block = counts[:, start : start + COLUMNS].toarray()
            for times in range(block.max()):
                holds = (block[:, block.max(0) > times] > times).astype(np.float32)
                matches[order - 1] += holds @ holds.T
    return chrf(matches, totals[:, :, None], totals[:, None, :])


class References:
    """The n-gram counts of many texts, added up: their chrF with a text when the counts are averaged first."""

    def __init__(self, texts: Sequence[str]) -> None:
        texts = [without_space(text) for text in texts]
        self.size = len(texts)
        self.known = [numbered(texts, order) for order in range(1, ORDERS + 1)]
        self.counts = [count(texts, order, known).sum(0) for order, known in enumerate(self.known, 1)]

    def scores(self, options: Sequence[str], before: Sequence[str] = (), after: Sequence[str] = ()) -> Floats:
        """(options,) chrF of `before` + an option + `after`.

        Only n-grams that an option has a part in are counted once an option; the rest, once. Counts are kept times the
        number of references, so that they are integers.
        """
        left, right = without_space("".join(before)), without_space("".join(after))
        matches, totals = np.zeros((2, ORDERS, len(options)))
        for order, (known, limit) in enumerate(zip(self.known, self.counts, strict=True), 1):
            start = max(0, len(left) - order + 1)
            texts = [left[start:] + without_space(option) + right[: order - 1] for option in options]
            rest = count([left, right], order, known).sum(0) * self.size
            own = (count(texts, order, known) * self.size).tocoo()
            before_own, limits = rest[own.col], limit[own.col]
            gain = np.minimum(before_own + own.data, limits) - np.minimum(before_own, limits)
            matches[order - 1] = np.minimum(rest, limit).sum() + np.bincount(own.row, gain, len(options))
            totals[order - 1] = [sum(max(0, len(t) - order + 1) for t in (left, right, text)) for text in texts]
        references = np.array([[counts.sum()] for counts in self.counts])
        return chrf(matches / self.size, totals, references / self.size)


def chrf(matches: Numbers, hypothesis: Numbers, reference: Numbers) -> Floats:
    """chrF from counts that broadcast to (orders, ...): matching n-grams and all those of either text."""
    both = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(both.sum(0), 1)
    precision = (np.where(both, matches / np.maximum(hypothesis, 1e-16), 0)).sum(0) / orders
    recall = (np.where(both, matches / np.maximum(reference, 1e-16), 0)).sum(0) / orders
    weighted = BETA**2 * precision + recall
    return 100 * np.divide(
        (1 + BETA**2) * precision * recall, weighted, out=np.zeros_like(weighted), where=weighted > 0
    )


def without_space(text: str) -> str:
    """What chrF looks at."""
    return "".join(text.split())


def ngrams(text: str, order: int) -> list[str]:
    """All of one order, from left to right."""
    return [text[start : start + order] for start in range(len(text) - order + 1)]


def numbered(texts: Sequence[str], order: int) -> dict[str, int]:
    """The distinct n-grams of some texts."""
    found = dict.fromkeys(chain.from_iterable(ngrams(text, order) for text in texts))
    return {gram: number for number, gram in enumerate(found)}


def count(texts: Sequence[str], order: int, known: Mapping[str, int]) -> csc_array:
    """(texts, known) int64: how often each text holds each n-gram of `known`."""
    found = [[known[gram] for gram in ngrams(text, order) if gram in known] for text in texts]
    rows = np.repeat(np.arange(len(texts)), list(map(len, found)))
    columns = np.array(list(chain.from_iterable(found)), dtype=np.int64)
    return csc_array((np.ones(len(rows), dtype=np.int64), (rows, columns)), shape=(len(texts), len(known)))
