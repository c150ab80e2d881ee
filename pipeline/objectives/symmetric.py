"""Symmetric: a pair must get the same answer in both orders; ours, R-Drop with the order as the second difference."""

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import symmetric_kl
from pipeline.text.batches import stack

VIEWS = ("swapped",)


class Options(Block):
    """`alpha`: weight of the divergence between the two orders."""

    alpha: float = Field(ge=0)


def loss(model: nn.Module, batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """CE(p) + CE(p') + alpha / 2 * (KL(p || p') + KL(p' || p)) for (s1, s2) and (s2, s1), in one batch.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes); dropout on.
        batch: `input_ids`, `lengths`, `swapped`, `swapped_lengths`, `labels` (batch,) int64.
    """
    logits = spread(model, *stack(batch, ["input_ids", "swapped"]))
    first, second = logits.chunk(2)
    divergence = symmetric_kl(first, second)
    entropies = sum(nn.functional.cross_entropy(view, batch["labels"]) for view in (first, second))
    return entropies + options.alpha * divergence, {"kl": divergence}
