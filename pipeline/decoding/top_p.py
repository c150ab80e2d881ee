"""Top-p (nucleus) sampling, Holtzman et al. 2020 (https://arxiv.org/abs/1904.09751), without sorting the vocabulary.

The nucleus is the smallest set of most likely tokens whose probabilities reach p: a token belongs to it exactly when
the tokens that are likelier sum to less than p. So draw from the whole distribution and draw again while the token is
outside; what is accepted has the nucleus distribution. A redraw happens with probability at most 1 - p.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.compute.reproducible import any_order
from pipeline.config.sonnet import Sampler
from pipeline.decoding.writer import Writer, Written
from pipeline.text.prepared import Poem


class Options(Sampler):
    decoder: Literal["top_p"]
    top_p: float = Field(gt=0, le=1)


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    found = writer.sample(poems, options.draws, options, top_p, p=options.top_p, temperature=options.temperature)
    return Written(found)


def top_p(logits: Tensor, uniforms: Tensor, p: float, temperature: float) -> Tensor:
    """Sample one token (rows,) int64 a row of logits (rows, vocabulary), of a nucleus of probability p in (0, 1].

    `uniforms` (rows, draws) float64 in [0, 1) has one stream a row; its last is for the sorted nucleus of a row whose
    other draws all miss. As in transformers' `generate`, the temperature divides the logits first.
    """
    probabilities = (logits / temperature).softmax(-1)
    sums = _cumulative(probabilities)
    if p == 1:
        return _drawn(sums, uniforms[:, 0])
    tokens = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    missing = torch.arange(len(logits), device=logits.device)  # the rows of `probabilities` and `sums`
    *draws, spare = uniforms.unbind(1)
    for draw in draws:
        tokens[missing] = drawn = _drawn(sums, draw[missing])
        own = probabilities.gather(1, drawn[:, None])
        again = probabilities.where(probabilities > own, 0).sum(-1) >= p  # the likelier ones are the nucleus without it
        missing, probabilities, sums = missing[again], probabilities[again], sums[again]
        if not len(missing):
            return tokens
    ordered, places = probabilities.double().sort(-1, descending=True)
    nucleus = _cumulative(ordered.where(_cumulative(ordered) - ordered < p, 0))
    tokens[missing] = places.gather(1, _drawn(nucleus, spare[missing])[:, None])[:, 0]
    return tokens


def _drawn(sums: Tensor, uniforms: Tensor) -> Tensor:
    """(rows,) tokens by inverse CDF, none of probability 0: of running sums (rows, places), a number (rows,) each."""
    # Below the whole sum in spite of rounding: behind it no token is left.
    wanted = uniforms.clamp(max=1 - 2**-40)[:, None] * sums[:, -1:]
    return torch.searchsorted(sums, wanted, right=True)[:, 0]


def _cumulative(sums: Tensor) -> Tensor:
    """Running sums of (rows, places), float64."""
    with any_order():  # CUDA adds these up in parts
        return sums.cumsum(-1, dtype=torch.float64)
