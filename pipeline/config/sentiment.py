"""Block `sentiment`: rows on SST-5 and CFIMDB."""

from typing import Literal

from pydantic import Field

from pipeline.config.training import Training

NUM_LABELS = {"sst": 5, "cfimdb": 2}


class Sentiment(Training):
    """One row of the sentiment table."""

    dataset: Literal["sst", "cfimdb"]
    mode: Literal["head", "full"]  # head: the backbone is frozen (the course's last-linear-layer mode)
    head_dropout: float = Field(ge=0, lt=1)
