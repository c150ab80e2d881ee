"""Paired tests: every paraphrase row against the baseline, every sonnet system against SONNET_BASELINE."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation import significance
from pipeline.evaluation.generation import full_text, read_generated
from pipeline.evaluation.predictions import ENSEMBLES, PARAPHRASE, SENTIMENT, SONNETS, Predictions, read_predictions
from pipeline.report.results import Results
from pipeline.text.prepared import PREPARED, read_poems

BASELINE = "baseline"
SONNET_BASELINE = "top_p_tuned"


def dev_predictions(results: Results) -> dict[str, dict[str, Predictions]]:
    """Dev predictions by task and row; ensembles are rows of `paraphrase`."""
    ensembles = results.params["paraphrase"]["ensembles"]
    pairs = {row: (ENSEMBLES if row in ensembles else PARAPHRASE) / row for row in results.paraphrase.rows["name"]}
    folders = {"sentiment": {row: SENTIMENT / row for row in results.sentiment.rows["name"]}, "paraphrase": pairs}
    return {
        task: {row: read_predictions(folder / "dev.csv") for row, folder in rows.items()}
        for task, rows in folders.items()
    }


def paired_tests(predictions: Mapping[str, Predictions], resamples: int, confidence: float, seed: int) -> pd.DataFrame:
    """Every row against the baseline; no rows without one.

    Columns: name, difference (of accuracy) with the ends low and high of its interval, only_row and only_baseline (what
    only one of the two gets right), p_value (McNemar) and adjusted (by Holm over all rows).
    """
    found, base = [], predictions.get(BASELINE)
    for name, row in predictions.items():
        if base is None or name == BASELINE:
            continue
        if row.ids != base.ids or not np.array_equal(row.labels, base.labels):
            raise InputError(f"{PARAPHRASE / name / 'dev.csv'}: other rows than the baseline's; run `dvc repro`")
        correct, right = row.predicted == row.labels, base.predicted == base.labels
        only = significance.discordant(correct, right)
        rng = np.random.default_rng(seed)  # the same for each row: adding a row must not move another's interval
        difference = significance.paired_bootstrap(correct, right, resamples, confidence, rng)
        found.append([name, *difference, *only, significance.mcnemar(*only)])
    tests = pd.DataFrame(found, columns=["name", "difference", "low", "high", "only_row", "only_baseline", "p_value"])
    return tests.assign(adjusted=significance.holm(tests["p_value"]))


def sonnet_tests(systems: Sequence[str], resamples: int) -> pd.DataFrame:
    """Every system's first draw against that of SONNET_BASELINE; no rows without it.

    Columns: name, chrf, difference, adjusted (p-value, by Holm over all systems).
    """
    tests = []
    if SONNET_BASELINE in systems and len(systems) > 1:
        dev = read_poems(PREPARED / "sonnets/dev.jsonl")
        drawn = {name: first_draw(SONNETS / name / "dev.jsonl") for name in systems}
        texts = {name: [poems[poem.id] for poem in dev] for name, poems in drawn.items()}
        base = texts.pop(SONNET_BASELINE)
        tests = significance.chrf_bootstrap(base, texts, [full_text(poem) for poem in dev], resamples)
    found = pd.DataFrame(tests, columns=["name", "chrf", "difference", "adjusted"])
    return found.assign(adjusted=significance.holm(found["adjusted"]))


def first_draw(path: Path) -> dict[int, str]:
    """The poems of a system's first draw, by prompt."""
    return {poem.id: poem.text for poem in next(iter(read_generated(path).values()))}
