"""Cross-entropy and SimCSE at once: CE + weight * InfoNCE (+ kl_weight * divergence of the two dropout masks)."""

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import info_nce, symmetric_kl
from pipeline.text.batches import lengths_of

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import GPT2Classifier

VIEWS = ("first",)
COLUMNS = {"question": "first", "prompt": "input_ids"}


class Options(Block):
    """Weights of the terms beside the cross-entropy; `temperature` and `text` as in simcse.py."""

    label_smoothing: float = Field(ge=0, lt=1)
    weight: float = Field(ge=0)
    kl_weight: float = Field(ge=0)
    temperature: float = Field(gt=0)
    text: Literal["question", "prompt"]


def loss(model: "GPT2Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """The sum of the terms; with `kl_weight` the cross-entropy is the mean over two dropout masks.

    Args:
        model: maps input_ids (batch, tokens) and lengths (batch,) to logits (batch, classes); dropout on.
        batch: `input_ids` and `first` with their lengths, `labels` (batch,) int64.
    """
    masks = 2 if options.kl_weight else 1
    logits = spread(model, torch.cat([batch["input_ids"]] * masks), torch.cat([batch["lengths"]] * masks))
    labels = torch.cat([batch["labels"]] * masks)
    entropy = nn.functional.cross_entropy(logits, labels, label_smoothing=options.label_smoothing)
    divergence = symmetric_kl(*logits.chunk(2)) if options.kl_weight else logits.new_zeros(())

    name = COLUMNS[options.text]
    ids, lengths = batch[name], batch[lengths_of(name)]
    first, second = spread(model.pooled, torch.cat([ids, ids]), torch.cat([lengths, lengths])).chunk(2)
    contrast = info_nce(first, second, options.temperature)
    total = entropy + options.kl_weight * divergence + options.weight * contrast
    return total, {"cross_entropy": entropy, "kl": divergence, "info_nce": contrast}
