"""Training pairs with augmented pairs mixed in: a bounded share of all updates."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.augment import adversarial
from pipeline.augment.back_translation import read_back_translated
from pipeline.config.augmentation import TrainingSet
from pipeline.text.prepared import Pair, read_pairs


class Mixture(NamedTuple):
    """A training set, and how many of its pairs are augmented."""

    pairs: list[Pair]
    augmented: int


def mix(
    train: Sequence[Pair], pool: Sequence[Sequence[Pair]], share: float, rng: random.Random, labels: str = "balanced"
) -> Mixture:
    """All of `train`, then as many of `pool` as the share and the labels allow.

    Args:
        pool: augmented pairs in order of preference; those of a later group are only used when the earlier ones of the
            same label are used up.
        share: the augmented pairs are at most this share of the result.
        labels: `balanced` keeps the label balance of `train`; `positive` takes duplicates only, which shifts it.
    """
    positives = sum(pair.label == 1 for pair in train) / len(train) if labels == "balanced" else 1.0
    available = {label: _shuffled(pool, label, rng) for label in (0, 1)}
    size = share / (1 - share) * len(train)
    for label, part in ((0, 1 - positives), (1, positives)):
        if part > 0:
            size = min(size, len(available[label]) / part)
    wanted = {1: round(int(size) * positives)}
    wanted[0] = int(size) - wanted[1]
    chosen = [pair for label in (0, 1) for pair in available[label][: wanted[label]]]
    return Mixture([*train, *chosen], len(chosen))


def _shuffled(pool: Sequence[Sequence[Pair]], label: int, rng: random.Random) -> list[Pair]:
    groups = [[pair for pair in group if pair.label == label] for group in pool]
    for group in groups:
        rng.shuffle(group)
    return [pair for group in groups for pair in group]


def read_pool(training_set: TrainingSet, data: Path) -> list[list[Pair]]:
    """The augmented pairs of a set's source in order of preference."""
    folder = data / training_set.source
    if training_set.source == "augmented/back_translation":
        return [back_translated(folder, training_set.texts)]
    if training_set.source == "augmented/adversarial":
        return adversarial_pairs(folder)
    return [read_pairs(folder / "train.csv")]


def back_translated(folder: Path, texts: str) -> list[Pair]:
    """The accepted pairs of every language; with `original`, the training pairs that they were made of."""
    pairs = []
    for language, row in read_back_translated(folder):
        if row["verdict"] == "accepted":
            new = row["translation"] if texts == "augmented" else row["source"]
            first, second = (new, row["other"]) if row["sentence"] == "sentence1" else (row["other"], new)
            pairs.append(Pair(f"{row['id']}.{language}.{row['sentence']}", first, second, int(row["label"])))
    return pairs


def adversarial_pairs(folder: Path) -> list[list[Pair]]:
    """The adversarial positives and hard negatives, then the ordinary positives."""
    groups: tuple[list[Pair], list[Pair]] = ([], [])
    for number, row in enumerate(adversarial.read_candidates(folder / "candidates.csv")):
        if row.verdict in adversarial.LABELS:
            pair = Pair(f"{row.verdict}.{number}", row.question, row.candidate, adversarial.LABELS[row.verdict])
            groups[row.verdict == adversarial.ORDINARY].append(pair)
    return list(groups)
