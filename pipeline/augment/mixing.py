"""Training pairs with augmented pairs mixed in: a bounded share of all updates."""

import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path

from pipeline.augment import adversarial
from pipeline.augment.back_translation import ACCEPTED, read_back_translated
from pipeline.config.augmentation import TrainingSet
from pipeline.text.prepared import Pair, read_pairs


def mix(
    train: Sequence[Pair], pool: Sequence[Sequence[Pair]], share: float, rng: random.Random, labels: str = "balanced"
) -> list[Pair]:
    """As many of `pool` as the share and the labels allow, to add to `train`.

    A later group of `pool` is only used when the earlier ones of the same label are used up. The augmented pairs are at
    most `share` of both together; `balanced` labels are those of `train`, `positive` takes duplicates only.
    """
    positives = sum(pair.label == 1 for pair in train) / len(train) if labels == "balanced" else 1.0
    available: list[list[Pair]] = [[], []]
    for label, group in product((0, 1), pool):
        labelled = [pair for pair in group if pair.label == label]
        rng.shuffle(labelled)
        available[label] += labelled
    parts = (1 - positives, positives)
    limits = [len(found) / part for found, part in zip(available, parts, strict=True) if part > 0]
    size = int(min(share / (1 - share) * len(train), *limits))
    wanted = round(size * positives)
    return available[0][: size - wanted] + available[1][:wanted]


def read_pool(training_set: TrainingSet, data: Path) -> list[list[Pair]]:
    """The augmented pairs of a set's source in order of preference.

    With `original` these are the training pairs that the accepted back-translations were made of. Ordinary positives
    come after the adversarial ones and the hard negatives.
    """
    folder = data / training_set.source
    if training_set.source == "augmented/back_translation":
        pairs = []
        for language, row in read_back_translated(folder):
            if row["verdict"] == ACCEPTED:
                texts = row["translation"] if training_set.texts == "augmented" else row["source"], row["other"]
                texts = texts if row["sentence"] == "sentence1" else texts[::-1]
                pairs.append(Pair(f"{row['id']}.{language}.{row['sentence']}", *texts, int(row["label"])))
        return [pairs]
    if training_set.source == "augmented/adversarial":
        groups: list[list[Pair]] = [[], []]
        for number, found in enumerate(adversarial.read_candidates(folder / "candidates.csv")):
            if found.verdict in adversarial.LABELS:
                label = adversarial.LABELS[found.verdict]
                pair = Pair(f"{found.verdict}.{number}", found.question, found.candidate, label)
                groups[found.verdict == adversarial.ORDINARY].append(pair)
        return groups
    return [read_pairs(folder / "train.csv")]
