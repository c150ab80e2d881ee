"""chrF (Popovic 2015) of draws of poems, and how sure it is: over draws, over prompts, and over both.

chrF is that of a corpus, as sacrebleu computes it: n-grams of characters without white space, up to 6, whose counts are
added up over all texts; recall counts twice (beta 2). A score is that of a draw (one poem a prompt), averaged over
draws: no one could pick the best draw without the answer.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.predictions import Floats
from pipeline.evaluation.significance import percentile_interval

ORDERS = 6


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF of n texts against one reference each, 0 to 100, by sacrebleu."""
    from sacrebleu.metrics import CHRF

    return float(CHRF(char_order=ORDERS, word_order=0, beta=2).corpus_score(list(hypotheses), [list(references)]).score)


def counts(hypothesis: str, reference: str) -> Floats:
    """(ORDERS, 3): n-grams of each order in the first text, in the second, and in both.

    As sacrebleu does, those of the first text only count where the second has any.
    """
    found, wanted = ("".join(text.split()) for text in (hypothesis, reference))
    rows = []
    for order in range(1, ORDERS + 1):
        own, real = (Counter(text[at : at + order] for at in range(len(text) - order + 1)) for text in (found, wanted))
        rows.append([own.total() if real else 0, real.total(), (own & real).total()])
    return np.array(rows, dtype=np.float64)


def of_counts(total: Floats) -> Floats:
    """chrF of added counts (..., ORDERS, 3): (...)."""
    own, real, both = np.moveaxis(total, -1, 0)
    known = (own > 0) & (real > 0)  # of the orders that both sides have
    precision, recall = (np.where(known, both / np.maximum(of, 1), 0).sum(-1) for of in (own, real))
    return np.asarray(
        500 * precision * recall / np.maximum(4 * precision + recall, 1e-16) / np.maximum(known.sum(-1), 1)
    )


def intervals(
    draws: Sequence[Sequence[tuple[str, str]]], resamples: int, confidence: float, seed: int
) -> dict[str, float]:
    """Percentile bootstrap intervals of the mean chrF of draws, each (text, reference) for the same prompts in order.

    `over_prompts` resamples prompts, the draws of each staying what they are; `low` and `high` are of both, resampled
    independently (the two-way bootstrap of Owen 2007, arXiv:0711.0718): other prompts, and other draws.
    """
    rng, single = np.random.default_rng(seed), np.array([[counts(*pair) for pair in draw] for draw in draws])
    drawn, prompts = single.shape[:2]
    picked = rng.multinomial(prompts, np.full(prompts, 1 / prompts), size=resamples)
    by_draw = of_counts(np.einsum("bp,dpkc->bdkc", picked, single))
    weights = rng.multinomial(drawn, np.full(drawn, 1 / drawn), size=resamples) / drawn
    found = {"over_prompts_": by_draw.mean(1), "": (by_draw * weights).sum(1)}
    ends = {name: percentile_interval(values, confidence) for name, values in found.items()}
    return {
        f"{name}{end}": value for name, pair in ends.items() for end, value in zip(("low", "high"), pair, strict=True)
    }
