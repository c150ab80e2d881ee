"""What the report quotes: the surest mistakes of a classifier, and poems of several systems side by side."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from pipeline.evaluation.generation import Copying, full_text
from pipeline.evaluation.predictions import SONNETS, Predictions
from pipeline.report.paired import first_draw
from pipeline.text.prepared import GIVEN_LINES, PREPARED, lines_of, read_pairs, read_poems, read_sentences

ERRORS = 5
ERROR_CHARACTERS = 280
PROMPTS = 3
COPIED_WORDS = 5  # a shorter run in common with a training poem is no copy
SHOWN = ("top_p_untuned", "top_p_tuned", "beam_tuned", "sampled_mbr", "line_mbr", "verse")  # poems side by side


class Mistake(NamedTuple):
    """A dev row that was answered wrongly with probability `confidence`."""

    texts: list[str]
    actual: int
    predicted: int
    confidence: float


class Card(NamedTuple):
    """A poem to show: its lines as (was it given, its parts as (text, is it copied from a training poem))."""

    title: str
    lines: list[tuple[bool, list[tuple[str, bool]]]]


def mistakes(predictions: Predictions, texts: Mapping[str, list[str]]) -> list[Mistake]:
    """The errors made with the highest probability, surest first."""
    confidence, predicted = predictions.probabilities.max(axis=1), predictions.predicted
    wrong = np.flatnonzero(predicted != predictions.labels)
    surest = wrong[np.argsort(-confidence[wrong], kind="stable")][:ERRORS]
    columns = zip(predictions.labels[surest], predicted[surest], confidence[surest], strict=True)
    names = [texts[predictions.ids[index]] for index in surest]
    return [Mistake(own, int(actual), int(answer), float(sure))
            for own, (actual, answer, sure) in zip(names, columns, strict=True)]  # fmt: skip


def dev_texts(corpus: str) -> dict[str, list[str]]:
    """Dev texts by id, shortened for display: both sentences of `paraphrase`, one of `sst` and `cfimdb`."""
    path = PREPARED / corpus / "dev.csv"
    if corpus == "paraphrase":
        return {pair.id: [_short(pair.sentence1), _short(pair.sentence2)] for pair in read_pairs(path)}
    return {row.id: [_short(row.text)] for row in read_sentences(path)}


def poem_cards(
    systems: Sequence[str], shown: Sequence[str] = SHOWN, prompts: int = PROMPTS
) -> list[tuple[int, list[Card]]]:
    """For the first dev prompts: the real poem, then the first draw (not the best one) of the systems `shown`."""
    chosen = [name for name in shown if name in systems] or systems[: len(shown)]
    seen = [poem for split in ("train", "select") for poem in read_poems(PREPARED / f"sonnets/{split}.jsonl")]
    copying = Copying(seen)
    texts = {name: first_draw(SONNETS / name / "dev.jsonl") for name in chosen}
    cards = []
    for poem in read_poems(PREPARED / "sonnets/dev.jsonl")[:prompts]:
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


def _short(text: str) -> str:
    return text if len(text) <= ERROR_CHARACTERS else text[:ERROR_CHARACTERS].rsplit(" ", 1)[0] + " …"
