"""From the raw files of a corpus to its splits, the figures about them and the floors that any model has to beat.

Dev loses repeated rows only; test loses nothing but unusable rows, because every test id needs an answer.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import accumulate
from math import inf
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pipeline.config.data import Text
from pipeline.config.tasks import CLASSES
from pipeline.errors import InputError
from pipeline.text import readers, splits
from pipeline.text.delimited import Counts
from pipeline.text.normalise import STYLES, Normalise
from pipeline.text.prepared import Pair, Poem, Sentence, jaccard
from pipeline.text.splits import Row, questions, texts

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
    return _labelled(raw / f"ids-{name}", name, read, splits.carve_by_label, text, seed)


def paraphrase(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """Quora Question Pairs; no question is both in `train` and in `select`."""
    read = partial(readers.read_qqp, normalise=STYLES[text.style])
    corpus = _labelled(raw / "quora", "paraphrase", read, splits.carve_by_question, text, seed)
    train, dev = corpus.rows["train"], corpus.rows["dev"]
    corpus.figures["train"]["question_in_dev"] = shares_question(train, dev)
    corpus.figures["dev"]["word_overlap"] = word_overlap_accuracy(train, dev)
    return corpus


def _labelled(prefix: Path, name: str, read: Read[Row], carve: Carve[Row], text: Text, seed: int) -> Corpus[Row]:
    """A corpus of three files, with repeated, contradictory and leaked training rows removed."""
    found, counts = read(Path(f"{prefix}-train.csv"), True)
    dev, dev_counts = read(Path(f"{prefix}-dev.csv"), True)
    test, test_counts = read(Path(f"{prefix}-test-student.csv"), False)
    dev = splits.drop_duplicates(dev, dev_counts)
    dev_counts["conflicting_texts"] = len(splits.conflicting(dev))
    found = splits.drop(splits.sound(found, counts), questions, set(map(questions, [*dev, *test])), "leak", counts)
    if not found:
        raise InputError(f"{prefix}-train.csv: every row is contradicted or also in dev or test; use other data")
    rng = random.Random(f"{seed} {name}")
    found = splits.sample(found, getattr(text.train_rows, name), rng, counts)
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
    beginnings = {poem.prompt.casefold() for poem in [*dev, *test]}
    poems = splits.drop(poems, lambda poem: poem.prompt.casefold(), beginnings, "leak", counts["train"])
    train, select = splits.carve_by_label(poems, text.select.sonnets, random.Random(f"{seed} sonnets"))
    rows = {"train": train, "select": select, "dev": dev, "test": test}
    return described(rows, counts, lambda poem: [poem.text or poem.prompt])


def etpc(raw: Path, text: Text) -> Corpus[Pair]:
    """ETPC pairs, for training only; empty without the file."""
    pairs, counts = _extra_pairs(raw / "ETPC.xml", readers.read_etpc, text)
    return described({"train": pairs}, {"train": counts}, texts)


def ap_h(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """AP_H pairs; `dev` is held out to test on, with no sentence on both sides. Empty without the file."""
    pairs, counts = _extra_pairs(raw / "ap-h-train.csv", readers.read_ap_h, text)
    rng = random.Random(f"{seed} ap_h")
    train, dev = splits.carve_by_question(pairs, text.held_out.ap_h, rng) if pairs else ([], [])
    return described({"train": train, "dev": dev}, {"train": counts}, texts)


def _extra_pairs(path: Path, read: Callable[[Path, Normalise], Found[Pair]], text: Text) -> Found[Pair]:
    pairs, counts = read(path, STYLES[text.style]) if path.exists() else ([], Counter())
    return splits.sound(pairs, counts), counts


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
