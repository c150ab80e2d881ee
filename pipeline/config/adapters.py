"""Parameters of `adapter`: few new weights beside a frozen backbone, instead of a change of all its weights."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config.base import Block


class Lora(Block):
    """Low-rank updates of weight matrices: LoRA (https://arxiv.org/abs/2106.09685), DoRA (https://arxiv.org/abs/2402.09353).

    An update is alpha / r * B A with B (out, r) and A (r, in).
    """

    kind: Literal["lora"]
    r: int = Field(ge=1)
    alpha: int = Field(ge=1)
    dropout: float = Field(ge=0, lt=1)  # of the input of A
    targets: list[Literal["c_attn", "c_proj", "c_fc"]] = Field(min_length=1)  # GPT-2's matrices, in all blocks
    dora: bool  # magnitude and direction apart


class Prefix(Block):
    """Learnt keys and values before the text, in each block: prefix-tuning (https://aclanthology.org/2021.acl-long.353)."""

    kind: Literal["prefix"]
    tokens: int = Field(ge=1)  # virtual tokens, which take up context
    projection: bool  # the paper's reparametrisation by a two-layer network; without it, the keys and values themselves


Adapter = Annotated[Lora | Prefix, Field(discriminator="kind")]
