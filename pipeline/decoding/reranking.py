"""N-best reranking, Fernandes et al. 2022 (https://aclanthology.org/2022.naacl-main.100): of the candidates of several
systems, the one with the highest weighted sum of expected chrF (as pool_mbr.py), rhyme agreement and mean
log-likelihood under the scorer, each standardised within its pool.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np

from pipeline.compute.processes import shared
from pipeline.config.sonnet import Pools, Weight
from pipeline.decoding.sampled_mbr import DECIMALS, utilities
from pipeline.decoding.writer import Writer, Written, with_nll
from pipeline.evaluation.chrf import chrf
from pipeline.evaluation.generation import full_text
from pipeline.evaluation.metre import rhyme_agreement
from pipeline.evaluation.predictions import Floats
from pipeline.text.prepared import Generated, Poem

UTILITIES = ("chrf", "rhyme", "likelihood")
SIMPLEX = [(1 - (a + b) / 10, a / 10, b / 10) for a in range(11) for b in range(11 - a)]


class Options(Pools):
    decoder: Literal["reranking"]
    weights: dict[Literal["chrf", "rhyme", "likelihood"], Weight] | Literal["fitted"]  # what is not named has none

    def fitted(self, writer: Writer, poems: Sequence[Poem]) -> Self:
        """With the weights of SIMPLEX whose choices for `poems` are nearest to them in chrF; the first of equals."""
        if self.weights != "fitted":
            return self
        pools, real = scored(writer, poems, self), [full_text(poem) for poem in poems]
        best = max(SIMPLEX, key=lambda weights: chrf([_best(*pool, weights).text for pool in pools], real))
        return self.model_copy(update={"weights": dict(zip(UTILITIES, best, strict=True))})


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    given: Any = options.weights
    pools, weights = scored(writer, poems, options), [given.get(name, 0.0) for name in UTILITIES]
    best = [replace(_best(*pool, weights), draw=0) for pool in pools]
    return Written(best, [one for pool, _ in pools for one in pool])


def scored(writer: Writer, poems: Sequence[Poem], options: Pools) -> list[tuple[list[Generated], Floats]]:
    """For each poem its candidates and their utilities (candidates, 3), of mean 0 and standard deviation 1."""
    pool, weights = writer.pooled(poems, options)
    rated = with_nll(writer.model, writer.tokenizer, pool)

    def score(poem: Poem) -> tuple[list[Generated], Floats]:
        own = [one for one in rated if one.id == poem.id]
        worst = max((one.nll for one in own if one.nll is not None), default=0.0)  # for what has no completion
        expected = utilities([one.text for one in own], weights[poem.id])
        others = [(rhyme_agreement(one.lines), -round(worst if one.nll is None else one.nll, 6)) for one in own]
        values = np.column_stack([expected, others])
        return own, (values - values.mean(0)) / values.std(0).clip(1e-6)

    return shared(poems, lambda own: list(map(score, own)))


def _best(pool: Sequence[Generated], values: Floats, weights: Sequence[float]) -> Generated:
    return pool[int((values @ weights).round(DECIMALS).argmax())]
