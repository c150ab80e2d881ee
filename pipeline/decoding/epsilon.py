"""Epsilon sampling, Hewitt et al. 2022 (https://arxiv.org/abs/2210.15191): nothing less likely than epsilon."""

import math

from torch import Tensor


def keep_epsilon(logits: Tensor, epsilon: float) -> Tensor:
    """Logits (rows, vocabulary) with minus infinity for tokens of probability below `epsilon`; the likeliest stays."""
    kept = (logits.log_softmax(-1) >= math.log(epsilon)) | (logits == logits.amax(-1, keepdim=True))
    return logits.masked_fill(~kept, float("-inf"))
