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


def info_nce(anchors: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """Mean over i of -log(exp(cos(a_i, c_i) / t) / sum_j exp(cos(a_i, c_j) / t)), in float32 or better.

    Args:
        anchors: (n, width).
        candidates: (m, width) with m >= n: candidate i is the positive of anchor i, every other one is a negative.
    """
    wide = torch.promote_types(anchors.dtype, torch.float32)
    anchors, candidates = (nn.functional.normalize(states.to(wide), dim=-1) for states in (anchors, candidates))
    similarities = anchors @ candidates.T / temperature
    return nn.functional.cross_entropy(similarities, torch.arange(len(anchors), device=anchors.device))
