"""Scores of a classifier, computed from its prediction files alone.

Everything with an interval is a function of the confusion counts. Resampling n rows with replacement and counting
them is one draw from a multinomial over the cells of the confusion matrix, so the bootstrap draws counts instead of
rows: the same distribution, at a cost that does not grow with n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation.predictions import Floats, Integers, Predictions


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def confusion(predictions: Predictions) -> Integers:
    """Counts (classes, classes): rows are the actual class, columns the predicted one."""
    classes = predictions.probabilities.shape[1]
    cells = predictions.labels * classes + predictions.predicted
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(counts: NDArray[np.integer]) -> Floats:
    """Share of the diagonal of confusion counts (..., classes, classes), shape (...)."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def class_f1(counts: NDArray[np.integer]) -> Floats:
    """F1 of every class, shape (..., classes): 2 TP / (actual + predicted); 0 for a class that occurs in neither."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    total = counts.sum(axis=-1) + counts.sum(axis=-2)
    return 2 * hits / np.maximum(total, 1)


def macro_f1(counts: NDArray[np.integer]) -> Floats:
    """Unweighted mean of the F1 of ALL classes, shape (...)."""
    return class_f1(counts).mean(axis=-1)


def resampled(counts: Integers, resamples: int, rng: np.random.Generator) -> Integers:
    """Confusion counts of `resamples` bootstrap samples, shape (resamples, classes, classes)."""
    rows = int(counts.sum())
    return rng.multinomial(rows, counts.ravel() / rows, size=resamples).reshape(resamples, *counts.shape)


def percentile_interval(value: float, samples: Floats, confidence: float) -> Interval:
    """Percentile bootstrap interval (Efron & Tibshirani 1993, section 13.3) of `value` from samples (resamples,)."""
    low, high = np.quantile(samples, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


def wilson_interval(hits: NDArray[np.integer], rows: NDArray[np.integer], confidence: float) -> tuple[Floats, Floats]:
    """Ends of the interval of each share hits / rows, all of shape (n,), rows > 0 (Wilson 1927)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = hits / rows
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    margin = z * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2)) / (1 + z**2 / rows)
    return np.maximum(centre - margin, 0.0), np.minimum(centre + margin, 1.0)


def scores(predictions: Predictions, resamples: int, confidence: float, seed: int) -> dict[str, float]:
    """Scores of any classifier, in the order in which they are written."""
    counts = confusion(predictions)
    samples = resampled(counts, resamples, np.random.default_rng(seed))
    hits = percentile_interval(float(accuracy(counts)), accuracy(samples), confidence)
    macro = percentile_interval(float(macro_f1(counts)), macro_f1(samples), confidence)
    return {
        "rows": len(predictions.ids),
        "accuracy": hits.value,
        "accuracy_low": hits.low,
        "accuracy_high": hits.high,
        "macro_f1": macro.value,
        "macro_f1_low": macro.low,
        "macro_f1_high": macro.high,
    }


def seed_scores(runs: Sequence[Predictions], confidence: float) -> dict[str, float]:
    """Mean and standard deviation (n - 1) over trainings with different seeds, two at least, on the same rows.

    The interval is Student's, of the mean over all seeds: the spread of training, not that of the sample of rows.
    """
    from scipy.stats import t  # only where a row has several seeds

    found: dict[str, float] = {"seeds": len(runs)}
    for name, score in (("accuracy", accuracy), ("macro_f1", macro_f1)):
        values = np.array([float(score(confusion(run))) for run in runs])
        sd = float(values.std(ddof=1))
        margin = float(t.ppf((1 + confidence) / 2, len(runs) - 1)) * sd / len(runs) ** 0.5
        mean = float(values.mean())
        found |= {f"seeds_{name}": mean, f"seeds_{name}_sd": sd}
        found |= {f"seeds_{name}_low": mean - margin, f"seeds_{name}_high": mean + margin}
    return found


def binary_scores(predictions: Predictions) -> dict[str, float]:
    """Scores of class 1 (paraphrases) of a two-class classifier."""
    counts = confusion(predictions)
    hits = int(counts[1, 1])
    return {
        "positive_f1": float(class_f1(counts)[1]),
        "precision": hits / max(int(counts[:, 1].sum()), 1),
        "recall": hits / max(int(counts[1].sum()), 1),
    }


def order_flip_rate(predictions: Predictions, swapped: Predictions) -> float:
    """Share of the pairs whose class changes when their two sentences are swapped."""
    if predictions.ids != swapped.ids:
        raise InputError("dev_swapped.csv: other rows than in dev.csv, or in another order; run `dvc repro`")
    return float(np.mean(predictions.predicted != swapped.predicted))


def majority_accuracy(predictions: Predictions) -> float:
    """Accuracy of always answering the most frequent class of these rows: the floor of the table."""
    return float(np.bincount(predictions.labels).max() / len(predictions.labels))
