"""Cross-entropy and SimCSE at once: CE + weight * InfoNCE (+ kl_weight * divergence of the two dropout masks)."""

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.compute.data_parallel import spread
from pipeline.objectives import simcse
from pipeline.objectives.terms import symmetric_kl
from pipeline.text.batches import stack

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import Classifier

VIEWS = simcse.VIEWS


class Options(simcse.Options):
    """Weights of the terms beside the cross-entropy."""

    label_smoothing: float = Field(ge=0, lt=1)
    weight: float = Field(ge=0)
    kl_weight: float = Field(ge=0)


def loss(model: "Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of the terms; with `kl_weight` the cross-entropy is the mean over two dropout masks.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes); dropout on.
        batch: `input_ids`, `first` and `second` with their lengths, `labels` (batch,) int64.
    """
    masks = 2 if options.kl_weight else 1
    logits = spread(model, *stack(batch, ["input_ids"] * masks))
    labels = torch.cat([batch["labels"]] * masks)
    entropy = nn.functional.cross_entropy(logits, labels, label_smoothing=options.label_smoothing)
    contrast, parts = simcse.loss(model, batch, options)
    total = entropy + options.weight * contrast
    if options.kl_weight:
        parts["kl"] = symmetric_kl(*logits.chunk(2))
        total = total + options.kl_weight * parts["kl"]
    return total, {"cross_entropy": entropy, **parts}
