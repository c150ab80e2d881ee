"""Text to token ids: the cloze prompt for pairs, plain text for reviews, poems with their end."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from tokenizers import Tokenizer

from pipeline.errors import InputError
from pipeline.text.prepared import Pair
from pipeline.text.tokenizer import end_of_text

# The report's prompt without its trailing space, which a byte-level BPE turns into a token of its own.
CLOZE = 'Is "{}" a paraphrase of "{}"? Answer "yes" or "no":'

ANSWERS = (" no", " yes")  # the next words after the prompt that stand for class 0 and class 1


def answer_tokens(tokenizer: Tokenizer) -> list[int]:
    """The first token of every answer; a vocabulary in which they are the same cannot tell the answers apart."""
    tokens = [tokenizer.encode(answer).ids[0] for answer in ANSWERS]
    if len(set(tokens)) < len(tokens):
        raise InputError(
            "params.yaml: head cloze: the backbone's tokenizer begins ' yes' and ' no' with the same token; "
            "use head linear or a larger backbone.scratch.vocab_size"
        )
    return tokens


def cloze_template(tokenizer: Tokenizer) -> list[list[int]]:
    """The tokens before, between and after the sentences of every prompt.

    Quotation marks are not among them: a tokenizer may join them to a sentence's own punctuation.
    """
    template = [tokenizer.encode(text).ids for text in ("Is", " a paraphrase of", ' Answer "yes" or "no":')]
    before, between, after = template
    ids = tokenizer.encode(CLOZE.format("?", "?")).ids
    inside = any(ids[start : start + len(between)] == between for start in range(len(ids)))
    if not (ids[: len(before)] == before and inside and ids[-len(after) :] == after):
        raise InputError("params.yaml: exact_match: the backbone's tokenizer joins words of the prompt; use false")
    return template


def encode_pairs(tokenizer: Tokenizer, pairs: Sequence[Pair], max_length: int) -> list[list[int]]:
    """Cloze prompts of at most `max_length` tokens: long sentences are cut at their ends, the question never is."""
    prompts = [CLOZE.format(pair.sentence1, pair.sentence2) for pair in pairs]
    encodings = tokenizer.encode_batch(prompts)
    return [
        code.ids if len(code.ids) <= max_length else _fit_pair(tokenizer, pair, max_length)
        for code, pair in zip(encodings, pairs, strict=True)
    ]


def _fit_pair(tokenizer: Tokenizer, pair: Pair, max_length: int) -> list[int]:
    """Shorten the longer sentence first until the prompt fits."""
    first, second = (tokenizer.encode(text).ids for text in (pair.sentence1, pair.sentence2))
    budget = max_length - len(tokenizer.encode(CLOZE.format("", "")).ids)
    while budget >= 2:
        keep = budget // 2
        cut_first = first[: max(keep, budget - len(second))]
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
    """Token ids of texts between two end-of-text tokens, so that beginning and end are both learnt.

    A text of more than `max_length` tokens is cut and has no end.
    """
    end = end_of_text(tokenizer)
    return [[end, *code.ids, end][:max_length] for code in tokenizer.encode_batch(list(texts))]


def pack(documents: Iterable[Sequence[int]], block: int) -> Iterator[list[int]]:
    """Join documents into full blocks of `block` tokens; the incomplete last block is left out."""
    buffer: list[int] = []
    for document in documents:
        buffer.extend(document)
        while len(buffer) >= block:
            yield buffer[:block]
            buffer = buffer[block:]


View = Literal["swapped", "first", "second"]


def swap(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with their sentences in the other order."""
    return [Pair(pair.id, pair.sentence2, pair.sentence1, pair.label) for pair in pairs]


def encode_views(
    tokenizer: Tokenizer, pairs: Sequence[Pair], views: Iterable[View], max_length: int
) -> dict[str, list[list[int]]]:
    """Token ids of every view: `swapped` is the prompt of the swapped pair, `first` and `second` one sentence alone."""
    encoded: dict[str, list[list[int]]] = {}
    for view in views:
        if view == "swapped":
            encoded[view] = encode_pairs(tokenizer, swap(pairs), max_length)
        else:
            texts = [pair.sentence1 if view == "first" else pair.sentence2 for pair in pairs]
            encoded[view] = encode_texts(tokenizer, texts, max_length)
    return encoded
