"""Scores of a classifier's answers, how far its probabilities can be trusted, and where it is right.

The bootstrap resamples confusion counts: n rows drawn with replacement and counted are one draw from a multinomial
over the cells of the confusion matrix. scikit-learn has most scores but takes a second to import; tests compare them.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.evaluation.predictions import Floats, Integers, Predictions
from pipeline.evaluation.significance import percentile_interval, student_interval, wilson_interval
from pipeline.text.prepared import Pair, jaccard

STEP = 1e-6  # the last decimal of a written probability


def confusion(predictions: Predictions) -> Integers:
    """Counts (classes, classes): rows are the actual class, columns the predicted one."""
    classes = predictions.probabilities.shape[1]
    cells = predictions.labels * classes + predictions.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def accuracy(counts: NDArray[np.integer]) -> Floats:
    """Share of the diagonal of confusion counts (..., classes, classes), shape (...)."""
    return np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))


def class_f1(counts: NDArray[np.integer]) -> Floats:
    """F1 of every class, shape (..., classes): 2 TP / (actual + predicted); 0 for a class that occurs in neither."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return 2 * hits / np.maximum(counts.sum(axis=-1) + counts.sum(axis=-2), 1)


SCORES = {"accuracy": accuracy, "macro_f1": lambda counts: class_f1(counts).mean(axis=-1)}  # of ALL classes


def scores(predictions: Predictions, resamples: int, confidence: float, seed: int) -> dict[str, float]:
    """Scores of any classifier with the ends of their percentile bootstrap intervals."""
    counts, rows = confusion(predictions), len(predictions.ids)
    cells = np.random.default_rng(seed).multinomial(rows, counts.ravel() / rows, size=resamples)
    found: dict[str, float] = {"rows": rows}
    for name, score in SCORES.items():
        low, high = percentile_interval(score(cells.reshape(-1, *counts.shape)), confidence)
        found |= {name: float(score(counts)), f"{name}_low": low, f"{name}_high": high}
    return found


def further_scores(dev: Predictions, select: Predictions) -> dict[str, float]:
    """Calibration, accuracy on select, and the floor: the accuracy of always answering dev's most frequent class."""
    return {
        "expected_calibration_error": expected_calibration_error(dev),
        "select_accuracy": float(accuracy(confusion(select))),
        "majority_accuracy": float(np.bincount(dev.labels).max() / len(dev.labels)),
    }


def seed_scores(runs: Sequence[Predictions], confidence: float) -> dict[str, float]:
    """Scores over at least two seeds; the interval of their mean is about training, not about the sample of rows."""
    found: dict[str, float] = {"seeds": len(runs)}
    for name, score in SCORES.items():
        mean, sd, low, high = student_interval([float(score(confusion(run))) for run in runs], confidence)
        found |= {f"seeds_{name}": mean, f"seeds_{name}_sd": sd, f"seeds_{name}_low": low, f"seeds_{name}_high": high}
    return found


def binary_scores(predictions: Predictions) -> dict[str, float]:
    """Scores of class 1 (paraphrases) of a two-class classifier; Brier 1950 is its mean squared error, 0 is best."""
    counts, positive = confusion(predictions), predictions.probabilities[:, 1]
    return {
        "positive_f1": float(class_f1(counts)[1]),
        "precision": float(counts[1, 1] / max(counts[:, 1].sum(), 1)),
        "recall": float(counts[1, 1] / max(counts[1].sum(), 1)),
        "average_precision": average_precision(predictions.labels, positive),
        "brier": float(np.mean((positive - predictions.labels) ** 2)),
    }


def average_precision(labels: Integers, positive: Floats) -> float:
    """Sum of (R_n - R_{n-1}) P_n over all thresholds, of labels (n,), 0 or 1, and probabilities of 1 (n,)."""
    _, place, answered = np.unique(-positive, return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=labels).cumsum()  # from each threshold upwards, highest first
    return float(np.sum(np.diff(hits / max(hits[-1], 1), prepend=0.0) * hits / answered.cumsum()))


def order_flip_rate(predictions: Predictions, swapped: Predictions) -> float:
    """Share of the pairs whose class changes when their two sentences are swapped."""
    return float(np.mean(predictions.predicted != swapped.predicted))


def best_threshold(labels: Integers, positive: Floats) -> float:
    """The probability from which on answering 1 is right most often; of equally good ones that nearest to 0.5.

    Tried are the middles between neighbouring scores, and one threshold below and one above all of them. It is rounded
    up to STEP, so that the threshold of the metric file cuts where this one does. Arguments as in `average_precision`.
    """
    found, place = np.unique(positive, return_inverse=True)
    gains = np.bincount(place, weights=2 * labels - 1)  # of answering 1 instead of 0
    right = np.append(np.cumsum(gains[::-1])[::-1], 0.0)  # from each score upwards; the last: never
    edges = np.concatenate([[0.0], found, [1 + 2 * STEP]])
    halves = np.round((edges[:-1] + edges[1:]) / STEP)  # twice the middles, counted in steps: whole numbers
    best = (np.ceil(halves / 2) * STEP)[right == right.max()]
    return round(float(best[np.abs(best - 0.5).argmin()]), 6)


def scores_at(threshold: float, labels: Integers, positive: Floats) -> dict[str, float]:
    """Accuracy and macro F1 of answering 1 from `threshold` upwards."""
    counts = np.bincount(labels * 2 + (positive >= threshold), minlength=4).reshape(2, 2)
    return {f"{name}_at_threshold": float(score(counts)) for name, score in SCORES.items()}


def accuracy_by(places: Integers, values: Floats, right: NDArray[np.bool_], confidence: float) -> pd.DataFrame:
    """Each bin that has rows: low, high and mean value, accuracy and its Wilson interval; the arguments are (n,)."""
    bins = pd.DataFrame({"bin": places, "value": values, "right": right}).groupby("bin", as_index=False)
    of_values = {"low": ("value", "min"), "high": ("value", "max"), "mean": ("value", "mean")}
    found = bins.agg(**of_values, rows=("right", "size"), hits=("right", "sum"), accuracy=("right", "mean"))
    low, high = wilson_interval(found["hits"].to_numpy(), found["rows"].to_numpy(), confidence)
    return found.assign(accuracy_low=low, accuracy_high=high)


def measures(pairs: Sequence[Pair]) -> dict[str, Floats]:
    """What accuracy may depend on, each (pairs,): word overlap (Jaccard) and length (words of both sentences)."""
    words = [len(re.findall(r"\w+", f"{pair.sentence1} {pair.sentence2}")) for pair in pairs]
    return {"word_overlap": np.array([jaccard(pair) for pair in pairs]), "words": np.array(words, dtype=float)}


def by_quantile(values: Floats, right: NDArray[np.bool_], confidence: float) -> pd.DataFrame:
    """Accuracy in ten bins of about equally many rows, from 1; equal values share a bin, so some may be empty."""
    edges = np.quantile(values, np.arange(1, 10) / 10)
    return accuracy_by(np.searchsorted(edges, values) + 1, values, right, confidence)  # an edge belongs below it


def reliability(predictions: Predictions, confidence: float, bins: int = 15) -> pd.DataFrame:
    """Equal-width bins (Guo et al. 2017, section 2) of the top probability, whose mean is the column `confidence`."""
    top = predictions.probabilities.max(axis=1)
    places = np.minimum((top * bins).astype(np.int64), bins - 1)
    found = accuracy_by(places, top, predictions.predicted == predictions.labels, confidence)
    return found.assign(confidence=found["mean"])[["confidence", "accuracy", "accuracy_low", "accuracy_high", "rows"]]


def expected_calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Mean |accuracy - confidence| over equal-width bins of the top probability (Guo et al. 2017, equation 3)."""
    found = reliability(predictions, 0.95, bins)
    return float((found["rows"] * (found["accuracy"] - found["confidence"]).abs()).sum() / found["rows"].sum())
