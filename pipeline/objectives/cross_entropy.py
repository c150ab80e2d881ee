"""Cross-entropy of a classifier: the baseline objective."""

from typing import Any

from torch import Tensor, nn


def loss(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy over the batch.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes).
        batch: `input_ids`, `lengths`, `labels` (batch,) int64.
    """
    logits = model(batch["input_ids"], batch["lengths"])
    return nn.functional.cross_entropy(logits, batch["labels"]), {}
