"""Text to token ids: the cloze prompt for pairs, plain text for reviews, poems with their end; padding into batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer

from pipeline.errors import InputError
from pipeline.text.prepared import Pair
from pipeline.text.tokenizer import end_of_text

# The report's prompt without its trailing space, which a byte-level BPE turns into a token of its own.
CLOZE = 'Is "{}" a paraphrase of "{}"? Answer "yes" or "no":'


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


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad rows (`input_ids`, optional `labels`) on the right to the longest.

    Returns:
        input_ids (batch, longest) int64, padded with 0; lengths (batch,) int64; labels (batch,) int64 if given.
    """
    lengths = torch.tensor([len(row["input_ids"]) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for row, target in zip(rows, ids, strict=True):
        target[: len(row["input_ids"])] = torch.tensor(row["input_ids"])
    batch = {"input_ids": ids, "lengths": lengths}
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch
