"""Block `paraphrase`: rows on Quora Question Pairs."""

from typing import Literal

from pydantic import Field

from pipeline.config.training import Training


class Paraphrase(Training):
    """One row of the paraphrase table."""

    objective: Literal["cross_entropy"]
    pooling: Literal["last", "mean"]  # over the real tokens of the prompt
    head_dropout: float = Field(ge=0, lt=1)
