"""Unsupervised SimCSE, a first stage: two dropout masks of one text are a positive pair.

Gao et al. 2021, section 3, https://arxiv.org/abs/2104.08821.
"""

from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.compute.data_parallel import spread
from pipeline.config.base import Block
from pipeline.objectives.terms import info_nce
from pipeline.text.batches import lengths_of

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.classifier import GPT2Classifier

VIEWS = ("first",)
TRAINS_HEAD = False
COLUMNS = {"question": "first", "prompt": "input_ids"}


class Options(Block):
    """`temperature` of the similarities; `text`: contrast single questions, or whole prompts as the report did."""

    temperature: float = Field(gt=0)
    text: Literal["question", "prompt"]


def loss(model: "GPT2Classifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE of the states that the head reads, with the other texts of the batch as negatives; one batch.

    Args:
        model: `pooled` maps ids (batch, tokens) and lengths (batch,) to states (batch, width); dropout on.
        batch: `input_ids` and `first` with their lengths.
    """
    name = COLUMNS[options.text]
    ids, lengths = batch[name], batch[lengths_of(name)]
    first, second = spread(model.pooled, torch.cat([ids, ids]), torch.cat([lengths, lengths])).chunk(2)
    contrast = info_nce(first, second, options.temperature)
    return contrast, {"info_nce": contrast}
