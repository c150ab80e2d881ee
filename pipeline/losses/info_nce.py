"""InfoNCE with cosine similarity: the contrastive loss of SimCSE (Gao et al. 2021, equation 1)."""

import torch
from torch import Tensor, nn


def info_nce(anchors: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """Mean over i of -log(exp(cos(a_i, c_i) / t) / sum_j exp(cos(a_i, c_j) / t)), in float32 or better.

    Args:
        anchors: (n, width).
        candidates: (m, width) with m >= n: candidate i is the positive of anchor i, every other one is a negative.
    """
    anchors, candidates = (
        nn.functional.normalize(states.double() if states.dtype == torch.float64 else states.float(), dim=-1)
        for states in (anchors, candidates)
    )
    similarities = anchors @ candidates.T / temperature
    return nn.functional.cross_entropy(similarities, torch.arange(len(anchors), device=anchors.device))
