"""What stands behind the tables: paired tests, errors, curves and poems, read from what the earlier stages wrote."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation import significance
from pipeline.evaluation.classification import Interval
from pipeline.evaluation.generation import Copying, full_text, read_generated
from pipeline.evaluation.predictions import ENSEMBLES, Predictions, read_predictions
from pipeline.evaluation.significance import ChrfTest
from pipeline.text.prepared import GIVEN_LINES, PREPARED, lines_of, read_pairs, read_poems, read_sentences

PREDICTIONS = Path("predictions")
CURVES = Path("plots/curves")
BASELINE = "baseline"
SONNET_BASELINE = "top_p_tuned"
CURVE_POINTS = 200
ERRORS = 5
ERROR_CHARACTERS = 280
PROMPTS = 3
COPIED_WORDS = 5  # a shorter run in common with a training poem is no copy
SHOWN = ("top_p_untuned", "top_p_tuned", "beam_tuned", "sampled_mbr", "line_mbr", "verse")  # poems side by side


@dataclass(frozen=True)
class PairedTest:
    """One row against the baseline on the same dev rows."""

    name: str
    difference: Interval
    only_row: int
    only_baseline: int
    p_value: float
    adjusted: float


@dataclass(frozen=True)
class Mistake:
    """A dev row that was answered wrongly with probability `confidence`."""

    texts: list[str]
    actual: int
    predicted: int
    confidence: float


@dataclass(frozen=True)
class Card:
    """A poem to show: its lines as (was it given, its parts as (text, is it copied from a training poem))."""

    title: str
    lines: list[tuple[bool, list[tuple[str, bool]]]]


def dev_predictions(task: str, rows: Sequence[str]) -> dict[str, Predictions]:
    """Dev predictions of every row of a task."""
    return _dev_predictions(PREDICTIONS / task, rows)


def ensemble_predictions(names: Sequence[str]) -> dict[str, Predictions]:
    """Dev predictions of every ensemble of paraphrase rows."""
    return _dev_predictions(ENSEMBLES, names)


def _dev_predictions(folder: Path, rows: Sequence[str]) -> dict[str, Predictions]:
    return {row: read_predictions(folder / row / "dev.csv") for row in rows}


def paired_tests(
    predictions: Mapping[str, Predictions], resamples: int, confidence: float, seed: int
) -> list[PairedTest]:
    """Every row against the baseline, p-values Holm-adjusted over all of them; nothing without a baseline."""
    others = [name for name in predictions if name != BASELINE]
    if BASELINE not in predictions or not others:
        return []
    base = predictions[BASELINE]
    right = base.predicted == base.labels
    counts, differences = [], []
    for name in others:
        correct = _correct_on(predictions[name], base, name)
        counts.append(significance.discordant(correct, right))
        rng = np.random.default_rng(seed)  # the same for each row: adding a row must not move another's interval
        differences.append(significance.paired_bootstrap(correct, right, resamples, confidence, rng))
    p_values = [significance.mcnemar(*pair) for pair in counts]
    adjusted = significance.holm(p_values)
    columns = zip(others, differences, counts, p_values, adjusted, strict=True)
    return [PairedTest(name, change, *pair, p, holm) for name, change, pair, p, holm in columns]


def sonnet_tests(systems: Sequence[str], resamples: int) -> list[ChrfTest]:
    """Every system's first draw against that of SONNET_BASELINE; p-values Holm-adjusted; nothing without it."""
    others = [name for name in systems if name != SONNET_BASELINE]
    if SONNET_BASELINE not in systems or not others:
        return []
    dev = read_poems(PREPARED / "sonnets/dev.jsonl")
    texts = {name: _first_draw(name, [poem.id for poem in dev]) for name in systems}
    base = texts.pop(SONNET_BASELINE)
    tests = significance.chrf_bootstrap(base, texts, [full_text(poem) for poem in dev], resamples)
    adjusted = significance.holm([test.p_value for test in tests])
    return [test._replace(p_value=p_value) for test, p_value in zip(tests, adjusted, strict=True)]


def _first_draw(system: str, ids: Sequence[int]) -> list[str]:
    poems = next(iter(read_generated(PREDICTIONS / f"sonnets/{system}/dev.jsonl").values()))
    by_id = {poem.id: poem.text for poem in poems}
    return [by_id[number] for number in ids]


def mistakes(predictions: Predictions, texts: Mapping[str, list[str]]) -> list[Mistake]:
    """The errors made with the highest probability, surest first."""
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:ERRORS]
    return [
        Mistake(
            texts[predictions.ids[index]],
            int(predictions.labels[index]),
            int(predictions.predicted[index]),
            float(confidence[index]),
        )
        for index in surest
    ]


def pair_texts() -> dict[str, list[str]]:
    """Dev question pairs by id, shortened for display."""
    pairs = read_pairs(PREPARED / "paraphrase/dev.csv")
    return {pair.id: [_short(pair.sentence1), _short(pair.sentence2)] for pair in pairs}


def sentence_texts(dataset: str) -> dict[str, list[str]]:
    """Dev sentences of `sst` or `cfimdb` by id, shortened for display."""
    return {row.id: [_short(row.text)] for row in read_sentences(PREPARED / dataset / "dev.csv")}


def curves(task: str, row: str) -> dict[str, list[tuple[float, float]]]:
    """The training curves of a row by name (train_loss, select_loss, ...), each a list of (step, value)."""
    return {path.stem: _curve(path) for path in sorted((CURVES / task / row).glob("*.tsv"))}


def poem_cards(systems: Sequence[str]) -> list[tuple[int, list[Card]]]:
    """For the first dev prompts: the real poem, then the first draw (not the best one) of six systems."""
    systems = [name for name in SHOWN if name in systems] or systems[: len(SHOWN)]
    seen = [poem for split in ("train", "select") for poem in read_poems(PREPARED / f"sonnets/{split}.jsonl")]
    copying = Copying(seen)
    draws = {name: next(iter(read_generated(PREDICTIONS / f"sonnets/{name}/dev.jsonl").values())) for name in systems}
    texts = {name: {poem.id: poem.text for poem in poems} for name, poems in draws.items()}
    cards = []
    for poem in read_poems(PREPARED / "sonnets/dev.jsonl")[:PROMPTS]:
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
    begin = 0
    for line in lines[GIVEN_LINES:]:
        characters = zip(line, copied[begin : begin + len(line)], strict=True)
        parts = [("".join(char for char, _ in run), mark) for mark, run in groupby(characters, key=itemgetter(1))]
        card.lines.append((False, parts))
        begin += len(line) + 1
    return card


def _correct_on(row: Predictions, base: Predictions, name: str) -> significance.Booleans:
    if row.ids != base.ids or not np.array_equal(row.labels, base.labels):
        raise InputError(f"predictions/paraphrase/{name}/dev.csv: other rows than the baseline's; run `dvc repro`")
    return row.predicted == row.labels


def _curve(path: Path) -> list[tuple[float, float]]:
    with open(path, encoding="utf-8") as file:
        lines = [line.rstrip("\n").split("\t") for line in file][1:]
    try:
        points = [(float(line[0]), float(line[1])) for line in lines]
    except (IndexError, ValueError):
        raise InputError(f"{path}: expected the columns step and {path.stem}; delete it and run `dvc repro`") from None
    stride = -(-len(points) // CURVE_POINTS) or 1
    return points[::stride] + points[-1:] if stride > 1 else points


def _short(text: str) -> str:
    return text if len(text) <= ERROR_CHARACTERS else text[:ERROR_CHARACTERS].rsplit(" ", 1)[0] + " …"
