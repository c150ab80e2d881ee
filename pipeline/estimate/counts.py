"""How many rows and tokens the data of a profile has, as its stages will see them.

Where data/prepared belongs to the profile it is read; else the raw files are read as `prepare` reads them, without
writing anything.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import pre_tokenizers

from pipeline.config.base import PARAMS, load_block, load_seed, read_params
from pipeline.config.data import Backbone, Corpus, Data, Text
from pipeline.errors import InputError
from pipeline.text import corpora
from pipeline.text.download import find_in_folder
from pipeline.text.prepared import PREPARED, Pair, Poem, Sentence, read_pairs, read_poems, read_sentences, read_texts
from pipeline.text.prompts import CLOZE
from pipeline.text.tokenizer import load_tokenizer

# GPT-2's tokens for one of its pre-tokens (words, numbers, marks): rare words are cut into several.
TOKENS_PER_PIECE = 1.15
SAMPLE = 4000  # texts of a split that are tokenised: their mean stands for all

Encode = Callable[[Sequence[str]], list[int]]  # texts -> the tokens of each
Corpora = Mapping[str, Mapping[str, Sequence[Any]]]  # corpus -> split -> rows


@dataclass(frozen=True)
class Texts:
    """Rows of one kind with their length in tokens, and their size as text."""

    rows: int = 0
    tokens: float = 0.0  # mean
    longest: int = 0
    characters: float = 0.0  # mean

    def cut(self, longest: int) -> "Texts":
        """With `max_length` tokens at most; the mean only where all are longer, which is close for few long rows."""
        return Texts(self.rows, min(self.tokens, longest), min(self.longest, longest), self.characters)

    def times(self, factor: float) -> "Texts":
        """So many times the rows."""
        return Texts(round(self.rows * factor), self.tokens, self.longest, self.characters)


@dataclass(frozen=True)
class Counts:
    """By name: `<corpus>/<split>`, for pairs the cloze prompts; `questions` one sentence of a pair, `prompts` the first
    lines of poems, `positive` the paraphrases in both directions that the generator learns."""

    texts: Mapping[str, Texts]
    tokenizer: str  # how tokens were counted
    source: str  # where the rows come from

    def __getitem__(self, name: str) -> Texts:
        return self.texts.get(name, Texts())

    def scaled(self, factor: float) -> "Counts":
        """With so many times the training rows; what is held out stays."""
        more = {
            name: texts.times(factor) if name.partition("/")[2] in ("train", "positive", "questions") else texts
            for name, texts in self.texts.items()
        }
        return Counts(more, self.tokenizer, self.source)


def count(path: Path = PARAMS, data: Path | None = None) -> Counts:
    """The counts of the profile in `path`, on the data in the folder `data` or, without one, its own."""
    rows, source = read_corpora(path, data)
    encode, tokenizer = encoder(load_block("backbone", Backbone, path), rows)
    return Counts(measure(rows, encode), tokenizer, source)


def read_corpora(path: Path, data: Path | None) -> tuple[Corpora, str]:
    """All rows of all splits, and where they were read."""
    folder = data or Path(load_block("data", Data, path).path)
    if data is None and is_prepared(path):
        return prepared(), str(PREPARED)
    if not folder.is_dir():
        raise InputError(f"{path}: data.path {folder} is no folder on this machine; name one with --data FOLDER")
    find_in_folder(folder)
    text, seed = load_block("text", Text, path), load_seed(path)
    read: dict[str, corpora.Corpus[Any]] = {
        "sst": corpora.sentiment(folder, "sst", text, seed),
        "cfimdb": corpora.sentiment(folder, "cfimdb", text, seed),
        "paraphrase": corpora.paraphrase(folder, text, seed),
        "sonnets": corpora.sonnets(folder, text, seed),
        "etpc": corpora.etpc(folder, text),
        "ap_h": corpora.ap_h(folder, text, seed),
        "plays": corpora.plays(folder),
    }
    return {name: corpus.rows for name, corpus in read.items()}, str(folder)


def is_prepared(path: Path) -> bool:
    """Is data/prepared there, and made with the data and text parameters of the profile?"""
    if not (PREPARED / "plays/train.jsonl").is_file() or not PARAMS.is_file():  # the last one that is written
        return False
    own, present = read_params(path), read_params()
    return all(own[key] == present[key] for key in ("data", "text", "seed"))


def prepared() -> Corpora:
    """data/prepared."""
    readers: dict[str, tuple[Callable[[Path], Sequence[Any]], str, tuple[str, ...]]] = {
        "sst": (read_sentences, "csv", corpora.SPLITS),
        "cfimdb": (read_sentences, "csv", corpora.SPLITS),
        "paraphrase": (read_pairs, "csv", corpora.SPLITS),
        "sonnets": (read_poems, "jsonl", corpora.SPLITS),
        "etpc": (read_pairs, "csv", ("train",)),
        "ap_h": (read_pairs, "csv", ("train", "dev")),
        "plays": (read_texts, "jsonl", ("train",)),
    }
    return {
        name: {split: read(PREPARED / name / f"{split}.{suffix}") for split in splits}
        for name, (read, suffix, splits) in readers.items()
        if (PREPARED / name).is_dir()
    }


def encoder(backbone: Backbone, rows: Corpora) -> tuple[Encode, str]:
    """How the backbone counts tokens: with its own tokenizer, or one like it."""
    own = {"hub": None, "path": Path(backbone.path), "scratch": None}[backbone.source]
    if own is not None:
        return _exact(load_tokenizer(own)), f"the tokenizer in {own}"
    present = Path("models/backbone")
    size = 50257 if backbone.source == "hub" else backbone.scratch.vocab_size
    if (present / "tokenizer.json").is_file():
        tokenizer = load_tokenizer(present)
        if tokenizer.get_vocab_size() == size:
            return _exact(tokenizer), "the tokenizer in models/backbone"
    if backbone.source == "scratch":
        from pipeline.training.pretrain import train_tokenizer

        tokenizer = train_tokenizer(documents(rows, backbone.scratch.corpora), size)
        return _exact(tokenizer), f"a tokenizer of {size:,} tokens, trained for this estimate"
    return pieces, f"GPT-2's words, numbers and marks, {TOKENS_PER_PIECE} tokens each (its tokenizer is not here)"


def _exact(tokenizer: Any) -> Encode:  # noqa: ANN401 - tokenizers has no types
    return lambda texts: [len(code.ids) for code in tokenizer.encode_batch(list(texts))]


def pieces(texts: Sequence[str]) -> list[int]:
    """About the tokens of GPT-2's tokenizer, from its rule for splitting text."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return [round(len(split.pre_tokenize_str(text)) * TOKENS_PER_PIECE) for text in texts]


def documents(rows: Corpora, names: Sequence[Corpus]) -> list[str]:
    """The text that the stage `backbone` learns its vocabulary from; of large corpora, some thousands."""
    found: list[str] = []
    for name in names:
        split = rows.get({"pairs": "paraphrase"}.get(name, name), {}).get("train", ())[:SAMPLE]
        if name in ("paraphrase", "etpc"):
            found += dict.fromkeys(text for pair in split for text in (pair.sentence1, pair.sentence2))
        elif name != "plays":  # long, and in the words of the sonnets
            found += map(_text, split)
    return found


def measure(rows: Corpora, encode: Encode) -> dict[str, Texts]:
    """Rows and lengths of everything that a stage encodes."""
    found = {}
    for corpus, splits in rows.items():
        for split, items in splits.items():
            found[f"{corpus}/{split}"] = texts_of(items, _text, encode)
    train = rows["paraphrase"]["train"]
    found["paraphrase/questions"] = texts_of(train, lambda pair: pair.sentence1, encode)
    for split in ("train", "select"):
        positive = [pair for pair in rows["paraphrase"][split] if pair.label == 1]
        found[f"{split}/positive"] = texts_of(positive, _text, encode).times(2)
    for split in ("dev", "test"):
        found[f"prompts/{split}"] = texts_of(rows["sonnets"][split], lambda poem: poem.prompt, encode)
    return found


def texts_of(rows: Sequence[Any], text: Callable[[Any], str], encode: Encode) -> Texts:
    """The lengths of a sample of the rows at equal distances; their number is exact."""
    if not rows:
        return Texts()
    chosen = [text(rows[place * len(rows) // min(len(rows), SAMPLE)]) for place in range(min(len(rows), SAMPLE))]
    lengths = encode(chosen)
    return Texts(len(rows), sum(lengths) / len(lengths), max(lengths), sum(map(len, chosen)) / len(chosen))


def _text(row: Sentence | Pair | Poem | str) -> str:
    if isinstance(row, Pair):
        return CLOZE.format(row.sentence1, row.sentence2)
    if isinstance(row, Poem):
        return row.text or row.prompt
    return row if isinstance(row, str) else row.text
