"""R-Drop: two dropout masks of one batch must agree (Liang et al. 2021, https://arxiv.org/abs/2106.14448)."""

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import symmetric_kl
from pipeline.text.batches import stack

VIEWS: tuple[str, ...] = ()


class Options(Block):
    """`alpha`: weight of the divergence."""

    alpha: float = Field(ge=0)


def loss(model: nn.Module, batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """CE(p1) + CE(p2) + alpha / 2 * (KL(p1 || p2) + KL(p2 || p1)), equation 4; both passes run as one batch.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes); dropout on.
        batch: `input_ids`, `lengths`, `labels` (batch,) int64.
    """
    return agree(model, batch, ["input_ids", "input_ids"], options.alpha)


def agree(model: nn.Module, batch: dict[str, Any], views: list[str], alpha: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The cross-entropies of two views of a batch and alpha times their divergence, which is also given alone."""
    first, second = spread(model, *stack(batch, views)).chunk(2)
    divergence = symmetric_kl(first, second)
    entropies = sum(nn.functional.cross_entropy(view, batch["labels"]) for view in (first, second))
    return entropies + alpha * divergence, {"kl": divergence}
