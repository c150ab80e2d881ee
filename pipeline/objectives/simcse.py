"""Unsupervised SimCSE, a first stage: two dropout masks of one text are a positive pair.

Gao et al. 2021, section 3, https://arxiv.org/abs/2104.08821.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from torch import Tensor

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import info_nce
from pipeline.text.batches import stack

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import Classifier

VIEWS = ("first",)
TRAINS_HEAD = False


class Options(Block):
    """`temperature` of the similarities; `text`: contrast single questions, or whole prompts as the report did."""

    temperature: float = Field(gt=0)
    text: Literal["question", "prompt"]


def loss(model: "Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE of the states that the head reads, with the other texts of the batch as negatives; one batch.

    Args:
        model: `pooled` maps ids (batch, tokens) and lengths (batch,) to states (batch, width); dropout on.
        batch: `input_ids` and `first` with their lengths.
    """
    column = "first" if options.text == "question" else "input_ids"
    first, second = spread(model.pooled, *stack(batch, [column] * 2)).chunk(2)
    contrast = info_nce(first, second, options.temperature)
    return contrast, {"info_nce": contrast}
