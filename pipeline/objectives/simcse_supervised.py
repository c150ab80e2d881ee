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
from pipeline.objectives.terms import info_nce, same_text
from pipeline.text.batches import on_host, places, stack

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import Classifier

VIEWS = ("first", "second")
TRAINS_HEAD = False


class Options(Block):
    """`temperature` of the similarities."""

    temperature: float = Field(gt=0)


def loss(model: "Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE of every first question against all positives and all hard negatives of the batch, in one pass.

    A question that occurs elsewhere in the batch, as another pair's, is not its own negative.

    Args:
        model: `pooled` maps ids (batch, tokens) and lengths (batch,) to states (batch, width); dropout on.
        batch: `first` and `second` with their lengths, `labels` (batch,) int64.
    """
    duplicate = batch["labels"] == 1
    different = places(on_host(batch, "labels") != 1, duplicate.device)
    views = stack(batch, ["first", "first", "second"])
    anchors, again, second = spread(model.pooled, *views).chunk(3)
    (first_ids, _, second_ids), (first_lengths, _, second_lengths) = (values.chunk(3) for values in views)

    def candidates(first: Tensor, second: Tensor) -> Tensor:
        chosen = duplicate if first.ndim == 1 else duplicate[:, None]
        return torch.cat([torch.where(chosen, second, first), second[different]])

    texts = candidates(first_ids, second_ids), candidates(first_lengths, second_lengths)
    ids, lengths = (values[: len(anchors)] for values in texts)  # of the positives
    same = same_text((first_ids, first_lengths), texts) | same_text((ids, lengths), texts)
    contrast = info_nce(anchors, candidates(again, second), options.temperature, same)
    return contrast, {"info_nce": contrast}
