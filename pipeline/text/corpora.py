"""From the raw files of a corpus to its splits and the figures about them.

Dev loses repeated rows only; test loses nothing but unusable rows, because every test id needs an answer.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pipeline.config.data import Text
from pipeline.errors import InputError
from pipeline.text import readers, splits, summary
from pipeline.text.delimited import Counts
from pipeline.text.normalise import Normalise, style
from pipeline.text.prepared import Pair, Poem, Sentence

SPLITS = ("train", "select", "dev", "test")
AnyRow = TypeVar("AnyRow")


class Corpus(NamedTuple, Generic[AnyRow]):
    """The rows of each split and the figures about each split."""

    rows: Mapping[str, list[AnyRow]]
    figures: Mapping[str, summary.Figures]


class _Source(NamedTuple, Generic[splits.Row]):
    """The rows of the raw files before `select` is carved out, with the counts of each file."""

    train: list[splits.Row]
    dev: list[splits.Row]
    test: list[splits.Row]
    counts: dict[str, Counts]

    def carved(self, train: list[splits.Row], select: list[splits.Row]) -> Corpus[splits.Row]:
        """The corpus with these parts of the training rows."""
        rows = {"train": train, "select": select, "dev": self.dev, "test": self.test}
        figures = {split: summary.describe(rows[split], self.counts[split]) for split in SPLITS}
        figures["dev"]["majority"] = summary.majority_accuracy(train, self.dev)
        return Corpus(rows, figures)


def sentiment(raw: Path, name: str, text: Text, seed: int) -> Corpus[Sentence]:
    """SST or CFIMDB; `select` has the label balance of the training file."""

    def read(path: Path, labelled: bool) -> tuple[list[Sentence], Counts]:
        return readers.read_sentiment(path, readers.CLASSES[name], labelled, style(text.style))

    rng = random.Random(f"{seed} {name}")
    source = _read(raw, f"ids-{name}", read, getattr(text.train_rows, name), rng)
    return source.carved(*splits.carve_by_label(source.train, getattr(text.select, name), rng))


def paraphrase(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """Quora Question Pairs; no question is both in `train` and in `select`."""

    def read(path: Path, labelled: bool) -> tuple[list[Pair], Counts]:
        return readers.read_qqp(path, labelled, style(text.style))

    rng = random.Random(f"{seed} paraphrase")
    source = _read(raw, "quora", read, text.train_rows.paraphrase, rng)
    corpus = source.carved(*splits.carve_by_question(source.train, text.select.paraphrase, rng))
    train = corpus.rows["train"]
    corpus.figures["train"]["question_in_dev"] = summary.shares_question(train, source.dev)
    corpus.figures["dev"]["word_overlap"] = summary.word_overlap_accuracy(train, source.dev)
    return corpus


def sonnets(raw: Path, text: Text, seed: int) -> Corpus[Poem]:
    """Sonnets; dev has the first lines and the whole poems, test only the first lines."""
    counts: dict[str, Counts] = {"select": Counter()}
    poems, counts["train"] = readers.read_poems_with_prompts(raw / "sonnets.txt")
    prompts, counts["dev"] = readers.read_prompts(raw / "sonnets_held_out_dev.txt")
    dev = readers.join_poems(prompts, raw / "TRUE_sonnets_held_out_dev.txt")
    test, counts["test"] = readers.read_prompts(raw / "sonnets_held_out.txt")
    poems = splits.drop_leaked_poems(poems, [*dev, *test], counts["train"])
    train, select = splits.carve_poems(poems, text.select.sonnets, random.Random(f"{seed} sonnets"))
    rows = {"train": train, "select": select, "dev": dev, "test": test}
    return Corpus(rows, {split: summary.describe_poems(rows[split], counts[split]) for split in SPLITS})


def etpc(raw: Path, text: Text) -> Corpus[Pair]:
    """ETPC pairs, for training only; empty without the file."""
    pairs, counts = _extra_pairs(raw / "ETPC.xml", readers.read_etpc, style(text.style))
    return Corpus({"train": pairs}, {"train": summary.describe(pairs, counts)})


def ap_h(raw: Path, text: Text, seed: int) -> Corpus[Pair]:
    """AP_H pairs; `dev` is held out to test on, with no sentence on both sides. Empty without the file."""
    pairs, counts = _extra_pairs(raw / "ap-h-train.csv", readers.read_ap_h, style(text.style))
    rng = random.Random(f"{seed} ap_h")
    train, dev = splits.carve_by_question(pairs, text.held_out.ap_h, rng) if pairs else ([], [])
    return Corpus(
        {"train": train, "dev": dev}, {"train": summary.describe(train, counts), "dev": summary.describe(dev, {})}
    )


def plays(raw: Path) -> Corpus[str]:
    """Plain text documents; empty without the file."""
    path = raw / "plays.txt"
    documents = readers.read_plays(path) if path.exists() else []
    return Corpus({"train": documents}, {"train": summary.describe_texts(documents, {})})


def _extra_pairs(
    path: Path, read: Callable[[Path, Normalise], tuple[list[Pair], Counts]], normalise: Normalise
) -> tuple[list[Pair], Counts]:
    pairs, counts = read(path, normalise) if path.exists() else ([], Counter())
    return splits.drop_conflicts(splits.drop_duplicates(pairs, counts), counts), counts


def _read(
    raw: Path,
    prefix: str,
    read: Callable[[Path, bool], tuple[list[splits.Row], Counts]],
    limit: int | None,
    rng: random.Random,
) -> _Source[splits.Row]:
    """The three files of a labelled corpus, with repeated, contradictory and leaked training rows removed."""
    paths = {split: raw / f"{prefix}-{split}.csv" for split in ("train", "dev", "test-student")}
    train, counts = read(paths["train"], True)
    all_dev, dev_counts = read(paths["dev"], True)
    test, test_counts = read(paths["test-student"], False)
    dev = splits.drop_duplicates(all_dev, dev_counts)
    dev_counts["conflicting_texts"] = len(splits.conflicting(dev))
    sound = splits.drop_conflicts(splits.drop_duplicates(train, counts), counts)
    fresh = splits.drop_leaks(sound, [*dev, *test], counts)
    if not fresh:
        raise InputError(f"{paths['train']}: every row is contradicted or also in dev or test; use other training data")
    by_split = {"train": counts, "select": Counter[str](), "dev": dev_counts, "test": test_counts}
    return _Source(splits.sample(fresh, limit, rng, counts), dev, test, by_split)
