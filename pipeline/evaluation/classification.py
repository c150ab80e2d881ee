"""Scores of a classifier's answers, and where it is right; nothing but its prediction files is read.

The bootstrap resamples confusion counts: n rows drawn with replacement and counted are one draw from a multinomial
over the cells of the confusion matrix. That is the same distribution, at a cost that does not grow with n.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.errors import InputError
from pipeline.evaluation.predictions import Floats, Integers, Predictions
from pipeline.evaluation.significance import percentile_interval, student_interval, wilson_interval
from pipeline.text.prepared import Pair, jaccard

SLICES = Path("plots/slices/paraphrase")
SLICE_COLUMNS = ["slice", "bin", "low", "high", "rows", "accuracy", "accuracy_low", "accuracy_high"]
SLICE_BINS = 10
_WORD = re.compile(r"\w+")


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


SCORES = {"accuracy": accuracy, "macro_f1": macro_f1}


def resampled(counts: Integers, resamples: int, rng: np.random.Generator) -> Integers:
    """Confusion counts of `resamples` bootstrap samples, shape (resamples, classes, classes)."""
    rows = int(counts.sum())
    return rng.multinomial(rows, counts.ravel() / rows, size=resamples).reshape(resamples, *counts.shape)


def scores(predictions: Predictions, resamples: int, confidence: float, seed: int) -> dict[str, float]:
    """Scores of any classifier, in the order in which they are written."""
    counts = confusion(predictions)
    samples = resampled(counts, resamples, np.random.default_rng(seed))
    found: dict[str, float] = {"rows": len(predictions.ids)}
    for name, score in SCORES.items():
        interval = percentile_interval(float(score(counts)), score(samples), confidence)
        found |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return found


def seed_scores(runs: Sequence[Predictions], confidence: float) -> dict[str, float]:
    """Scores over trainings with different seeds, two at least, on the same rows.

    The interval is of the mean over all seeds: the spread of training, not that of the sample of rows.
    """
    found: dict[str, float] = {"seeds": len(runs)}
    for name, score in SCORES.items():
        mean, sd, low, high = student_interval([float(score(confusion(run))) for run in runs], confidence)
        found |= {f"seeds_{name}": mean, f"seeds_{name}_sd": sd, f"seeds_{name}_low": low, f"seeds_{name}_high": high}
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


def slices(pairs: Sequence[Pair], right: NDArray[np.bool_], confidence: float) -> pd.DataFrame:
    """Accuracy by deciles of word overlap (Jaccard) and of length (words of both sentences); right is (pairs,).

    Columns: SLICE_COLUMNS. `low` and `high` are the lowest and the highest value in the bin, accuracy_low and
    accuracy_high the ends of the accuracy's Wilson interval.
    """
    measures = {
        "word_overlap": [jaccard(pair) for pair in pairs],
        "words": [float(len(_WORD.findall(f"{pair.sentence1} {pair.sentence2}"))) for pair in pairs],
    }
    return pd.concat(
        [by_quantile(np.array(values), right, confidence).assign(slice=name) for name, values in measures.items()]
    )[SLICE_COLUMNS]


def by_quantile(values: Floats, right: NDArray[np.bool_], confidence: float) -> pd.DataFrame:
    """Accuracy in bins of about equally many rows; equal values share a bin. values and right are (n,).

    `bin` is 1 to SLICE_BINS; a bin without pairs, where many pairs tie, is left out.
    """
    edges = np.quantile(values, np.arange(1, SLICE_BINS) / SLICE_BINS)
    place = np.searchsorted(edges, values) + 1  # a value on an edge belongs below it
    found = pd.DataFrame({"bin": place, "value": values, "right": right}).groupby("bin", as_index=False)
    parts = found.agg(
        low=("value", "min"), high=("value", "max"), rows=("right", "size"), hits=("right", "sum"),
        accuracy=("right", "mean"),
    )  # fmt: skip
    low, high = wilson_interval(parts["hits"].to_numpy(), parts["rows"].to_numpy(), confidence)
    return parts.assign(accuracy_low=low, accuracy_high=high)
