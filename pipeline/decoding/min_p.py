"""Min-p sampling, Nguyen et al. 2024 (https://arxiv.org/abs/2407.01082): a floor that follows the likeliest token."""

import math
from typing import Literal

from pydantic import Field
from torch import Tensor

from pipeline.config.sonnet import Sampler
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer, Written
from pipeline.text.prepared import Poem


class Options(Sampler):
    decoder: Literal["min_p"]
    min_p: float = Field(gt=0, le=1)


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    found = writer.sample(poems, options.draws, options, min_p, share=options.min_p, temperature=options.temperature)
    return Written(found)


def min_p(logits: Tensor, uniforms: Tensor, share: float, temperature: float) -> Tensor:
    """Sample one token a row, as `top_p` does, none less likely than `share` times the likeliest one."""
    logits = logits / temperature
    floor = logits.amax(-1, keepdim=True) + math.log(share)
    return top_p(logits.masked_fill(logits < floor, float("-inf")), uniforms, 1.0, 1.0)
