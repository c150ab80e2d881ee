"""From the raw files of a corpus to its splits, the figures about them and the floors that any model has to beat.

Dev loses repeated rows only; test loses nothing but unusable rows, because every test id needs an answer.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pipeline.config.data import Text
from pipeline.errors import InputError
from pipeline.text import readers, splits
from pipeline.text.delimited import Counts
from pipeline.text.normalise import STYLES, Normalise
from pipeline.text.prepared import Pair, Poem, Sentence, jaccard
from pipeline.text.splits import Row, questions, texts

AnyRow = TypeVar("AnyRow")
Figures = dict[str, float]


class Corpus(NamedTuple, Generic[AnyRow]):
    """The rows of each split and the figures about each split."""

    rows: Mapping[str, list[AnyRow]]
    figures: Mapping[str, Figures]


def sentiment(raw: Path, name: str, text: Text, seed: int) -> Corpus[Sentence]:
    """SST or CFIMDB; `select` has the label balance of the training file."""
    rng = random.Random(f"{seed} {name}")
    read = partial(readers.read_sentiment, classes=readers.CLASSES[name], normalise=STYLES[text.style])
    carve = partial(splits.carve_by_label, share=getattr(text.select, name), rng=rng)
    return _labelled(raw, f"ids-{name}", read, getattr(text.train_rows, name), carve, rng)


def paraphrase(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """Quora Question Pairs; no question is both in `train` and in `select`."""
    rng = random.Random(f"{seed} paraphrase")
    read = partial(readers.read_qqp, normalise=STYLES[text.style])
    carve = partial(splits.carve_by_question, share=text.select.paraphrase, rng=rng)
    corpus = _labelled(raw, "quora", read, text.train_rows.paraphrase, carve, rng)
    train, dev = corpus.rows["train"], corpus.rows["dev"]
    corpus.figures["train"]["question_in_dev"] = shares_question(train, dev)
    corpus.figures["dev"]["word_overlap"] = word_overlap_accuracy(train, dev)
    return corpus


def _labelled(
    raw: Path,
    prefix: str,
    read: Callable[[Path, bool], tuple[list[Row], Counts]],
    limit: int | None,
    carve: Callable[[list[Row]], tuple[list[Row], list[Row]]],
    rng: random.Random,
) -> Corpus[Row]:
    """A corpus of three files, with repeated, contradictory and leaked training rows removed."""
    path = raw / f"{prefix}-train.csv"
    found, counts = read(path, True)
    dev, dev_counts = read(raw / f"{prefix}-dev.csv", True)
    test, test_counts = read(raw / f"{prefix}-test-student.csv", False)
    dev = splits.drop_duplicates(dev, dev_counts)
    dev_counts["conflicting_texts"] = len(splits.conflicting(dev))
    found = splits.drop(splits.sound(found, counts), questions, set(map(questions, [*dev, *test])), "leak", counts)
    if not found:
        raise InputError(f"{path}: every row is contradicted or also in dev or test; use other training data")
    train, select = carve(splits.sample(found, limit, rng, counts))
    rows = {"train": train, "select": select, "dev": dev, "test": test}
    by_split = {"train": counts, "dev": dev_counts, "test": test_counts}
    figures = {split: describe(some, by_split.get(split, {})) for split, some in rows.items()}
    figures["dev"]["majority"] = majority_accuracy(train, dev)
    return Corpus(rows, figures)


def sonnets(raw: Path, text: Text, seed: int) -> Corpus[Poem]:
    """Sonnets; dev has the first lines and the whole poems, test only the first lines."""
    counts: dict[str, Counts] = {"select": Counter()}
    poems, counts["train"] = readers.read_poems_with_prompts(raw / "sonnets.txt")
    prompts, counts["dev"] = readers.read_prompts(raw / "sonnets_held_out_dev.txt")
    dev = readers.join_poems(prompts, raw / "TRUE_sonnets_held_out_dev.txt")
    test, counts["test"] = readers.read_prompts(raw / "sonnets_held_out.txt")
    beginnings = {poem.prompt.casefold() for poem in [*dev, *test]}
    poems = splits.drop(poems, lambda poem: poem.prompt.casefold(), beginnings, "leak", counts["train"])
    train, select = splits.carve_by_label(poems, text.select.sonnets, random.Random(f"{seed} sonnets"))
    rows = {"train": train, "select": select, "dev": dev, "test": test}
    whole = {split: [poem.text or poem.prompt for poem in some] for split, some in rows.items()}
    return Corpus(rows, {split: describe(some, counts[split]) for split, some in whole.items()})


def etpc(raw: Path, text: Text) -> Corpus[Pair]:
    """ETPC pairs, for training only; empty without the file."""
    pairs, counts = _extra_pairs(raw / "ETPC.xml", readers.read_etpc, STYLES[text.style])
    return Corpus({"train": pairs}, {"train": describe(pairs, counts)})


def ap_h(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """AP_H pairs; `dev` is held out to test on, with no sentence on both sides. Empty without the file."""
    pairs, counts = _extra_pairs(raw / "ap-h-train.csv", readers.read_ap_h, STYLES[text.style])
    rng = random.Random(f"{seed} ap_h")
    train, dev = splits.carve_by_question(pairs, text.held_out.ap_h, rng) if pairs else ([], [])
    return Corpus({"train": train, "dev": dev}, {"train": describe(train, counts), "dev": describe(dev, {})})


def _extra_pairs(
    path: Path, read: Callable[[Path, Normalise], tuple[list[Pair], Counts]], normalise: Normalise
) -> tuple[list[Pair], Counts]:
    pairs, counts = read(path, normalise) if path.exists() else ([], Counter())
    return splits.sound(pairs, counts), counts


def plays(raw: Path) -> Corpus[str]:
    """Plain text documents; empty without the file."""
    path = raw / "plays.txt"
    documents = readers.read_plays(path) if path.exists() else []
    return Corpus({"train": documents}, {"train": describe(documents, {})})


def describe(rows: Sequence[Sentence | Pair | str], counts: Mapping[str, int]) -> Figures:
    """Rows, share of each label, mean words in a text, then what was dropped and repaired."""
    labels = Counter(row.label for row in rows if not isinstance(row, str) and row.label is not None)
    shares = {f"label_{label}": labels[label] / len(rows) for label in sorted(labels)}
    words = [len(text.split()) for row in rows for text in ((row,) if isinstance(row, str) else texts(row))]
    mean = sum(words) / len(words) if words else 0.0
    return {"rows": len(rows), **shares, "mean_words": mean, **dict(sorted(counts.items()))}


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
    best, gain, threshold = 0, 0, float("inf")  # answering 0 throughout
    for score in sorted(by_score, reverse=True):
        gain += by_score[score]
        if gain > best:
            best, threshold = gain, score
    return threshold


def shares_question(train: Sequence[Pair], dev: Sequence[Pair]) -> float:
    """Share of the training pairs that have a question in common with dev."""
    known = {question for pair in dev for question in questions(pair)}
    return sum(any(question in known for question in questions(pair)) for pair in train) / len(train)
