"""MBR line by line: a poem put together from the lines of samples; chrF-optimal, and ours.

It starts from the pool's MBR choice. At each line in turn, every pooled line of that place is tried and the one kept
with which the whole poem has the highest expected chrF, until a sweep changes nothing: coordinate ascent.

chrF is that of sacrebleu for one sentence: n-grams up to 6 without white space, precision and recall averaged over the
orders that both texts have, beta 2. Each line that is tried changes few n-grams of a poem, and only they are counted.
"""

from collections.abc import Sequence, Set
from itertools import zip_longest
from typing import Literal

import numpy as np
from pydantic import Field

from pipeline.decoding.epsilon import Pool, samples
from pipeline.decoding.sampled_mbr import DECIMALS, mbr
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.evaluation.chrf import ORDERS, of_counts
from pipeline.text.prepared import Poem


class Options(Pool):
    decoder: Literal["line_mbr"]
    sweeps: int = Field(ge=1)  # at most, through the lines


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    """A poem for each prompt that has no line of a training poem."""
    pool, forbidden = samples(writer, poems, options.samples, options), set(writer.training_lines())
    return chosen(poems, pool, lambda poem, texts: line_mbr(poem.prompt, texts, forbidden, options.sweeps))


def line_mbr(prompt: str, pool: Sequence[str], forbidden: Set[str], sweeps: int) -> str:
    """The poem from the lines of the pool, whole poems, with the highest expected chrF against it.

    The lines of the prompt stay, `forbidden` ones are not used: a line that has no other choice is left out.
    """
    given = prompt.split("\n")
    columns = list(zip_longest(*(poem.split("\n")[len(given) :] for poem in pool), fillvalue=""))
    choices = [sorted({*column} - {"", *forbidden}) for column in columns]
    best, references = mbr(pool, aggregated=True), References(pool)
    lines = ["" if column[best] in forbidden else column[best] for column in columns]
    for _ in range(sweeps):
        before = list(lines)
        for place, found in enumerate(choices):
            tried = list(dict.fromkeys([lines[place], *found]))
            scores = references.scores(tried, [*given, *lines[:place]], lines[place + 1 :])
            lines[place] = tried[scores.round(DECIMALS).argmax()]
        if lines == before:
            break
    return "\n".join([*given, *filter(None, lines)])


class References:
    """The n-gram counts of many texts, added up: their chrF with a text when the counts are averaged first."""

    def __init__(self, texts: Sequence[str]) -> None:
        found = [gram for text in texts for gram in ngrams("".join(text.split()))]
        self.size = len(texts)
        self.known = {gram: number for number, gram in enumerate(dict.fromkeys(found))}
        self.orders = np.array([len(gram) - 1 for gram in self.known], dtype=np.int64)
        self.counts = self.count(found)
        self.totals = np.bincount(self.orders, self.counts, ORDERS)

    def count(self, grams: Sequence[str]) -> np.ndarray:
        """(known,) int64: how often each known n-gram is among these."""
        return np.bincount([self.known[gram] for gram in grams if gram in self.known], minlength=len(self.known))

    def scores(self, options: Sequence[str], before: Sequence[str], after: Sequence[str]) -> np.ndarray:
        """(options,) chrF, 0 to 100, of `before` + an option + `after`."""
        left, right = ("".join("".join(lines).split()) for lines in (before, after))
        start, end = left[1 - ORDERS :], right[: ORDERS - 1]  # share n-grams with the option: counted with it
        # Counts are times the number of references, so that they are integers.
        rest = self.size * (self.count(ngrams(left) + ngrams(right)) - self.count(ngrams(start) + ngrams(end)))
        least = np.minimum(rest, self.counts)
        matches, totals = np.zeros((2, len(options), ORDERS))
        for number, option in enumerate(options):
            option = "".join(option.split())
            grams = [self.known[gram] for gram in ngrams(start + option + end) if gram in self.known]
            own, counts = np.unique(np.array(grams, dtype=np.int64), return_counts=True)
            gain = np.minimum(rest[own] + self.size * counts, self.counts[own]) - least[own]
            matches[number] = np.bincount(self.orders[own], gain, ORDERS)
            totals[number] = len(left) + len(option) + len(right) - np.arange(ORDERS)
        matches += np.bincount(self.orders, least, ORDERS)
        found = (self.size * totals.clip(0), np.broadcast_to(self.totals, totals.shape), matches)
        return of_counts(np.stack(found, -1))


def ngrams(text: str) -> list[str]:
    """All up to ORDERS, from left to right."""
    return [text[start : start + order] for order in range(1, ORDERS + 1) for start in range(len(text) - order + 1)]
