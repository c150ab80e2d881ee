"""From the raw files of a corpus to its splits, the figures about them and the floors that any model has to beat.

Training rows that are repeated, contradicted or also in dev or test go, then `select` is carved out of the others. Dev
loses repeated rows only; test loses nothing but unusable rows, because every test id needs an answer. Every draw is
seeded, and rows keep the order of their file.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pipeline.config.data import Text
from pipeline.config.tasks import CLASSES
from pipeline.errors import InputError
from pipeline.text import readers
from pipeline.text.normalise import STYLES, Normalise, alike
from pipeline.text.prepared import Pair, Poem, Sentence, jaccard
from pipeline.text.readers import Counts

Row = TypeVar("Row", bound=Sentence | Pair)
AnyRow = TypeVar("AnyRow")
Figures = dict[str, float]
Found = tuple[list[Row], Counts]
Read = Callable[[Path, bool], Found[Row]]  # a file, labelled or not
Carve = Callable[[Sequence[Row], float, random.Random], tuple[list[Row], list[Row]]]  # of a share


class Corpus(NamedTuple, Generic[AnyRow]):
    rows: Mapping[str, list[AnyRow]]  # of each split
    figures: Mapping[str, Figures]  # about each split


def sentiment(raw: Path, name: str, text: Text, seed: int) -> Corpus[Sentence]:
    """SST or CFIMDB; `select` has the label balance of the training file."""
    read = partial(readers.read_sentiment, classes=CLASSES[name], normalise=STYLES[text.style])
    return _labelled(raw / f"ids-{name}", name, read, carve_by_label, text, seed)


def paraphrase(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """Quora Question Pairs; no question is both in `train` and in `select`."""
    read = partial(readers.read_qqp, normalise=STYLES[text.style])
    corpus = _labelled(raw / "quora", "paraphrase", read, carve_by_question, text, seed)
    train, dev = corpus.rows["train"], corpus.rows["dev"]
    corpus.figures["train"]["question_in_dev"] = shares_question(train, dev)
    corpus.figures["dev"]["word_overlap"] = word_overlap_accuracy(train, dev)
    return corpus


def _labelled(prefix: Path, name: str, read: Read[Row], carve: Carve[Row], text: Text, seed: int) -> Corpus[Row]:
    """A corpus of three files, with repeated, contradictory and leaked training rows removed."""
    found, counts = read(Path(f"{prefix}-train.csv"), True)
    dev, dev_counts = read(Path(f"{prefix}-dev.csv"), True)
    test, test_counts = read(Path(f"{prefix}-test-student.csv"), False)
    dev = drop_duplicates(dev, dev_counts)
    dev_counts["conflicting_texts"] = len(conflicting(dev))
    found = drop(sound(found, counts), traces, set(map(traces, [*dev, *test])), "leak", counts)
    if not found:
        raise InputError(f"{prefix}-train.csv: every row is contradicted or also in dev or test; use other data")
    rng = random.Random(f"{seed} {name}")
    found = sample(found, getattr(text.train_rows, name), rng, counts)
    train, select = carve(found, getattr(text.select, name), rng)
    rows = {"train": train, "select": select, "dev": dev, "test": test}
    corpus = described(rows, {"train": counts, "dev": dev_counts, "test": test_counts}, texts)
    corpus.figures["dev"]["majority"] = majority_accuracy(train, dev)
    return corpus


def sonnets(raw: Path, text: Text, seed: int) -> Corpus[Poem]:
    """Sonnets; dev has the first lines and the whole poems, test only the first lines."""
    counts = dict[str, Counts]()
    poems, counts["train"] = readers.read_poems_with_prompts(raw / "sonnets.txt")
    prompts, counts["dev"] = readers.read_prompts(raw / "sonnets_held_out_dev.txt")
    dev = readers.join_poems(prompts, raw / "TRUE_sonnets_held_out_dev.txt")
    test, counts["test"] = readers.read_prompts(raw / "sonnets_held_out.txt")
    beginnings = {alike(poem.prompt) for poem in [*dev, *test]}
    poems = drop(poems, lambda poem: alike(poem.prompt), beginnings, "leak", counts["train"])
    train, select = carve_by_label(poems, text.select.sonnets, random.Random(f"{seed} sonnets"))
    rows = {"train": train, "select": select, "dev": dev, "test": test}
    return described(rows, counts, lambda poem: [poem.text or poem.prompt])


def etpc(raw: Path, text: Text) -> Corpus[Pair]:
    """ETPC pairs, for training only; empty without the file."""
    pairs, counts = _extra_pairs(raw / "ETPC.xml", readers.read_etpc, text)
    return described({"train": pairs}, {"train": counts}, texts)


def ap_h(raw: Path, text: Text, seed: int, learnt: Iterable[Pair]) -> Corpus[Pair]:
    """AP_H pairs; `dev` is held out to test on, with no sentence on both sides. Empty without the file.

    Many of AP_H's sentences come from MRPC, as those of ETPC do: dev has none of the `learnt` pairs' sentences.
    """
    pairs, counts = _extra_pairs(raw / "ap-h-train.csv", readers.read_ap_h, text)
    rng = random.Random(f"{seed} ap_h")
    train, held_out = carve_by_question(pairs, text.held_out.ap_h, rng) if pairs else ([], [])
    known, dev_counts = {trace for pair in learnt for trace in traces(pair)}, Counts()
    dev = [pair for pair in held_out if known.isdisjoint(traces(pair))]
    dev = _kept(dev, held_out, "in_etpc", dev_counts)
    return described({"train": train, "dev": dev}, {"train": counts, "dev": dev_counts}, texts)


def _extra_pairs(path: Path, read: Callable[[Path, Normalise], Found[Pair]], text: Text) -> Found[Pair]:
    pairs, counts = read(path, STYLES[text.style]) if path.exists() else ([], Counter())
    return sound(pairs, counts), counts


def plays(raw: Path) -> Corpus[str]:
    """Plain text documents; empty without the file."""
    path = raw / "plays.txt"
    return described({"train": readers.read_plays(path) if path.exists() else []}, {}, lambda text: [text])


def described(
    rows: Mapping[str, list[AnyRow]], counts: Mapping[str, Counts], texts_of: Callable[[AnyRow], Sequence[str]]
) -> Corpus[AnyRow]:
    """A corpus with its figures: rows, share of each label, mean words in a text, what was dropped and repaired."""
    figures = dict[str, Figures]()
    for split, some in rows.items():
        labels = Counter(label for row in some if (label := getattr(row, "label", None)) is not None)
        shares = {f"label_{label}": labels[label] / len(some) for label in sorted(labels)}
        words = [len(text.split()) for row in some for text in texts_of(row)]
        figures[split] = {"rows": len(some), **shares, "mean_words": sum(words) / (len(words) or 1)}
        figures[split] |= sorted(counts.get(split, {}).items())
    return Corpus(rows, figures)


def majority_accuracy(train: Sequence[Row], dev: Sequence[Row]) -> float:
    """Accuracy on dev of always answering the most frequent label of train."""
    label = Counter(row.label for row in train).most_common(1)[0][0]
    return sum(row.label == label for row in dev) / len(dev)


def word_overlap_accuracy(train: Sequence[Pair], dev: Sequence[Pair]) -> float:
    """Accuracy on dev of answering 1 from some Jaccard similarity of words upwards, which is fitted on train."""
    threshold = best_threshold([(jaccard(pair), pair.label or 0) for pair in train])
    return sum((jaccard(pair) >= threshold) == (pair.label == 1) for pair in dev) / len(dev)


def best_threshold(scored: Sequence[tuple[float, int]]) -> float:
    """The least score to answer 1 to with the highest accuracy; of equally good ones, the highest."""
    by_score: dict[float, int] = Counter()
    for score, label in scored:
        by_score[score] += 1 if label else -1
    scores = sorted(by_score, reverse=True)
    gains = accumulate(by_score[score] for score in scores)  # over answering 0 throughout, which is a threshold of inf
    return max([(0, inf), *zip(gains, scores, strict=True)])[1]


def shares_question(train: Sequence[Pair], dev: Sequence[Pair]) -> float:
    """Share of the training pairs that have a question in common with dev."""
    known = {question for pair in dev for question in questions(pair)}
    return sum(any(question in known for question in questions(pair)) for pair in train) / len(train)


def texts(row: Sentence | Pair) -> tuple[str, ...]:
    return row[1:-1]


def questions(row: Sentence | Pair) -> tuple[str, ...]:
    """The texts as pairs are linked by them: in no order, and without regard to case.

    Not by `traces`, which would draw other splits than those that the committed tables were measured on.
    """
    return tuple(sorted(text.casefold() for text in texts(row)))


def traces(row: Sentence | Pair) -> tuple[str, ...]:
    """The texts as they are looked for in dev and test: in no order, and without regard to case and typography."""
    return tuple(sorted(map(alike, texts(row))))


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
    return _kept([row for row in rows if key(row) not in unwanted], rows, why, counts)


def sample(rows: list[AnyRow], limit: int | None, rng: random.Random, counts: Counts) -> list[AnyRow]:
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
    """Train and select with no question on both sides, and about the same label balance."""
    groups = question_groups(pairs)
    if len(groups) < 2:
        raise InputError("paraphrase: shared questions link all training pairs, so none can be held out for select")
    rng.shuffle(groups)
    room = Counter({label: _part(share, count) for label, count in Counter(pair.label for pair in pairs).items()})
    chosen = set[int]()
    for group in groups:  # one that would overshoot the share stays in train, as the giant one of frequent questions
        needed = Counter(pairs[index].label for index in group)
        if needed <= room:
            room -= needed
            chosen |= {*group}
    return _divided(pairs, chosen or {*min(groups, key=len)})


def carve_by_label(rows: Sequence[AnyRow], share: float, rng: random.Random) -> tuple[list[AnyRow], list[AnyRow]]:
    """Train and select with the same label balance; poems have no label."""
    by_label = defaultdict(list)
    for index, row in enumerate(rows):
        by_label[getattr(row, "label", None)].append(index)
    chosen = {index for group in by_label.values() for index in rng.sample(group, _part(share, len(group)))}
    return _divided(rows, chosen or {0})


def _part(share: float, count: int) -> int:
    return min(round(share * count), count - 1)  # something must be left to train on


def _divided(rows: Sequence[AnyRow], held_out: set[int]) -> tuple[list[AnyRow], list[AnyRow]]:
    train = [row for index, row in enumerate(rows) if index not in held_out]
    if not train:
        raise InputError(f"only {len(rows)} training rows are left, too few to hold some out for select; use more data")
    return train, [rows[index] for index in sorted(held_out)]
