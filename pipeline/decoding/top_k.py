"""Top-k sampling, Fan et al. 2018 (https://arxiv.org/abs/1805.04833): only the k likeliest tokens may be drawn."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from pipeline.config.sonnet import Sampler
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer, Written
from pipeline.text.prepared import Poem


class Options(Sampler):
    decoder: Literal["top_k"]
    top_k: int = Field(ge=1)


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    found = writer.sample(poems, options.draws, options, top_k, k=options.top_k, temperature=options.temperature)
    return Written(found)


def top_k(logits: Tensor, uniforms: Tensor, k: int, temperature: float) -> Tensor:
    """Sample one token a row, as `top_p` does."""
    return top_p(keep_top_k(logits / temperature, k), uniforms, 1.0, 1.0)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits (rows, vocabulary) with minus infinity for all but the k largest of each row; those that tie stay."""
    least = logits.topk(min(k, logits.shape[-1])).values[:, -1:]
    return logits.masked_fill(logits < least, float("-inf"))
