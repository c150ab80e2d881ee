"""Unsupervised SimCSE, a first stage: two dropout masks of one text are a positive pair.

Gao et al. 2021, section 3, https://arxiv.org/abs/2104.08821.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from torch import Tensor

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import info_nce, same_text
from pipeline.text.batches import stack

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import Classifier

VIEWS = ("first", "second")
TRAINS_HEAD = False


class Options(Block):
    """`temperature` of the similarities; `text`: contrast single questions, or whole prompts as the report did."""

    temperature: float = Field(gt=0)
    text: Literal["question", "prompt"]


def loss(model: "Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE of the states that the head reads; the other texts of the batch are negatives, in one pass.

    Both questions of a pair are texts, and one that occurs twice in the batch is not its own negative.

    Args:
        model: `pooled` maps ids (batch, tokens) and lengths (batch,) to states (batch, width); dropout on.
        batch: `input_ids`, `first` and `second` with their lengths.
    """
    columns = ["first", "second"] if options.text == "question" else ["input_ids"]
    texts = stack(batch, columns)
    first, second = spread(model.pooled, *stack(batch, columns * 2)).chunk(2)
    contrast = info_nce(first, second, options.temperature, same_text(texts, texts))
    return contrast, {"info_nce": contrast}
