"""Which rows train and which select: repeated rows out, leaks out, and `select` carved out of the training file.

Every draw is seeded by the caller's generator, and rows keep the order of their file.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from pipeline.errors import InputError
from pipeline.text.delimited import Counts
from pipeline.text.prepared import Pair, Poem, Sentence

Row = TypeVar("Row", bound=Sentence | Pair)
AnyRow = TypeVar("AnyRow")


def texts(row: Sentence | Pair) -> tuple[str, ...]:
    """The text or texts of a row."""
    return (row.text,) if isinstance(row, Sentence) else (row.sentence1, row.sentence2)


def questions(row: Sentence | Pair) -> tuple[str, ...]:
    """The texts as they are compared between splits: in no order, and without regard to case."""
    return tuple(sorted(text.casefold() for text in texts(row)))


def drop_duplicates(rows: Sequence[Row], counts: Counts) -> list[Row]:
    """Rows without those that repeat an earlier row's text and label."""
    first: dict[tuple[tuple[str, ...], int | None], Row] = {}
    for row in rows:
        first.setdefault((texts(row), row.label), row)
    return _kept(list(first.values()), rows, "duplicate", counts)


def conflicting(rows: Iterable[Row]) -> set[tuple[str, ...]]:
    """The texts that occur with different labels."""
    labels = defaultdict(set)
    for row in rows:
        labels[texts(row)].add(row.label)
    return {key for key, found in labels.items() if len(found) > 1}


def drop_conflicts(rows: Sequence[Row], counts: Counts) -> list[Row]:
    """Rows without any whose text occurs with different labels: neither label can be trusted."""
    doubtful = conflicting(rows)
    return _kept([row for row in rows if texts(row) not in doubtful], rows, "conflicting_label", counts)


def drop_leaks(rows: Sequence[Row], held_out: Iterable[Row], counts: Counts) -> list[Row]:
    """Rows without those that are also in dev or test, pairs in either order."""
    forbidden = {questions(row) for row in held_out}
    return _kept([row for row in rows if questions(row) not in forbidden], rows, "leak", counts)


def drop_leaked_poems(poems: Sequence[Poem], held_out: Iterable[Poem], counts: Counts) -> list[Poem]:
    """Poems without those that begin like a held-out one."""
    forbidden = {poem.prompt.casefold() for poem in held_out}
    return _kept([poem for poem in poems if poem.prompt.casefold() not in forbidden], poems, "leak", counts)


def sample(rows: Sequence[AnyRow], limit: int | None, rng: random.Random, counts: Counts) -> list[AnyRow]:
    """At most `limit` of the rows."""
    if limit is None or len(rows) <= limit:
        return list(rows)
    kept = sorted(rng.sample(range(len(rows)), limit))
    return _kept([rows[index] for index in kept], rows, "cap", counts)


def question_groups(pairs: Sequence[Pair]) -> list[list[int]]:
    """The indices of pairs that are linked by shared questions, directly or through other pairs (union-find)."""
    parent: dict[str, str] = {}

    def root(question: str) -> str:
        parent.setdefault(question, question)
        while parent[question] != question:
            parent[question] = parent[parent[question]]
            question = parent[question]
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


def carve_by_label(rows: Sequence[Sentence], share: float, rng: random.Random) -> tuple[list[Sentence], list[Sentence]]:
    """Train and select with the same label balance."""
    by_label = defaultdict(list)
    for index, row in enumerate(rows):
        by_label[row.label].append(index)
    chosen = {index for group in by_label.values() for index in rng.sample(group, _part(share, len(group)))}
    return _divided(rows, chosen or {0})


def carve_poems(poems: Sequence[Poem], share: float, rng: random.Random) -> tuple[list[Poem], list[Poem]]:
    """Train and select, by whole poems."""
    return _divided(poems, rng.sample(range(len(poems)), max(1, _part(share, len(poems)))))


def _part(share: float, count: int) -> int:
    return min(round(share * count), count - 1)  # something must be left to train on


def _divided(rows: Sequence[AnyRow], chosen: Collection[int]) -> tuple[list[AnyRow], list[AnyRow]]:
    held_out = set(chosen)
    train = [row for index, row in enumerate(rows) if index not in held_out]
    if not train:
        raise InputError(f"only {len(rows)} training rows are left, too few to hold some out for select; use more data")
    return train, [rows[index] for index in sorted(held_out)]


def _kept(kept: list[AnyRow], rows: Sequence[AnyRow], reason: str, counts: Counts) -> list[AnyRow]:
    if len(kept) < len(rows):
        counts[f"dropped_{reason}"] += len(rows) - len(kept)
    return kept
