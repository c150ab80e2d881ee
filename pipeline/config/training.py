"""Parameters of the one training loop and of adapters, and block `compute`."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config.base import Block, Seed

SEARCH_TRIAL = "SEARCH_TRIAL"  # environment of a trial of `make search`; see pipeline/training/pruning.py


class Compute(Block):
    precision: Literal["portable", "fp32", "bf16"]  # see pipeline/compute/reproducible.py
    threads: int | None = Field(ge=1)  # of the CPU; fp32 and bf16 repeat bit by bit for one number. null: one a core
    processes: int = Field(ge=1)  # that share each stage with a model; on CUDA each has a GPU of its own


class Training(Block):
    """AdamW with linear warm-up, then linear decay or a constant rate."""

    lr: float = Field(gt=0, le=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    schedule: Literal["linear", "constant"]
    warmup: float = Field(ge=0, lt=1)  # share of all steps
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)  # of the backbone: embeddings, attention and residual branches
    max_length: int = Field(ge=16)  # tokens
    evaluations_per_epoch: float = Field(gt=0)  # on `select`; the best model is kept. 0.2: every fifth epoch
    seed: Seed | None  # null: that of params.yaml
    checkpoint_steps: int = Field(ge=1)  # how much work a killed run may lose; has no effect on the result
    ema: float | None = Field(gt=0, lt=1)  # decay of the moving average that takes the place of the weights; null: none
    soup: int = Field(ge=1)  # so many of the best models on `select`, averaged, are the result; 1: the best alone

    def steps(self, rows: int) -> int:
        """Optimiser steps over `rows` training rows."""
        return self.epochs * math.ceil(rows / self.batch_size)

    def evaluate_steps(self, rows: int) -> int:
        """Steps between two evaluations."""
        return math.ceil(math.ceil(rows / self.batch_size) / self.evaluations_per_epoch)


# Weight matrices of every block: queries, keys and values; what mixes the heads' outputs; the MLP.
Target = Literal["attention", "output", "mlp"]


class Lora(Block):
    """Low-rank updates of weight matrices: LoRA (https://arxiv.org/abs/2106.09685), DoRA (https://arxiv.org/abs/2402.09353).

    An update is alpha / r * B A with B (out, r) and A (r, in).
    """

    kind: Literal["lora"]
    r: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)  # of the input of A
    targets: list[Target] = Field(min_length=1)
    dora: bool  # magnitude and direction apart


class Prefix(Block):
    """Learnt keys and values before the text, in each block: prefix-tuning (https://aclanthology.org/2021.acl-long.353)."""

    kind: Literal["prefix"]
    tokens: int = Field(ge=1)  # virtual tokens, which take up context
    projection: bool  # the paper's reparametrisation by a two-layer network; without it, the keys and values themselves
    hidden: int | None = Field(ge=1)  # width of that network; null: that of a token's keys in a block
    layers: int | None = Field(ge=1)  # the last so many blocks have a prefix, the others see none; null: all have one
    init: str | None = Field(min_length=1)  # words whose keys and values it begins as, repeated or cut (section 7.4)

    @model_validator(mode="after")
    def _consistent(self) -> "Prefix":
        if (self.init and self.projection) or (self.hidden and not self.projection):
            raise ValueError("init wants projection false, and hidden wants it true; set the other to null")
        return self


class PoemPrefix(Prefix):
    parts: Literal[1, 4]  # 4: `tokens` for each quatrain and for the couplet, which are seen in those lines alone


Adapter = Annotated[Lora | PoemPrefix, Field(discriminator="kind")]
