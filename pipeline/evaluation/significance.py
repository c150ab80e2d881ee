"""How sure a score is, and whether one system is better than another on the same rows."""

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.predictions import Floats


def percentile_interval(samples: Floats, confidence: float) -> tuple[float, float]:
    """Ends of the percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3) from samples (resamples,)."""
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def wilson_interval(hits: NDArray[np.integer], rows: NDArray[np.integer], confidence: float) -> tuple[Floats, Floats]:
    """Ends of the interval of each share hits / rows, all of shape (n,), rows > 0 (Wilson 1927)."""
    z, share = NormalDist().inv_cdf((1 + confidence) / 2), hits / rows
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    margin = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    return np.maximum(centre - margin, 0.0), np.minimum(centre + margin, 1.0)


def student_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float, float]:
    """Mean, standard deviation (n - 1) and the ends of Student's interval of the mean of at least two values."""
    from scipy.special import stdtrit

    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    margin = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * sd / len(values) ** 0.5
    return mean, sd, mean - margin, mean + margin


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value of McNemar's test: only_a ~ Binomial(only_a + only_b, 1/2) under equal accuracy."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_bootstrap(
    a: NDArray[np.bool_], b: NDArray[np.bool_], resamples: int, confidence: float, seed: int
) -> tuple[float, float, float, int, int]:
    """Accuracy of a minus that of b (right or not, (n,)), its interval's ends, rows that only a, only b gets right.

    Rows are resampled in pairs: only the numbers of discordant ones matter, which are a multinomial draw.
    """
    rows, only_a, only_b = len(a), int(np.sum(a & ~b)), int(np.sum(b & ~a))
    shares = np.array([only_a, only_b, rows - only_a - only_b]) / rows
    counts = np.random.default_rng(seed).multinomial(rows, shares, size=resamples)
    interval = percentile_interval((counts[:, 0] - counts[:, 1]) / rows, confidence)
    return (only_a - only_b) / rows, *interval, only_a, only_b


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for testing all m together (Holm 1979), in their order: the k-th smallest times m - k + 1."""
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)).clip(max=1)
    return adjusted[np.argsort(order)].tolist()


def chrf_bootstrap(
    baseline: Sequence[str], systems: Mapping[str, Sequence[str]], references: Sequence[str], resamples: int
) -> list[tuple[str, float, float, float]]:
    """Name, corpus chrF, its difference to the baseline and that one's two-sided p-value, of every system.

    All texts are one a prompt, in one order; sacrebleu resamples the same ones for both systems, with its fixed seed.
    """
    from sacrebleu.metrics import CHRF
    from sacrebleu.significance import PairedTest

    named = [("baseline", list(baseline)), *((name, list(texts)) for name, texts in systems.items())]
    test = PairedTest(named, {"chrF": CHRF()}, [list(references)], test_type="bs", n_samples=resamples)
    base, *others = next(values for key, values in test()[1].items() if key != "System")
    # sacrebleu counts resamples that differ MORE than the texts do: without any difference that is none of them.
    return [(name, float(own.score), float(own.score - base.score), 1.0 if own.score == base.score else own.p_value)
            for name, own in zip(systems, others, strict=True)]  # fmt: skip
