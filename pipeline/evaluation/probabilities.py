"""Scores of probabilities: average precision, calibration, and the threshold that `select` would choose.

scikit-learn has most of these, but takes longer to import than they take here; the tests compare them with its.
"""

import numpy as np
import pandas as pd

from pipeline.evaluation.classification import accuracy, macro_f1
from pipeline.evaluation.predictions import Floats, Integers, Predictions
from pipeline.evaluation.significance import wilson_interval

BINS = 15
STEP = 1e-6  # the last decimal of a written probability


def average_precision(labels: Integers, positive: Floats) -> float:
    """Area under the steps of the precision-recall curve, sum_n (R_n - R_{n-1}) P_n; 0 where no row is positive.

    Args:
        labels: (n,), 0 or 1.
        positive: (n,), probability of class 1; equal ones are one threshold.
    """
    if not labels.any():
        return 0.0
    _, place, answered = np.unique(-positive, return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=labels).cumsum()  # from each threshold upwards, highest first
    return float(np.sum(np.diff(hits / hits[-1], prepend=0.0) * hits / answered.cumsum()))


def brier(labels: Integers, positive: Floats) -> float:
    """Mean squared error of the probability of class 1 (Brier 1950); labels and positive are (n,), 0 is best."""
    return float(np.mean((positive - labels) ** 2))


def reliability(predictions: Predictions, level: float, bins: int = BINS) -> pd.DataFrame:
    """The reliability diagram (Guo et al. 2017, section 2): equal-width bins of the top probability but the empty ones.

    Columns: confidence (mean top probability), accuracy, accuracy_low and accuracy_high (ends of the Wilson interval
    of this `level`, such as 0.95), rows.
    """
    top = predictions.probabilities.max(axis=1)
    right = predictions.predicted == predictions.labels
    answers = pd.DataFrame({"bin": np.minimum((top * bins).astype(np.int64), bins - 1), "top": top, "right": right})
    found = answers.groupby("bin").agg(
        confidence=("top", "mean"), accuracy=("right", "mean"), hits=("right", "sum"), rows=("right", "size")
    )
    low, high = wilson_interval(found["hits"].to_numpy(), found["rows"].to_numpy(), level)
    found = found.assign(accuracy_low=low, accuracy_high=high)
    return found[["confidence", "accuracy", "accuracy_low", "accuracy_high", "rows"]].reset_index(drop=True)


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Mean |accuracy - confidence| over equal-width bins of the top probability (Guo et al. 2017, equation 3)."""
    found = reliability(predictions, 0.95, bins)
    return float((found["rows"] * (found["accuracy"] - found["confidence"]).abs()).sum() / found["rows"].sum())


def best_threshold(labels: Integers, positive: Floats) -> float:
    """The probability from which on answering 1 is right most often; of equally good ones that nearest to 0.5.

    Tried are the middles between neighbouring scores, and one threshold below and one above all of them. It is rounded
    up to STEP, so that the threshold of the metric file cuts where this one does.

    Args:
        labels: (n,), 0 or 1.
        positive: (n,), probability of class 1 with 6 decimals, as prediction files hold it.
    """
    scores, place = np.unique(positive, return_inverse=True)
    gains = np.bincount(place, weights=2 * labels - 1, minlength=len(scores))  # of answering 1 instead of 0
    right = np.append(np.cumsum(gains[::-1])[::-1], 0.0)  # from each score upwards; the last: never
    edges = np.concatenate([[0.0], scores, [1 + 2 * STEP]])
    halves = np.round((edges[:-1] + edges[1:]) / STEP)  # twice the middles, counted in steps: whole numbers
    middles = np.ceil(halves / 2) * STEP
    best = np.flatnonzero(right == right.max())
    return round(float(middles[best[np.abs(middles[best] - 0.5).argmin()]]), 6)


def scores_at(threshold: float, labels: Integers, positive: Floats) -> dict[str, float]:
    """Accuracy and macro F1 of answering 1 from `threshold` upwards."""
    cells = labels * 2 + (positive >= threshold)
    counts = np.bincount(cells, minlength=4).reshape(2, 2)
    return {"accuracy_at_threshold": float(accuracy(counts)), "macro_f1_at_threshold": float(macro_f1(counts))}
