"""Scores of a classifier, computed from its prediction files alone.

Everything with an interval is a function of the confusion counts. Resampling n rows with replacement and counting
them is one draw from a multinomial over the cells of the confusion matrix, so the bootstrap draws counts instead of
rows: the same distribution, at a cost that does not grow with n.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.files import Scalar, read_csv

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

CALIBRATION_BINS = 15
SUM_TOLERANCE = 1e-3  # probabilities are written with 6 decimals


@dataclass(frozen=True)
class Predictions:
    """Predictions for n labelled rows: ids (n,), labels (n,) int, probabilities (n, classes) float."""

    ids: list[str]
    labels: Integers
    probabilities: Floats

    @property
    def predicted(self) -> Integers:
        """The most probable class of each row (n,); the lowest one where classes tie."""
        return self.probabilities.argmax(axis=1)


@dataclass(frozen=True)
class Interval:
    """A value with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def read_predictions(path: Path) -> Predictions:
    """Read a labelled prediction file: columns id, label, p_0, p_1, ... ."""
    rows = read_csv(path, ["id", "label", "p_0", "p_1"])
    if not rows:
        raise InputError(f"{path}: no rows; delete it and run `dvc repro`")
    columns = [f"p_{index}" for index in range(sum(str(name).startswith("p_") for name in rows[0]))]
    probabilities = np.array([[_number(path, line, row, name) for name in columns] for line, row in enumerate(rows, 2)])
    labels = np.array([_number(path, line, row, "label") for line, row in enumerate(rows, 2)])
    _check_probabilities(path, probabilities)
    _check_labels(path, labels, len(columns))
    return Predictions([row["id"] for row in rows], labels.astype(np.int64), probabilities)


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


def brier(labels: Integers, positive: Floats) -> float:
    """Mean squared error of the probability of class 1 (Brier 1950); labels and positive are (n,), 0 is best."""
    return float(np.mean((positive - labels) ** 2))


def expected_calibration_error(predictions: Predictions, bins: int = CALIBRATION_BINS) -> float:
    """Mean |accuracy - confidence| over equal-width bins of the top probability (Guo et al. 2017, equation 3)."""
    confidence = predictions.probabilities.max(axis=1)
    gap = (predictions.predicted == predictions.labels) - confidence
    index = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    return float(np.abs(np.bincount(index, weights=gap, minlength=bins)).sum() / len(confidence))


def average_precision(labels: Integers, positive: Floats) -> float:
    """Area under the precision-recall steps, sum_n (R_n - R_{n-1}) P_n; equal scores are one threshold.

    0 where no row is positive. labels and positive are (n,).
    """
    if not labels.any():
        return 0.0
    order = np.argsort(-positive, kind="stable")
    scores, hits = positive[order], labels[order].cumsum()
    last = np.flatnonzero(np.append(np.diff(scores) != 0, True))  # last row of each run of equal scores
    precision, recall = hits[last] / (last + 1), hits[last] / hits[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


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


def binary_scores(predictions: Predictions) -> dict[str, float]:
    """Scores of class 1 (paraphrases) of a two-class classifier."""
    counts, positive = confusion(predictions), predictions.probabilities[:, 1]
    hits = int(counts[1, 1])
    return {
        "positive_f1": float(class_f1(counts)[1]),
        "precision": hits / max(int(counts[:, 1].sum()), 1),
        "recall": hits / max(int(counts[1].sum()), 1),
        "average_precision": average_precision(predictions.labels, positive),
        "brier": brier(predictions.labels, positive),
    }


def majority_accuracy(predictions: Predictions) -> float:
    """Accuracy of always answering the most frequent class of these rows: the floor of the table."""
    return float(np.bincount(predictions.labels).max() / len(predictions.labels))


def confusion_table(predictions: Predictions) -> tuple[list[str], list[list[Scalar]]]:
    """Header and one line (actual, predicted) per row: the form that DVC's confusion template counts."""
    pairs = zip(predictions.labels.tolist(), predictions.predicted.tolist(), strict=True)
    return ["actual", "predicted"], [list(pair) for pair in pairs]


def _number(path: Path, line: int, row: dict[str, str], column: str) -> float:
    try:
        return float(row[column])
    except (KeyError, TypeError, ValueError):
        found = row.get(column)
        raise InputError(f"{path}:{line}: {column} is {found!r}, expected a number; run `dvc repro`") from None


def _check_probabilities(path: Path, probabilities: Floats) -> None:
    inside = np.isfinite(probabilities).all(axis=1) & (probabilities >= 0).all(axis=1)
    wrong = ~inside | ~(np.abs(probabilities.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if wrong.any():
        line = int(wrong.argmax())
        found = ", ".join(f"{value:g}" for value in probabilities[line])
        raise InputError(f"{path}:{line + 2}: probabilities {found} do not sum to 1; did the training diverge?")


def _check_labels(path: Path, labels: Floats, classes: int) -> None:
    wrong = ~np.isin(labels, np.arange(classes))
    if wrong.any():
        line = int(wrong.argmax())
        raise InputError(f"{path}:{line + 2}: label {labels[line]:g} is not a class from 0 to {classes - 1}")
