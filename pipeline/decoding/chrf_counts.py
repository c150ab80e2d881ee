"""Character n-grams of many texts as integers, for chrF of all pairs of texts at once and of small changes to a text.

chrF is that of sacrebleu for one sentence: n-grams up to 6 without white space, precision and recall averaged over the
orders that both texts have, beta 2, 0 to 100. Matches are counted exactly, in integers, so that equal texts tie.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

ORDERS = 6
BETA = 2.0
COLUMNS = 4096  # n-grams in one matrix product

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


def without_space(text: str) -> str:
    """What chrF looks at."""
    return "".join(text.split())


def pairwise_chrf(texts: Sequence[str]) -> Floats:
    """(texts, texts) chrF: rows are hypotheses, columns references.

    The smaller of two counts of an n-gram is the number of k for which both texts hold it a k-th time, so that matches
    are a product of 0/1 matrices with one column for each n-gram and k.
    """
    codes = encode(texts)
    matches, totals = np.zeros((ORDERS, len(texts), len(texts))), np.zeros((ORDERS, len(texts)), dtype=np.int64)
    for order, (owners, grams) in enumerate(ngrams(codes)):
        totals[order] = np.bincount(owners, minlength=len(texts))
        rank = np.lexsort((owners, grams))
        owners, grams = owners[rank], grams[rank]
        fresh = np.r_[True, (grams[1:] != grams[:-1]) | (owners[1:] != owners[:-1])]
        places = np.arange(len(grams))
        times = places - np.maximum.accumulate(np.where(fresh, places, 0))  # how often the text held it before
        _, columns = np.unique(grams * (times.max(initial=0) + 1) + times, return_inverse=True)
        rank = np.argsort(columns, kind="stable")
        owners, columns = owners[rank], columns[rank]
        for start in range(0, columns.max(initial=-1) + 1, COLUMNS):
            first, last = np.searchsorted(columns, [start, start + COLUMNS])
            holds = np.zeros((len(texts), COLUMNS), dtype=np.float32)
            holds[owners[first:last], columns[first:last] - start] = 1
            matches[order] += holds @ holds.T
    return chrf(matches, totals[:, :, None], totals[:, None, :])


def chrf(matches: Floats | Counts, hypothesis: Floats | Counts, reference: Floats | Counts) -> Floats:
    """chrF from counts that broadcast to (orders, ...): matching n-grams and all those of either text."""
    both = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(both.sum(0), 1)
    precision = (np.where(both, matches / np.maximum(hypothesis, 1e-16), 0)).sum(0) / orders
    recall = (np.where(both, matches / np.maximum(reference, 1e-16), 0)).sum(0) / orders
    weighted = BETA**2 * precision + recall
    return 100 * np.divide(
        (1 + BETA**2) * precision * recall, weighted, out=np.zeros_like(weighted), where=weighted > 0
    )


def encode(texts: Sequence[str]) -> list[Counts]:
    """Each text's characters, white space left out, as code points."""
    return [np.frombuffer(without_space(text).encode("utf-32-le"), dtype=np.uint32).astype(np.int64) for text in texts]


def ngrams(codes: Sequence[Counts]) -> list[tuple[Counts, Counts]]:
    """For each order: the text of every n-gram, and its number, equal for equal n-grams among these texts."""
    owners = np.repeat(np.arange(len(codes)), [len(code) for code in codes])
    _, letters = np.unique(np.concatenate(codes), return_inverse=True)
    found, grams = [(owners, letters)], letters
    for order in range(2, ORDERS + 1):
        size = max(len(letters) - order + 1, 0)
        whole = owners[order - 1 :] == owners[:size]  # no n-gram spans two texts
        longer = grams[:size] * (letters.max(initial=0) + 1) + letters[order - 1 :]
        _, grams = np.unique(longer, return_inverse=True)
        found.append((owners[order - 1 :][whole], grams[whole]))
    return found


class References:
    """The n-gram counts of many texts, added up: their chrF with a text when the counts are averaged first."""

    def __init__(self, texts: Sequence[str]) -> None:
        codes = encode(texts)
        self.size = len(texts)
        self.letters = np.unique(np.concatenate(codes))
        tables = [np.unique(self._windows(codes, order)[1], return_counts=True) for order in range(1, ORDERS + 1)]
        self.grams, self.counts = [grams for grams, _ in tables], [counts for _, counts in tables]

    def scores(self, before: Sequence[str], options: Sequence[Counts], after: Sequence[str]) -> Floats:
        """(options,) chrF of `before` + an option + `after`, all of them made of these texts' characters.

        Only n-grams that an option has a part in are counted once an option; the rest, once. Counts are kept times the
        number of references, so that they are integers.
        """
        (left,), (right,) = encode(["".join(before)]), encode(["".join(after)])
        matches, totals = np.zeros((2, ORDERS, len(options)))
        for order in range(1, ORDERS + 1):
            kept, limit = self.grams[order - 1], self.counts[order - 1]
            rest = self._windows([left, right], order)[1]
            base = np.bincount(self._places(rest, kept), minlength=len(kept) + 1)[:-1] * self.size
            texts = [np.concatenate([left[len(left) - min(len(left), order - 1) :], option, right[: order - 1]])
                     for option in options]  # fmt: skip
            owners, grams = self._windows(texts, order)
            totals[order - 1] = len(rest) + np.bincount(owners, minlength=len(options))
            pairs, times = np.unique(owners * (len(kept) + 1) + self._places(grams, kept), return_counts=True)
            owners, places = np.divmod(pairs, len(kept) + 1)
            known = places < len(kept)
            owners, places, times = owners[known], places[known], times[known]
            gain = np.minimum(base[places] + times * self.size, limit[places]) - np.minimum(base[places], limit[places])
            matches[order - 1] = np.minimum(base, limit).sum() + np.bincount(owners, gain, len(options))
        references = np.array([[counts.sum()] for counts in self.counts])
        return chrf(matches / self.size, totals, references / self.size)

    def _windows(self, codes: Sequence[Counts], order: int) -> tuple[Counts, Counts]:
        """The text of every n-gram of one order, and its number among the n-grams of these references."""
        owners = np.repeat(np.arange(len(codes)), [len(code) for code in codes])
        letters = np.searchsorted(self.letters, np.concatenate(codes))
        size = max(len(letters) - order + 1, 0)
        grams = np.zeros(size, dtype=np.int64)
        for place in range(order):
            grams = grams * len(self.letters) + letters[place : place + size]
        whole = owners[order - 1 :] == owners[:size] if size else np.zeros(0, dtype=bool)
        return owners[order - 1 :][whole], grams[whole]

    def _places(self, grams: Counts, kept: Counts) -> Counts:
        """Where n-grams are in the sorted `kept`; len(kept) for those that it lacks."""
        places = np.searchsorted(kept, grams)
        found = places < len(kept)
        found[found] = kept[places[found]] == grams[found]
        return np.where(found, places, len(kept))
