"""The encodings of a pair that objectives ask for."""

from collections.abc import Iterable, Sequence
from typing import Literal

from tokenizers import Tokenizer

from pipeline.text.prepared import Pair
from pipeline.text.prompts import encode_pairs, encode_texts

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
