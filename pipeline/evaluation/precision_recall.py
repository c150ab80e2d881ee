"""The precision-recall curve of class 1, the area under its steps, and the threshold that `select` would choose."""

import numpy as np

from pipeline.evaluation.classification import accuracy, macro_f1
from pipeline.evaluation.predictions import Floats, Integers

STEP = 1e-6  # the last decimal of a written probability
POINTS = 200


def curve(labels: Integers, positive: Floats) -> tuple[Floats, Floats, Floats]:
    """Threshold, precision and recall (points,) of answering 1 from each threshold upwards, highest threshold first.

    Equal scores are one threshold. No points where no row is positive.

    Args:
        labels: (n,), 0 or 1.
        positive: (n,), probability of class 1.
    """
    if not labels.any():
        return np.empty(0), np.empty(0), np.empty(0)
    order = np.argsort(-positive, kind="stable")
    scores, hits = positive[order], labels[order].cumsum()
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # last row of each run of equal scores
    return scores[last], hits[last] / (last + 1), hits[last] / hits[-1]


def average_precision(labels: Integers, positive: Floats) -> float:
    """Area under the precision-recall steps, sum_n (R_n - R_{n-1}) P_n; 0 where no row is positive.

    labels and positive as in `curve`.
    """
    _, precision, recall = curve(labels, positive)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def thinned(recall: Floats, points: int = POINTS) -> Integers:
    """At most `points` indices of a curve, about evenly spaced in recall; it ends where all positives are found."""
    if not len(recall):
        return np.arange(0)
    end = int(np.searchsorted(recall, recall[-1])) + 1  # lower thresholds only lose precision
    if end <= points:
        return np.arange(end)
    return np.unique(np.searchsorted(recall[:end], np.linspace(recall[0], recall[-1], points)))


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
