"""Blocks `data`, `text` and `backbone`: the raw files, how they are read, and the language model of every row."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Block


class Data(Block):
    path: str = Field(min_length=1)  # a folder in the course layout, or a manifest (.yaml) of files to download


class SelectShare(Block):
    sst: float = Field(gt=0, lt=0.9)
    cfimdb: float = Field(gt=0, lt=0.9)
    paraphrase: float = Field(gt=0, lt=0.9)
    sonnets: float = Field(gt=0, lt=0.9)


class HeldOut(Block):
    ap_h: float = Field(gt=0, lt=0.9)


class TrainRows(Block):
    sst: int | None = Field(ge=10)
    cfimdb: int | None = Field(ge=10)
    paraphrase: int | None = Field(ge=10)


class Text(Block):
    style: Literal["cased", "course"]  # see pipeline/text/normalise.py
    select: SelectShare  # share of each training file that is carved out for model selection
    held_out: HeldOut  # share of a training file that is held out to test on, where no other file is there to do so
    train_rows: TrainRows  # most rows kept of each training file before `select` is carved out; null keeps all


Corpus = Literal["pairs", "paraphrase", "sst", "cfimdb", "sonnets", "etpc", "plays"]


class Hub(Block):
    name: str = Field(min_length=1)  # of a model of the Hugging Face hub
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")  # the commit


class Package(Block):
    """A GGUF file in a distribution of the Python package index."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[0-9][A-Za-z0-9.]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")  # of the wheel
    file: str = Field(pattern=r"^[^/].*\.gguf$")  # in the wheel


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
    schedule: ClassVar = "linear"
    max_grad_norm: ClassVar = 1.0
    ema: ClassVar = None
    soup: ClassVar = 1

    @model_validator(mode="after")
    def _consistent(self) -> "Scratch":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        if self.block > self.context:
            raise ValueError(f"block {self.block} must not exceed context {self.context}")
        if self.tokens < self.block * self.batch_size:
            raise ValueError(f"tokens {self.tokens} is less than one step ({self.block} x {self.batch_size})")
        return self

    def steps(self, rows: int) -> int:
        """Optimiser steps; the `rows`, packed sequences, are repeated until the budget is spent."""
        return self.tokens // (self.block * self.batch_size)

    def evaluate_steps(self, rows: int) -> int:
        """Nothing is evaluated: ten times as many steps as points of the training curve."""
        return max(1, self.steps(rows) // 10)


class Backbone(Block):
    source: Literal["hub", "path", "gguf", "package", "scratch"]  # of models/backbone; the others are not used
    hub: Hub
    path: str  # a folder as `save_pretrained` leaves it
    gguf: str  # a file
    package: Package
    scratch: Scratch
