"""What the report takes from predictions/: paired tests, the surest mistakes, and poems of several systems."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.evaluation import significance
from pipeline.evaluation.generation import Copying, full_text, read_generated
from pipeline.evaluation.predictions import Predictions, folder_of, read_predictions
from pipeline.files import read_frame
from pipeline.report.results import Results
from pipeline.text.prepared import GIVEN_LINES, PREPARED, lines_of, read_poems

BASELINE = "baseline"
SONNET_BASELINE = "top_p_tuned"
SHOWN = ("top_p_untuned", "top_p_tuned", "beam_tuned", "sampled_mbr", "line_mbr", "verse")  # poems side by side
# A poem's title and its lines as (was it given, its parts as (text, is it copied from a training poem)).
Card = tuple[str, list[tuple[bool, list[tuple[str, bool]]]]]


def dev_predictions(results: Results) -> dict[str, dict[str, Predictions]]:
    """Dev predictions by task and row; ensembles are rows, too."""
    found: dict[str, dict[str, Predictions]] = {}
    for task in (results.sentiment, results.paraphrase):
        folders = {row: folder_of(task.key, row, results.params[task.key]["ensembles"]) for row in task.rows["name"]}
        found[task.key] = {row: read_predictions(folder / "dev.csv") for row, folder in folders.items()}
    return found


def paired_tests(predictions: Mapping[str, Predictions], resamples: int, confidence: float, seed: int) -> pd.DataFrame:
    """Every row's accuracy against the baseline's, with McNemar's p_value, adjusted by Holm; no rows without one."""
    found, base = [], predictions.get(BASELINE)
    for name, row in predictions.items():
        if base is None or name == BASELINE:
            continue
        if row.ids != base.ids or not np.array_equal(row.labels, base.labels):
            raise InputError(f"predictions of {name}, dev.csv: other rows than the baseline's; run `dvc repro`")
        correct, right = row.predicted == row.labels, base.predicted == base.labels
        test = significance.paired_bootstrap(correct, right, resamples, confidence, seed)  # one seed: rows are apart
        found.append([name, *test, significance.mcnemar(*test[-2:])])
    tests = pd.DataFrame(found, columns=["name", "difference", "low", "high", "only_row", "only_baseline", "p_value"])
    return tests.assign(adjusted=significance.holm(tests["p_value"]))


def sonnet_tests(results: Results, resamples: int) -> pd.DataFrame:
    """Every system's first draw against SONNET_BASELINE's, with p-values adjusted by Holm; no rows without it."""
    tests, systems = [], list(results.sonnets.rows["name"])
    if SONNET_BASELINE in systems and len(systems) > 1:
        dev = read_poems(PREPARED / "sonnets/dev.jsonl")
        texts = {name: [poems[poem.id] for poem in dev] for name in systems for poems in [first_draw(results, name)]}
        base = texts.pop(SONNET_BASELINE)
        tests = significance.chrf_bootstrap(base, texts, [full_text(poem) for poem in dev], resamples)
    found = pd.DataFrame(tests, columns=["name", "chrf", "difference", "adjusted"])
    return found.assign(adjusted=significance.holm(found["adjusted"]))


def first_draw(results: Results, system: str) -> dict[int, str]:
    """The poems of a system's first draw, by prompt."""
    path = folder_of("sonnets", system, results.params["sonnet"]["ensembles"]) / "dev.jsonl"
    return {poem.id: poem.text for poem in next(iter(read_generated(path).values()))}


def mistakes(predictions: Predictions, texts: Mapping[str, list[str]]) -> list[Any]:
    """The five errors of the highest probability, surest first, each with texts, actual, predicted, confidence."""
    columns = {"actual": predictions.labels, "predicted": predictions.predicted}
    answers = pd.DataFrame({**columns, "confidence": predictions.probabilities.max(axis=1)}, predictions.ids)
    wrong = answers[answers["actual"] != answers["predicted"]]
    surest = wrong.sort_values("confidence", ascending=False, kind="stable")[:5]
    return list(surest.assign(texts=[texts[name] for name in surest.index]).itertuples())


def dev_texts(corpus: str) -> dict[str, list[str]]:
    """Dev texts by id, cut for display: both sentences of `paraphrase`, one of `sst` and `cfimdb`."""
    cells = read_frame(PREPARED / corpus / "dev.csv", ["id", "label"], dtype=str, keep_default_na=False)
    texts = cells.drop(columns=["id", "label"]).map(
        lambda text: text if len(text) <= 280 else text[:280].rsplit(" ", 1)[0] + " …"
    )
    return dict(zip(cells["id"], texts.to_numpy().tolist(), strict=True))


def poem_cards(results: Results, shown: Sequence[str] = SHOWN, prompts: int = 3) -> list[tuple[int, list[Card]]]:
    """For the first dev prompts: the real poem, then the first draw (not the best one) of the systems `shown`."""
    systems = list(results.sonnets.rows["name"])
    chosen = [name for name in shown if name in systems] or systems[: len(shown)]
    train, select, dev = [read_poems(PREPARED / f"sonnets/{split}.jsonl") for split in ("train", "select", "dev")]
    copying, texts = Copying([*train, *select]), {name: first_draw(results, name) for name in chosen}
    cards = []
    for poem in dev[:prompts]:
        poems = {"Shakespeare": full_text(poem)} | {name: own[poem.id] for name, own in texts.items()}
        cards.append((poem.id, [_card(title, lines_of(text), copying) for title, text in poems.items()]))
    return cards


def _card(title: str, lines: list[str], copying: Copying) -> Card:
    written = "\n".join(lines[GIVEN_LINES:])
    copied = copying.shared_characters(written, words=5)  # a shorter run in common is no copy
    shown, start = [(True, [(line, False)]) for line in lines[:GIVEN_LINES]], 0
    for line in lines[GIVEN_LINES:]:
        runs = groupby(range(start, start + len(line)), key=copied.__contains__)
        shown.append((False, [("".join(written[place] for place in run), mark) for mark, run in runs]))
        start += len(line) + 1
    return title, shown
