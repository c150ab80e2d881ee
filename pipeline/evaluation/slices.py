"""Where a paraphrase classifier is right: accuracy on slices of the pairs, from their texts alone."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluation.classification import wilson_interval
from pipeline.evaluation.predictions import Floats
from pipeline.text.prepared import Pair, jaccard

BINS = 10
_WORD = re.compile(r"\w+")


class Slice(NamedTuple):
    """The pairs of one bin, whose measure lies from `low` to `high` (both occur)."""

    slice: str
    bin: int  # 1 to BINS; a bin without pairs, where many pairs tie, is left out
    low: float
    high: float
    rows: int
    accuracy: float
    accuracy_low: float  # ends of the accuracy's Wilson interval
    accuracy_high: float


def slices(pairs: Sequence[Pair], right: NDArray[np.bool_], confidence: float) -> list[Slice]:
    """Accuracy by deciles of word overlap (Jaccard) and of length (words of both sentences); right is (pairs,)."""
    measures = {
        "word_overlap": [jaccard(pair) for pair in pairs],
        "words": [float(len(_WORD.findall(f"{pair.sentence1} {pair.sentence2}"))) for pair in pairs],
    }
    return [
        part for name, values in measures.items() for part in by_quantile(name, np.array(values), right, confidence)
    ]


def by_quantile(name: str, values: Floats, right: NDArray[np.bool_], confidence: float) -> list[Slice]:
    """Accuracy in bins of about equally many rows; equal values share a bin. values and right are (n,)."""
    edges = np.quantile(values, np.arange(1, BINS) / BINS)
    index = np.searchsorted(edges, values)  # a value on an edge belongs below it
    parts = []
    for place in np.unique(index).tolist():
        inside = index == place
        rows, hits = np.array([inside.sum()]), np.array([right[inside].sum()])
        low, high = wilson_interval(hits, rows, confidence)
        ends = (float(values[inside].min()), float(values[inside].max()))
        accuracy = float(hits[0] / rows[0])
        parts.append(Slice(name, place + 1, *ends, int(rows[0]), accuracy, float(low[0]), float(high[0])))
    return parts
