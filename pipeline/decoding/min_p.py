"""Min-p filtering, Nguyen et al. 2024 (https://arxiv.org/abs/2407.01082): a floor that follows the likeliest token."""

import math

from torch import Tensor


def keep_min_p(logits: Tensor, min_p: float) -> Tensor:
    """Logits (rows, vocabulary) with minus infinity for tokens less likely than `min_p` times the likeliest one."""
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(min_p), float("-inf"))
