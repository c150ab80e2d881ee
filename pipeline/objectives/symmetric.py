"""Symmetric: a pair must get the same answer in both orders; ours, R-Drop with the order as the second difference."""

from typing import Any

from torch import Tensor, nn

from pipeline.objectives import r_drop

VIEWS = ("swapped",)


class Options(r_drop.Options):
    """`alpha`: weight of the divergence between the two orders."""


def loss(model: nn.Module, batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """CE(p) + CE(p') + alpha / 2 * (KL(p || p') + KL(p' || p)) for (s1, s2) and (s2, s1), in one batch.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes); dropout on.
        batch: `input_ids`, `lengths`, `swapped`, `swapped_lengths`, `labels` (batch,) int64.
    """
    return r_drop.agree(model, batch, ["input_ids", "swapped"], options.alpha)
