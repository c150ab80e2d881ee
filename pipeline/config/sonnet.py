"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Block
from pipeline.config.training import Training


class Sonnet(Training):
    """One fine-tuned sonnet model."""

    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class System(Block):
    """A model and a decoder."""

    model: str = Field(min_length=1)  # a folder of models/: `backbone` or `sonnet/<a key of sonnet.methods>`
    decoder: Literal["top_p"]
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)
    draws: int = Field(ge=1)  # independent poems per prompt
