"""Cross-entropy of a classifier: the baseline objective."""

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block

VIEWS: tuple[str, ...] = ()


class Options(Block):
    """`label_smoothing`: the share of a label's probability that is spread over all classes."""

    label_smoothing: float = Field(ge=0, lt=1)


def loss(model: nn.Module, batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy over the batch.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes).
        batch: `input_ids`, `lengths`, `labels` (batch,) int64.
    """
    logits = spread(model, batch["input_ids"], batch["lengths"])
    return nn.functional.cross_entropy(logits, batch["labels"], label_smoothing=options.label_smoothing), {}
