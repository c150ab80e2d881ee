"""Minimum Bayes risk decoding with chrF as utility: the candidate that is closest, on average, to all others.

Kumar & Byrne 2004 (https://aclanthology.org/N04-1022) for n-best lists, Eikema & Aziz 2022
(https://aclanthology.org/2022.emnlp-main.754) for samples. With aggregated references (Vamvas & Sennrich 2024,
https://arxiv.org/abs/2402.04251) the n-gram counts of all references are averaged first, so that the cost grows with
N instead of N squared. chrF is that of sacrebleu for one sentence (pipeline/decoding/chrf_counts.py).
"""

from collections import Counter
from collections.abc import Sequence, Set

import numpy as np

from pipeline.decoding.chrf_counts import Floats, References, encode, pairwise_chrf

DECIMALS = 9


def mbr(candidates: Sequence[str], aggregated: bool = False) -> int:
    """The index of the best of `candidates`, each of them also a reference; the first one of equals.

    A repeated candidate counts as often as a reference: pass each once where it should not vote for itself.
    """
    counts = Counter(candidates)  # in the order of first appearance
    distinct = list(counts)
    if aggregated:
        scores = References(candidates).scores([""], encode(distinct), [""])
    else:
        scores = (pairwise_chrf(distinct) * np.array(list(counts.values()))).sum(1)
    return candidates.index(distinct[best(scores)])


def best(scores: Floats) -> int:
    """The place of the highest of (n,) scores, the first of those that rounding errors may tell apart."""
    return int(scores.round(DECIMALS).argmax())


def line_mbr(prompt: str, pool: Sequence[str], forbidden: Set[str], sweeps: int) -> str:
    """The poem, put together line by line from the pool, with the highest expected chrF against it: coordinate ascent.

    It starts from the pool's MBR choice. At each line in turn, every pooled line of that place is tried and the best
    one kept, until a sweep changes nothing. This optimises the measure itself: label the result chrF-optimal.

    Args:
        prompt: the given lines, joined by newlines; they stay.
        pool: whole poems that begin with the prompt.
        forbidden: lines that may not be used, such as those of training poems; a line that has no other choice is
            left out.
        sweeps: most passes over all lines.
    """
    given = prompt.split("\n")
    split = [poem.split("\n")[len(given) :] for poem in pool]
    places = max(map(len, split))
    choices = [sorted({lines[place] for lines in split if place < len(lines)} - forbidden) for place in range(places)]
    start = split[mbr(pool, aggregated=True)]
    chosen = [start[place] if place < len(start) and start[place] in choices[place] else "" for place in range(places)]
    references = References(pool)
    for _ in range(sweeps):
        before = list(chosen)
        for place, lines in enumerate(choices):
            options = list(dict.fromkeys([chosen[place], *lines]))
            scores = references.scores([*given, *chosen[:place]], encode(options), chosen[place + 1 :])
            chosen[place] = options[best(scores)]
        if chosen == before:
            break
    return "\n".join([*given, *filter(None, chosen)])
