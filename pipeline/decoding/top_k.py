"""Top-k filtering, Fan et al. 2018 (https://arxiv.org/abs/1805.04833): only the k likeliest tokens may be sampled."""

from torch import Tensor


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (rows, vocabulary) with minus infinity for all but the k largest of each row; those that tie stay."""
    if k >= logits.shape[-1]:
        return logits
    return logits.masked_fill(logits < logits.topk(k).values[:, -1:], float("-inf"))
