"""Block `backbone`: the language model that every row starts from."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.config.base import Block

Corpus = Literal["pairs", "paraphrase", "sst", "cfimdb", "sonnets", "etpc", "plays"]


class Hub(Block):
    """A model of the Hugging Face hub, pinned to a commit."""

    name: str = Field(min_length=1)
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")


class Scratch(Block):
    """A GPT-2 of any size, trained here on the prepared training text."""

    # Training splits only; absent optional files are skipped. `paraphrase` is every question alone, `pairs` the cloze
    # prompts without their answers: reading two questions side by side teaches the model to compare them.
    corpora: list[Corpus] = Field(min_length=1)
    vocab_size: int = Field(ge=300)  # byte-level BPE: 256 bytes, the end-of-text token, merges
    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    context: int = Field(ge=64)  # positions of the model, tokens
    block: int = Field(ge=16)  # packed sequence length in pre-training, tokens
    tokens: int = Field(ge=1000)  # pre-training budget
    batch_size: int = Field(ge=1)  # packed sequences a step
    lr: float = Field(gt=0, le=1)
    warmup: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    dropout: float = Field(ge=0, lt=1)
    checkpoint_steps: int = Field(ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "Scratch":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.block > self.context:
            raise ValueError(f"block {self.block} must not exceed context {self.context}")
        if self.tokens < self.block * self.batch_size:
            raise ValueError(f"tokens {self.tokens} is less than one step ({self.block} x {self.batch_size})")
        return self


class Backbone(Block):
    """Where models/backbone comes from: `source` picks one of the three sub-blocks, the others are not used."""

    source: Literal["hub", "path", "scratch"]
    hub: Hub
    path: str
    scratch: Scratch
