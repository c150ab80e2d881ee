"""Is one classifier better than another on the same rows?

Both tests see only the discordant rows: those that exactly one of the two classifiers gets right.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.classification import Interval, percentile_interval

Booleans = NDArray[np.bool_]


def discordant(correct_a: Booleans, correct_b: Booleans) -> tuple[int, int]:
    """Rows that only a gets right and rows that only b gets right; correct_a and correct_b are (n,) bool."""
    return int(np.sum(correct_a & ~correct_b)), int(np.sum(~correct_a & correct_b))


def mcnemar(only_a: int, only_b: int, mid_p: bool = False) -> float:
    """Two-sided exact p-value of McNemar's test: only_a ~ Binomial(only_a + only_b, 1/2) under equal accuracy.

    McNemar 1947; exact and mid-p forms as in Fagerland, Lydersen & Laake 2013, equations 2 and 3. The mid-p form
    counts the observed table half and is less conservative.
    """
    from scipy.special import bdtr, gammaln

    pairs, smaller = only_a + only_b, min(only_a, only_b)
    if pairs == 0:
        return 1.0
    tails = 2 * float(bdtr(smaller, pairs, 0.5))
    if mid_p:
        log_point = gammaln(pairs + 1) - gammaln(smaller + 1) - gammaln(pairs - smaller + 1) - pairs * np.log(2)
        # Equal counts: both tails hold the observed table, which one subtraction of the point leaves at p = 1.
        return min(1.0, tails - float(np.exp(log_point)))
    return min(1.0, tails)


def paired_bootstrap(
    correct_a: Booleans, correct_b: Booleans, resamples: int, confidence: float, rng: np.random.Generator
) -> Interval:
    """Accuracy of a minus accuracy of b with its percentile interval; rows are resampled in pairs.

    A resample's difference depends only on how many of its rows are discordant, which is a multinomial draw.
    """
    rows = len(correct_a)
    only_a, only_b = discordant(correct_a, correct_b)
    shares = np.array([only_a, only_b, rows - only_a - only_b]) / rows
    counts = rng.multinomial(rows, shares, size=resamples)
    return percentile_interval((only_a - only_b) / rows, (counts[:, 0] - counts[:, 1]) / rows, confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm 1979: p-values adjusted for testing all of them together, in the given order.

    The k-th smallest of m is multiplied by m - k + 1; an adjusted value is never below a smaller one's.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values, dtype=np.float64)[order] * factors), 1.0)
    result = np.empty(len(p_values))
    result[order] = adjusted
    return [float(value) for value in result]


class ChrfTest(NamedTuple):
    """A system against the baseline: both corpus chrF scores and the two-sided p-value of their difference."""

    name: str
    chrf: float
    baseline: float
    p_value: float


def chrf_bootstrap(
    baseline: Sequence[str], systems: Mapping[str, Sequence[str]], references: Sequence[str], resamples: int
) -> list[ChrfTest]:
    """Resample the poems (with sacrebleu's fixed seed), the same ones for both systems.

    Args:
        baseline, systems, references: one text a prompt, in one order.
    """
    from sacrebleu.metrics import CHRF
    from sacrebleu.significance import PairedTest

    named = [("baseline", list(baseline)), *((name, list(texts)) for name, texts in systems.items())]
    test = PairedTest(named, {"chrF": CHRF()}, [list(references)], test_type="bs", n_samples=resamples)
    _, columns = test()
    base, *others = next(values for key, values in columns.items() if key != "System")
    return [
        # sacrebleu counts resamples that differ MORE than the texts do: without any difference that is none of them.
        ChrfTest(
            name, float(found.score), float(base.score), 1.0 if found.score == base.score else float(found.p_value)
        )
        for name, found in zip(systems, others, strict=True)
    ]
