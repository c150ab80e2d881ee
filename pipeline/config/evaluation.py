"""Block `evaluation`."""

from pydantic import Field

from pipeline.config.base import Block


class Evaluation(Block):
    """Bootstrap intervals of every table."""

    bootstrap: int = Field(ge=100)  # resamples
    confidence: float = Field(gt=0.5, lt=1)
