"""No n-gram of tokens twice: the ban that beam search and contrastive search share."""

from collections.abc import Sequence

from torch import Tensor


def ban_repeated(logits: Tensor, texts: Sequence[list[int]], order: int) -> Tensor:
    """Logits (rows, vocabulary) with minus infinity for each token that would repeat an n-gram of its text.

    A row in which no other token is left keeps its logits: something must be written.
    """
    banned = logits.clone()
    for row, text in enumerate(texts):
        tokens = repeating(text, order)
        banned[row, tokens] = -float("inf")
        if tokens and banned[row].max() == -float("inf"):
            banned[row] = logits[row]
    return banned


def repeating(text: Sequence[int], order: int) -> list[int]:
    """The tokens that would complete an n-gram which `text` holds already."""
    if len(text) < order:
        return []
    last = tuple(text[len(text) - order + 1 :])
    grams = (tuple(text[start : start + order]) for start in range(len(text) - order + 1))
    return sorted({gram[-1] for gram in grams if gram[:-1] == last})
