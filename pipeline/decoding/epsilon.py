"""Epsilon sampling, Hewitt et al. 2022 (https://arxiv.org/abs/2210.15191): nothing less likely than epsilon."""

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from pipeline.config.sonnet import Sampler, System
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer, Written
from pipeline.text.prepared import Generated, Poem


class Options(Sampler):
    decoder: Literal["epsilon"]
    epsilon: float = Field(gt=0, lt=1)


class Pool(System):
    samples: int = Field(ge=1)  # per prompt, to choose from
    epsilon: float = Field(gt=0, lt=1)
    temperature: float = Field(gt=0)


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    return Written(samples(writer, poems, options.draws, options))


def samples(writer: Writer, poems: list[Poem], count: int, options: Options | Pool) -> list[Generated]:
    return writer.sample(poems, count, options, epsilon, least=options.epsilon, temperature=options.temperature)


def epsilon(logits: Tensor, uniforms: Tensor, least: float, temperature: float) -> Tensor:
    """Sample one token a row, as `top_p` does, none of a probability below `least`; the likeliest stays."""
    logits = logits / temperature
    kept = (logits.log_softmax(-1) >= math.log(least)) | (logits == logits.amax(-1, keepdim=True))
    return top_p(logits.masked_fill(~kept, float("-inf")), uniforms, 1.0, 1.0)
