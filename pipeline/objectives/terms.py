"""Terms that several objectives share, each a direct transcription of its formula."""

from functools import partial

import torch
from torch import Tensor, nn


def symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the batch of (KL(p || q) + KL(q || p)) / 2 in nats, from logits (batch, classes) of p and q.

    R-Drop (Liang et al. 2021), equation 2.
    """
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    kl = partial(nn.functional.kl_div, reduction="batchmean", log_target=True)
    return (kl(q, p) + kl(p, q)) / 2


def info_nce(anchors: Tensor, candidates: Tensor, temperature: float, same: Tensor) -> Tensor:
    """Mean over i of -log(exp(cos(a_i, c_i) / t) / sum_j exp(cos(a_i, c_j) / t)), in float32 or better.

    Args:
        anchors: (n, width).
        candidates: (m, width) with m >= n: candidate i is the positive of anchor i, the others are negatives.
        same: (n, m) bool: other candidates that are no negatives either, since they have the text of the anchor.
    """
    wide = torch.promote_types(anchors.dtype, torch.float32)
    anchors, candidates = (nn.functional.normalize(states.to(wide), dim=-1) for states in (anchors, candidates))
    positive = torch.arange(len(anchors), device=anchors.device)
    others = same.clone()
    others[positive, positive] = False
    similarities = (anchors @ candidates.T / temperature).masked_fill(others, -torch.inf)
    return nn.functional.cross_entropy(similarities, positive)


def same_text(texts: tuple[Tensor, Tensor], others: tuple[Tensor, Tensor]) -> Tensor:
    """Which of n texts and m others are equal, (n, m) bool; each is ids (rows, width), padded alike, and lengths."""
    (ids, lengths), (other_ids, other_lengths) = texts, others
    return (ids[:, None] == other_ids).all(2) & (lengths[:, None] == other_lengths)
