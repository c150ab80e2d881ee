"""Supervised SimCSE on question pairs, a first stage: duplicates attract, non-duplicates are hard negatives.

Gao et al. 2021, equation 5. Its triples (x, x+, x-) come from NLI; a pair of questions has either x+ (a duplicate) or
x- (a non-duplicate). The latter's positive is the question itself under another dropout mask, as without supervision.
"""

from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch import Tensor

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import info_nce
from pipeline.text.batches import on_host, places, stack

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import Classifier

VIEWS = ("first", "second")
TRAINS_HEAD = False


class Options(Block):
    """`temperature` of the similarities."""

    temperature: float = Field(gt=0)


def loss(model: "Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE of every first question against all positives and all hard negatives of the batch; one batch.

    Args:
        model: `pooled` maps ids (batch, tokens) and lengths (batch,) to states (batch, width); dropout on.
        batch: `first` and `second` with their lengths, `labels` (batch,) int64.
    """
    duplicate = batch["labels"][:, None] == 1
    anchors, again, second = spread(model.pooled, *stack(batch, ["first", "first", "second"])).chunk(3)
    positives = torch.where(duplicate, second, again)
    negatives = second[places(on_host(batch, "labels") != 1, second.device)]
    contrast = info_nce(anchors, torch.cat([positives, negatives]), options.temperature)
    return contrast, {"info_nce": contrast}
