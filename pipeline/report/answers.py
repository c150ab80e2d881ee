"""What the report takes from predictions/: paired tests, the surest mistakes, and poems of several systems."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation import significance
from pipeline.evaluation.generation import Copying, full_text, read_generated
from pipeline.evaluation.predictions import ENSEMBLES, PARAPHRASE, SENTIMENT, SONNETS, Predictions, read_predictions
from pipeline.report.results import Results
from pipeline.text.prepared import GIVEN_LINES, PREPARED, lines_of, read_pairs, read_poems, read_sentences

BASELINE = "baseline"
SONNET_BASELINE = "top_p_tuned"
ERRORS = 5
ERROR_CHARACTERS = 280
COPIED_WORDS = 5  # a shorter run in common with a training poem is no copy
SHOWN = ("top_p_untuned", "top_p_tuned", "beam_tuned", "sampled_mbr", "line_mbr", "verse")  # poems side by side


class Card(NamedTuple):
    """A poem to show: its lines as (was it given, its parts as (text, is it copied from a training poem))."""

    title: str
    lines: list[tuple[bool, list[tuple[str, bool]]]]


def dev_predictions(results: Results) -> dict[str, dict[str, Predictions]]:
    """Dev predictions by task and row; ensembles are rows of `paraphrase`."""
    ensembles = results.params["paraphrase"]["ensembles"]
    rows, pairs = results.sentiment.rows["name"], results.paraphrase.rows["name"]
    folders = {row: (ENSEMBLES if row in ensembles else PARAPHRASE) / row for row in pairs}
    return {
        "sentiment": {row: read_predictions(SENTIMENT / row / "dev.csv") for row in rows},
        "paraphrase": {row: read_predictions(folder / "dev.csv") for row, folder in folders.items()},
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


def mistakes(predictions: Predictions, texts: Mapping[str, list[str]]) -> list[Any]:
    """The errors made with the highest probability, surest first, each with texts, actual, predicted, confidence."""
    columns = {"actual": predictions.labels, "predicted": predictions.predicted}
    answers = pd.DataFrame({**columns, "confidence": predictions.probabilities.max(axis=1)}, predictions.ids)
    wrong = answers[answers["actual"] != answers["predicted"]]
    surest = wrong.sort_values("confidence", ascending=False, kind="stable")[:ERRORS]
    return list(surest.assign(texts=[texts[name] for name in surest.index]).itertuples())


def dev_texts(corpus: str) -> dict[str, list[str]]:
    """Dev texts by id, shortened for display: both sentences of `paraphrase`, one of `sst` and `cfimdb`."""
    path, end = PREPARED / corpus / "dev.csv", ERROR_CHARACTERS
    if corpus == "paraphrase":
        found = {pair.id: [pair.sentence1, pair.sentence2] for pair in read_pairs(path)}
    else:
        found = {row.id: [row.text] for row in read_sentences(path)}
    return {name: [text if len(text) <= end else text[:end].rsplit(" ", 1)[0] + " …" for text in texts]
            for name, texts in found.items()}  # fmt: skip


def poem_cards(systems: Sequence[str], shown: Sequence[str] = SHOWN, prompts: int = 3) -> list[tuple[int, list[Card]]]:
    """For the first dev prompts: the real poem, then the first draw (not the best one) of the systems `shown`."""
    chosen = [name for name in shown if name in systems] or systems[: len(shown)]
    train, select, dev = [read_poems(PREPARED / f"sonnets/{split}.jsonl") for split in ("train", "select", "dev")]
    copying = Copying([*train, *select])
    texts = {name: first_draw(SONNETS / name / "dev.jsonl") for name in chosen}
    cards = []
    for poem in dev[:prompts]:
        own = [_card(name, by_id[poem.id], copying) for name, by_id in texts.items() if poem.id in by_id]
        cards.append((poem.id, [_card("Shakespeare", full_text(poem), copying), *own]))
    return cards


def _card(title: str, text: str, copying: Copying) -> Card:
    lines = lines_of(text)
    written = "\n".join(lines[GIVEN_LINES:])
    copied = [False] * len(written)
    for begin, end in copying.shared_spans(written, COPIED_WORDS):
        copied[begin:end] = [True] * (end - begin)
    card = Card(title, [(True, [(line, False)]) for line in lines[:GIVEN_LINES]])
    marks = iter(zip(written, copied, strict=True))
    for line in lines[GIVEN_LINES:]:
        characters = [next(marks) for _ in line]
        parts = [("".join(char for char, _ in run), mark) for mark, run in groupby(characters, key=itemgetter(1))]
        card.lines.append((False, parts))
        next(marks, None)  # the line's end
    return card
