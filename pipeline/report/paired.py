"""Paired tests: every paraphrase row against the baseline, every sonnet system against SONNET_BASELINE."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation import significance
from pipeline.evaluation.generation import full_text, read_generated
from pipeline.evaluation.predictions import ENSEMBLES, PARAPHRASE, SENTIMENT, SONNETS, Predictions, read_predictions
from pipeline.evaluation.significance import ChrfTest, Interval
from pipeline.report.results import Results
from pipeline.text.prepared import PREPARED, read_poems

BASELINE = "baseline"
SONNET_BASELINE = "top_p_tuned"


class PairedTest(NamedTuple):
    """One row against the baseline on the same dev rows."""

    name: str
    difference: Interval
    only_row: int
    only_baseline: int
    p_value: float
    adjusted: float


def dev_predictions(results: Results) -> dict[str, dict[str, Predictions]]:
    """Dev predictions by task and row; ensembles are rows of `paraphrase`."""
    ensembles = results.params["paraphrase"]["ensembles"]
    pairs = {row: (ENSEMBLES if row in ensembles else PARAPHRASE) / row for row in results.paraphrase.rows["name"]}
    folders = {"sentiment": {row: SENTIMENT / row for row in results.sentiment.rows["name"]}, "paraphrase": pairs}
    return {
        task: {row: read_predictions(folder / "dev.csv") for row, folder in rows.items()}
        for task, rows in folders.items()
    }


def paired_tests(
    predictions: Mapping[str, Predictions], resamples: int, confidence: float, seed: int
) -> list[PairedTest]:
    """Every row against the baseline, p-values Holm-adjusted over all of them; nothing without a baseline."""
    if BASELINE not in predictions:
        return []
    base, found = predictions[BASELINE], []
    right = base.predicted == base.labels
    for name, row in predictions.items():
        if name == BASELINE:
            continue
        if row.ids != base.ids or not np.array_equal(row.labels, base.labels):
            raise InputError(f"{PARAPHRASE / name / 'dev.csv'}: other rows than the baseline's; run `dvc repro`")
        correct = row.predicted == row.labels
        only = significance.discordant(correct, right)
        rng = np.random.default_rng(seed)  # the same for each row: adding a row must not move another's interval
        difference = significance.paired_bootstrap(correct, right, resamples, confidence, rng)
        found.append(PairedTest(name, difference, *only, significance.mcnemar(*only), 1.0))
    adjusted = significance.holm([test.p_value for test in found])
    return [test._replace(adjusted=value) for test, value in zip(found, adjusted, strict=True)]


def sonnet_tests(systems: Sequence[str], resamples: int) -> list[ChrfTest]:
    """Every system's first draw against that of SONNET_BASELINE; p-values Holm-adjusted; nothing without it."""
    if SONNET_BASELINE not in systems or len(systems) < 2:
        return []
    dev = read_poems(PREPARED / "sonnets/dev.jsonl")
    drawn = {name: first_draw(SONNETS / name / "dev.jsonl") for name in systems}
    texts = {name: [poems[poem.id] for poem in dev] for name, poems in drawn.items()}
    base = texts.pop(SONNET_BASELINE)
    tests = significance.chrf_bootstrap(base, texts, [full_text(poem) for poem in dev], resamples)
    adjusted = significance.holm([test.p_value for test in tests])
    return [test._replace(p_value=p_value) for test, p_value in zip(tests, adjusted, strict=True)]


def first_draw(path: Path) -> dict[int, str]:
    """The poems of a system's first draw, by prompt."""
    return {poem.id: poem.text for poem in next(iter(read_generated(path).values()))}
