"""Do the probabilities mean what they say?"""

from typing import NamedTuple

import numpy as np

from pipeline.evaluation.classification import wilson_interval
from pipeline.evaluation.predictions import Floats, Integers, Predictions

BINS = 15


class Bin(NamedTuple):
    """The rows answered with a top probability from `low` to `high`: how sure they are and how often right."""

    low: float
    high: float
    rows: int
    confidence: float  # mean top probability
    accuracy: float
    accuracy_low: float  # ends of the accuracy's Wilson interval
    accuracy_high: float


def brier(labels: Integers, positive: Floats) -> float:
    """Mean squared error of the probability of class 1 (Brier 1950); labels and positive are (n,), 0 is best."""
    return float(np.mean((positive - labels) ** 2))


def expected_calibration_error(predictions: Predictions, bins: int = BINS) -> float:
    """Mean |accuracy - confidence| over equal-width bins of the top probability (Guo et al. 2017, equation 3)."""
    found = reliability(predictions, 0.95, bins)
    return sum(bin_.rows * abs(bin_.accuracy - bin_.confidence) for bin_ in found) / len(predictions.ids)


def reliability(predictions: Predictions, level: float, bins: int = BINS) -> list[Bin]:
    """The reliability diagram (Guo et al. 2017, section 2): equal-width bins of the top probability but the empty ones.

    `level` is that of the intervals, such as 0.95.
    """
    top = predictions.probabilities.max(axis=1)
    index = np.minimum((top * bins).astype(np.int64), bins - 1)
    rows = np.bincount(index, minlength=bins)
    right = np.bincount(index[predictions.predicted == predictions.labels], minlength=bins)
    used = np.flatnonzero(rows)
    confidence = np.bincount(index, weights=top, minlength=bins)[used] / rows[used]
    low, high = wilson_interval(right[used], rows[used], level)
    columns = (used / bins, (used + 1) / bins, rows[used], confidence, right[used] / rows[used], low, high)
    return [Bin(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
