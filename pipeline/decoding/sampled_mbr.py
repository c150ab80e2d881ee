"""Sampling-based MBR, Eikema & Aziz 2022 (https://aclanthology.org/2022.emnlp-main.754): the sample with the highest
expected chrF against all samples. They are epsilon samples, Freitag et al. 2023 (https://arxiv.org/abs/2305.09860).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from fastchrf import aggregate_chrf, pairwise_chrf

from pipeline.decoding.epsilon import Pool, samples
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.evaluation.predictions import Floats
from pipeline.text.prepared import Poem

DECIMALS = 9  # of a score: rounding errors tell no candidates apart


class Options(Pool):
    decoder: Literal["sampled_mbr"]
    aggregated: bool  # references: exact costs N squared, aggregated N


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    pool = samples(writer, poems, options.samples, options)
    return chosen(poems, pool, lambda _, texts: texts[mbr(texts, options.aggregated)])


def mbr(candidates: Sequence[str], aggregated: bool = False) -> int:
    """The index of the best of `candidates`, each of them also a reference; the first one of equals."""
    return int(utilities(candidates, aggregated=aggregated).argmax())


def utilities(candidates: Sequence[str], weights: Sequence[float] | None = None, aggregated: bool = False) -> Floats:
    """(candidates,) sums of chrF against all of them, each counting as often as it comes or by its weight.

    With aggregated references (Vamvas & Sennrich 2024, https://arxiv.org/abs/2402.04251) the n-gram counts of all
    references are averaged first.
    """
    bare = ["".join(text.split()) for text in candidates]  # fastchrf knows fewer kinds of white space
    texts = list(dict.fromkeys(bare))
    places = [texts.index(text) for text in bare]
    if aggregated:
        scores = np.array(aggregate_chrf([texts], [[texts[place] for place in sorted(places)]])[0])
    else:
        scores = np.array(pairwise_chrf([texts], [texts])[0]) @ np.bincount(places, weights)
    return scores.round(DECIMALS)[places]
