"""Do the metrics of two runs differ by more than chance?

A limit is how far apart two runs lie that differ by chance alone. It follows from what was measured:

- accuracy and macro F1: from the standard deviation over the seeds of the row, or else over those of all rows that have
  `seeds`, pooled (AP_H takes that of dev); and from a test of two proportions with the number of rows in the file. The
  wider limit counts: a standard deviation of few seeds may be small by luck.
- chrF: from the standard deviation over the draws of the system; a system with one draw gets the pooled one.
- rates of augmentation: from a test of two proportions with the counts in the file.

A standard deviation takes Student's quantile, with the runs less one, summed over the pooled rows, as degrees of
freedom; two proportions take the normal one. The metrics to compare are settled before one of them is looked at, and
each of these m gets a level of FALSE_ALARM / m (Bonferroni): the chance of any false alarm in the whole table is at
most FALSE_ALARM, however the metrics depend on each other. A metric that could not leave its limit becomes a note.

Assumptions: normal spread, equal in the rows that are pooled; independent candidates; and chrF differs between two
trainings of a model no more than between draws, since `seeds` are for classifiers only.
"""

from collections import Counter
from collections.abc import Mapping
from math import inf, sqrt
from typing import Any, NamedTuple

FALSE_ALARM = 0.01
Metrics = Mapping[str, Any]  # of one file
Spread = tuple[float, float]  # standard error of a difference, and the degrees of freedom of its estimate (normal: inf)
# What a metric is a share of; below, its standard deviation, and the number of runs behind it.
COUNTS = dict.fromkeys(("accuracy", "macro_f1", "augmented_share", "label_1"), "rows")
COUNTS |= dict.fromkeys(("ap_h_accuracy", "ap_h_macro_f1"), "ap_h_rows") | {"acceptance_rate": "candidates"}
COUNTS |= dict.fromkeys(("meaning_gate_rate", "surface_gate_rate", "both_gates_rate"), "scored")
DEVIATIONS = dict.fromkeys(("accuracy", "ap_h_accuracy"), ("seeds_accuracy_sd", "seeds"))
DEVIATIONS |= dict.fromkeys(("macro_f1", "ap_h_macro_f1"), ("seeds_macro_f1_sd", "seeds"))
DEVIATIONS |= {"chrf_mean": ("chrf_sd", "draws"), "chrf_completion_mean": ("chrf_completion_sd", "draws")}


class Verdict(NamedTuple):
    """Metrics that differ by more than chance, notes on what cannot be judged, and how many were compared."""

    findings: list[str]
    notes: list[str]
    comparisons: int


def compare(before: Mapping[str, Metrics], after: Mapping[str, Metrics]) -> Verdict:
    """Compare files of a run with all that are committed, over which standard deviations are pooled; both by path."""
    from scipy.special import stdtrit

    findings: list[str] = []
    unjudged: Counter[str] = Counter()
    compared: list[tuple[str, str, list[Spread]]] = []
    for path in sorted(after.keys() & before.keys()):
        old, new = before[path], after[path]
        for metric in sorted((COUNTS | DEVIATIONS).keys() & (old.keys() | new.keys())):
            if not isinstance(old.get(metric), int | float) or not isinstance(new.get(metric), int | float):
                findings.append(f"{path}: {metric} is {new.get(metric)}, committed is {old.get(metric)}")
            elif spreads := spreads_of(metric, old, new, before):
                compared.append((path, metric, spreads))
            else:
                unjudged[metric] += 1
    for path, metric, spreads in compared:
        was, now = before[path][metric], after[path][metric]
        level = 1 - FALSE_ALARM / len(compared) / 2
        limit = max(error * float(stdtrit(freedom, level)) for error, freedom in spreads)
        if limit >= max(was, (1 if metric in COUNTS else 100) - was):
            unjudged[metric] += 1
        elif abs(now - was) > limit:
            findings.append(f"{path}: {metric} {was:.4f} -> {now:.4f}: chance explains a difference of {limit:.4f}")
    notes = []
    for metric, count in unjudged.items():
        _, runs = DEVIATIONS.get(metric, ("", ""))
        few = f"too few {' or '.join(filter(None, (runs, COUNTS.get(metric))))} to tell chance from change"
        remedy = f"; raise `{runs}` in params.yaml" if runs else ""
        notes.append(f"{metric} of {count} rows cannot be judged: {few}{remedy}")
    return Verdict(findings, notes, len(compared))


def spreads_of(metric: str, old: Metrics, new: Metrics, files: Mapping[str, Metrics]) -> list[Spread]:
    """Each ground for a difference that applies to a metric; none if one of them lacks what it takes."""
    spreads = []
    if metric in DEVIATIONS:
        deviation, runs = DEVIATIONS[metric]
        pool = [old] if deviation in old else [file for file in files.values() if deviation in file]
        if not pool:
            return []
        freedom = sum(file[runs] - 1 for file in pool)
        single = sqrt(sum(file[deviation] ** 2 * (file[runs] - 1) for file in pool) / freedom)
        averaged = old.get("draws", 1)  # chrF is the mean of so many runs, accuracy that of one
        spreads.append((single * sqrt(2 / averaged), freedom))
    if metric in COUNTS:
        first, second = old.get(COUNTS[metric]), new.get(COUNTS[metric])
        if not first or not second:
            return []
        share = min(max((old[metric] * first + new[metric] * second) / (first + second), 0), 1)
        spreads.append((sqrt(share * (1 - share) * (1 / first + 1 / second)), inf))
    return spreads
