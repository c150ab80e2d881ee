"""Which rows train and which select: repeated rows out, leaks out, and `select` carved out of the training file.

Every draw is seeded by the caller's generator, and rows keep the order of their file.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import TypeVar

from pipeline.errors import InputError
from pipeline.text.delimited import Counts
from pipeline.text.prepared import Pair, Sentence

Row = TypeVar("Row", bound=Sentence | Pair)
AnyRow = TypeVar("AnyRow")


def texts(row: Sentence | Pair) -> tuple[str, ...]:
    """The text or texts of a row."""
    return row[1:-1]


def questions(row: Sentence | Pair) -> tuple[str, ...]:
    """The texts as they are compared between splits: in no order, and without regard to case."""
    return tuple(sorted(text.casefold() for text in texts(row)))


def conflicting(rows: Iterable[Sentence | Pair]) -> set[tuple[str, ...]]:
    """The texts that occur with different labels."""
    labels = defaultdict(set)
    for row in rows:
        labels[texts(row)].add(row.label)
    return {key for key, found in labels.items() if len(found) > 1}


def drop_duplicates(rows: Sequence[Row], counts: Counts) -> list[Row]:
    """Rows without those that repeat an earlier row's text and label."""
    first: dict[Hashable, Row] = {}
    for row in rows:
        first.setdefault(row[1:], row)
    return _kept(list(first.values()), rows, "duplicate", counts)


def sound(rows: Sequence[Row], counts: Counts) -> list[Row]:
    """Rows without repeated ones and without any whose text has different labels: neither can be trusted."""
    rows = drop_duplicates(rows, counts)
    return drop(rows, texts, conflicting(rows), "conflicting_label", counts)


def drop(
    rows: Sequence[AnyRow], key: Callable[[AnyRow], Hashable], unwanted: Collection[Hashable], why: str, counts: Counts
) -> list[AnyRow]:
    """Rows without those whose key is unwanted."""
    return _kept([row for row in rows if key(row) not in unwanted], rows, why, counts)


def sample(rows: list[AnyRow], limit: int | None, rng: random.Random, counts: Counts) -> list[AnyRow]:
    """At most `limit` of the rows."""
    chosen = rng.sample(range(len(rows)), limit) if limit and limit < len(rows) else range(len(rows))
    return _kept([rows[index] for index in sorted(chosen)], rows, "cap", counts)


def _kept(kept: list[AnyRow], rows: Sequence[AnyRow], reason: str, counts: Counts) -> list[AnyRow]:
    if len(kept) < len(rows):
        counts[f"dropped_{reason}"] += len(rows) - len(kept)
    return kept


def question_groups(pairs: Sequence[Pair]) -> list[list[int]]:
    """The indices of pairs that are linked by shared questions, directly or through other pairs (union-find)."""
    parent: dict[str, str] = {}

    def root(question: str) -> str:
        while (above := parent.setdefault(question, question)) != question:
            parent[question] = question = parent[above]
        return question

    for pair in pairs:
        first, second = questions(pair)
        parent[root(second)] = root(first)
    groups = defaultdict(list)
    for index, pair in enumerate(pairs):
        groups[root(questions(pair)[0])].append(index)
    return list(groups.values())


def carve_by_question(pairs: Sequence[Pair], share: float, rng: random.Random) -> tuple[list[Pair], list[Pair]]:
    """Train and select with no question on both sides, and about the same label balance.

    Groups are drawn until the share of each label is reached. One that would overshoot it stays in train, such as the
    giant group that frequent questions form.
    """
    groups = question_groups(pairs)
    if len(groups) < 2:
        raise InputError("paraphrase: shared questions link all training pairs, so none can be held out for select")
    rng.shuffle(groups)
    room = Counter({label: _part(share, count) for label, count in Counter(pair.label for pair in pairs).items()})
    chosen: list[int] = []
    for group in groups:
        needed = Counter(pairs[index].label for index in group)
        if needed <= room:
            room -= needed
            chosen += group
    return _divided(pairs, chosen or min(groups, key=len))


def carve_by_label(rows: Sequence[AnyRow], share: float, rng: random.Random) -> tuple[list[AnyRow], list[AnyRow]]:
    """Train and select with the same label balance; poems have no label."""
    by_label = defaultdict(list)
    for index, row in enumerate(rows):
        by_label[getattr(row, "label", None)].append(index)
    chosen = {index for group in by_label.values() for index in rng.sample(group, _part(share, len(group)))}
    return _divided(rows, chosen or {0})


def _part(share: float, count: int) -> int:
    return min(round(share * count), count - 1)  # something must be left to train on


def _divided(rows: Sequence[AnyRow], chosen: Collection[int]) -> tuple[list[AnyRow], list[AnyRow]]:
    held_out = set(chosen)
    train = [row for index, row in enumerate(rows) if index not in held_out]
    if not train:
        raise InputError(f"only {len(rows)} training rows are left, too few to hold some out for select; use more data")
    return train, [rows[index] for index in sorted(held_out)]
