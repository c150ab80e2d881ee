"""Text to token ids: the cloze prompt for pairs, plain text for reviews, poems with their end."""

import itertools
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from pipeline.config.tasks import Prompt
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.text.normalise import course
from pipeline.text.prepared import Pair

END_OF_TEXT = "<|endoftext|>"  # of GPT-2; a tokenizer_config.json may name others
# The report's prompt without its trailing space, which a byte-level BPE turns into a token of its own.
CLOZE = 'Is "{}" a paraphrase of "{}"? Answer "yes" or "no":'
ANSWERS = (" no", " yes")  # the next words after the prompt that stand for class 0 and class 1
View = Literal["swapped", "first", "second"]


def load_tokenizer(folder: Path, max_length: int = 0) -> Tokenizer:
    """The fast tokenizer of a model folder, whose model must take `max_length` tokens; no truncation, no padding."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the Rust library raises nothing narrower
        raise InputError(f"{path}: not a tokenizer that can be loaded: {error}; run `dvc repro backbone`") from None
    if max_length and max_length > (tokens := context_of(read_json(folder / "config.json"))):
        raise InputError(f"params.yaml: max_length {max_length}: the model in {folder} takes {tokens} tokens")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    names = read_json(file) if (file := folder / "tokenizer_config.json").is_file() else {}
    begin, end = (token_name(names.get(key)) for key in ("bos_token", "eos_token"))
    if tokenizer.token_to_id(end) is None:
        raise InputError(f"{path}: the vocabulary has no {end}, which would end a text; choose another tokenizer")
    vars(tokenizer).update(begin=tokenizer.token_to_id(begin), end=tokenizer.token_to_id(end))
    return tokenizer


def token_name(named: Any) -> str:  # noqa: ANN401 - of a JSON file
    """A special token as tokenizer_config.json names it: a string, or a mapping with its content."""
    return str(named.get("content") if isinstance(named, Mapping) else named or END_OF_TEXT)


def context_of(config: Mapping[str, Any]) -> int:
    """Tokens that a text may have by a config.json, so that each sees all before it, no sliding window in between."""
    positions: int = config.get("n_positions") or config["max_position_embeddings"]
    windows = config.get("sliding_window") or config.get("window_size")  # the latter is GPT-Neo's
    window = windows if config.get("use_sliding_window", True) else None
    return min(positions, window or positions)


def end_of_text(tokenizer: Tokenizer) -> int:
    """The id of the token that ends a text; `load_tokenizer` has set it, a tokenizer made by hand has GPT-2's."""
    known = vars(tokenizer)
    return int(known["end"]) if "end" in known else tokenizer.encode(END_OF_TEXT).ids[0]


def begin_of_text(tokenizer: Tokenizer) -> int:
    """The id of the token before a text that is to be continued: that which ends texts, unless there is another."""
    begin = vars(tokenizer).get("begin")
    return end_of_text(tokenizer) if begin is None else int(begin)


def plain_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts, without the special tokens that some tokenizers put before or after every text."""
    return [code.ids for code in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def copy_tokenizer(backbone: Path, folder: Path) -> None:
    """Give a fine-tuned model's folder its tokenizer, so that it can be loaded on its own."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(backbone / name, folder / name)


def answer_tokens(tokenizer: Tokenizer) -> list[int]:
    """The first token of every answer; a vocabulary in which they are the same cannot tell the answers apart."""
    question = CLOZE.format("?", "?")
    asked, *answered = plain_ids(tokenizer, [question, *(question + answer for answer in ANSWERS)])
    tokens = [ids[len(asked)] for ids in answered if ids[: len(asked)] == asked]
    if len(set(tokens)) < len(ANSWERS):
        problem = "params.yaml: head cloze: the backbone's tokenizer begins ' yes' and ' no' with the same token"
        raise InputError(f"{problem}; use head linear or a larger backbone.scratch.vocab_size")
    return tokens


def cloze_template(tokenizer: Tokenizer) -> list[list[int]]:
    """The tokens around the sentences of a prompt, without its quotation marks: those may join a sentence's own."""
    template = plain_ids(tokenizer, ["Is", " a paraphrase of", ' Answer "yes" or "no":'])
    ids = tokenizer.encode(question := CLOZE.format("?", "?")).ids
    template[0][:0] = ids[: len(ids) - len(plain_ids(tokenizer, [question])[0])]  # what begins every text, if anything
    before, between, after = template
    inside = between in (ids[start : start + len(between)] for start in range(len(ids)))
    if not (ids[: len(before)] == before and inside and ids[-len(after) :] == after):
        raise InputError("params.yaml: exact_match: the backbone's tokenizer joins words of the prompt; use false")
    return template


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[Pair], max_length: int, prompt: Prompt = "ours"
) -> list[list[int]]:
    """Cloze prompts of at most `max_length` tokens: long sentences are cut at their ends, the question never is.

    With `prompt` report they are those of the report, which cut them at the right, wherever that was.
    """
    if prompt == "report":
        texts = [f"{CLOZE.format(course(pair.sentence1), course(pair.sentence2))} " for pair in pairs]
        return encode_texts(tokenizer, texts, max_length)
    codes = tokenizer.encode_batch([CLOZE.format(pair.sentence1, pair.sentence2) for pair in pairs])
    encoded = zip(pairs, (code.ids for code in codes), strict=True)
    return [ids if len(ids) <= max_length else _fit_pair(tokenizer, pair, max_length) for pair, ids in encoded]


def _fit_pair(tokenizer: Tokenizer, pair: Pair, max_length: int) -> list[int]:
    """Shorten the longer sentence first until the prompt fits."""
    first, second = plain_ids(tokenizer, [pair.sentence1, pair.sentence2])
    budget = max_length - len(tokenizer.encode(CLOZE.format("", "")).ids)
    while budget >= 2:
        cut_first = first[: max(budget // 2, budget - len(second))]
        cut_second = second[: budget - len(cut_first)]
        # Cutting bytes of one character apart leaves U+FFFD at the end.
        cut = (tokenizer.decode(ids).rstrip("\ufffd").rstrip() for ids in (cut_first, cut_second))
        ids = tokenizer.encode(CLOZE.format(*cut)).ids
        if len(ids) <= max_length:
            return ids
        budget -= len(ids) - max_length
    raise InputError(f"params.yaml: max_length {max_length} leaves no room for the question; use 40 or more")


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of plain texts, cut at `max_length` tokens."""
    return [code.ids[:max_length] for code in tokenizer.encode_batch(list(texts))]


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of texts between the tokens that begin and end one, at most `max_length`: a cut one has no end."""
    begin, end = begin_of_text(tokenizer), end_of_text(tokenizer)
    return [[begin, *ids, end][:max_length] for ids in plain_ids(tokenizer, texts)]


def pack(documents: Iterable[Sequence[int]], block: int) -> Iterator[list[int]]:
    """Join documents into full blocks of `block` tokens; the incomplete last block is left out."""
    tokens = itertools.chain.from_iterable(documents)
    while len(ids := list(itertools.islice(tokens, block))) == block:
        yield ids


def swap(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with their sentences in the other order."""
    return [Pair(pair.id, pair.sentence2, pair.sentence1, pair.label) for pair in pairs]


def encode_views(
    tokenizer: Tokenizer, pairs: Sequence[Pair], views: Collection[View], max_length: int, prompt: Prompt = "ours"
) -> dict[str, list[list[int]]]:
    """Token ids of every view: `swapped` is the prompt of the swapped pair, `first` and `second` one sentence alone."""
    style = course if prompt == "report" else str
    texts = {"first": [style(pair.sentence1) for pair in pairs], "second": [style(pair.sentence2) for pair in pairs]}
    encoded = {view: encode_texts(tokenizer, texts[view], max_length) for view in views if view in texts}
    prompts = {"swapped": encode_pairs(tokenizer, swap(pairs), max_length, prompt)} if "swapped" in views else {}
    return prompts | encoded
