"""Top-p (nucleus) sampling, Holtzman et al. 2020 (https://arxiv.org/abs/1904.09751), without sorting the vocabulary.

The nucleus is the smallest set of most likely tokens whose probabilities reach p: a token belongs to it exactly when
the tokens that are likelier sum to less than p. So draw from the whole distribution and draw again while the token is
outside; what is accepted has the nucleus distribution. A redraw happens with probability at most 1 - p.

The draw itself inverts the distribution function in two steps, a block of tokens and a token of the block, so that no
running sum of the whole vocabulary is needed.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import pad

from pipeline.compute.reproducible import any_order
from pipeline.config.sonnet import Sampler
from pipeline.decoding.writer import Writer, Written
from pipeline.text.prepared import Poem

BLOCK = 128  # tokens
BELOW_ONE = 1 - 2**-40  # no rounding makes a share of a sum the whole sum, behind which no token is left


class Options(Sampler):
    """The nucleus."""

    decoder: Literal["top_p"]
    top_p: float = Field(gt=0, le=1)


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """Sampled poems."""
    choose = partial(top_p, p=options.top_p, temperature=options.temperature)
    return Written(writer.sample(poems, options.draws, choose, writer.limits(options)))


def top_p(logits: Tensor, uniforms: Tensor, p: float, temperature: float) -> Tensor:
    """Sample one token a row.

    Args:
        logits: (rows, vocabulary) float; probabilities and sums over likelier tokens have their type.
        uniforms: (rows, draws) float64 in [0, 1), one stream a row; the last one is kept for the sorted nucleus of a
            row whose other draws all miss.
        p: probability of the nucleus, in (0, 1].
        temperature: divides the logits before the nucleus is taken, as in transformers' `generate`.

    Returns:
        (rows,) int64 tokens.
    """
    if padding := -logits.shape[1] % BLOCK:
        logits = pad(logits, (0, padding), value=-torch.inf)
    probabilities = (logits if temperature == 1 else logits / temperature).softmax(-1)
    blocks = _cumulative(probabilities.unflatten(1, (-1, BLOCK)).sum(-1))
    if p == 1:
        return _drawn(probabilities, blocks, uniforms[:, 0])
    tokens = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    missing = torch.arange(len(logits), device=logits.device)  # the rows of `probabilities` and `blocks`
    *draws, spare = uniforms.unbind(1)
    for draw in draws:
        drawn = _drawn(probabilities, blocks, draw[missing])
        own = probabilities.gather(1, drawn[:, None])
        likelier = probabilities.where(probabilities > own, 0).sum(-1)
        tokens[missing] = drawn
        again = likelier >= p
        missing, probabilities, blocks = missing[again], probabilities[again], blocks[again]
        if not len(missing):
            return tokens
    tokens[missing] = _sorted_nucleus(probabilities.double(), spare[missing], p)
    return tokens


def _drawn(probabilities: Tensor, blocks: Tensor, uniforms: Tensor) -> Tensor:
    """(rows,) tokens by inverse CDF: of (rows, vocabulary) probabilities, one uniform number a row.

    `blocks` (rows, vocabulary / BLOCK) float64 are the cumulative sums of blocks of tokens.
    """
    block, share = _inverse(blocks, uniforms)
    inside = probabilities.unflatten(1, (-1, BLOCK))[torch.arange(len(block), device=block.device), block]
    return block * BLOCK + _inverse(_cumulative(inside), share)[0]


def _inverse(cumulative: Tensor, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """The places (rows,) in (rows, places) cumulative sums where shares (rows,) of the whole fall, and how far into it.

    Never a place whose own sum is zero.
    """
    wanted = uniforms.clamp(max=BELOW_ONE)[:, None] * cumulative[:, -1:]
    place = torch.searchsorted(cumulative, wanted, right=True)
    start = pad(cumulative, (1, 0)).gather(1, place)
    share = (wanted - start) / (cumulative.gather(1, place) - start)
    return place[:, 0], share[:, 0]


def _cumulative(sums: Tensor) -> Tensor:
    """Running sums of (rows, places), float64."""
    with any_order() if sums.is_cuda else nullcontext():  # CUDA adds these up in parts, in any order
        return sums.cumsum(-1, dtype=torch.float64)


def _sorted_nucleus(probabilities: Tensor, uniforms: Tensor, p: float) -> Tensor:
    """Tokens of the nucleus of (rows, vocabulary) float64 probabilities, one uniform number a row."""
    ordered, tokens = probabilities.sort(-1, descending=True)
    nucleus = _cumulative(ordered.where(_cumulative(ordered) - ordered < p, 0))
    return tokens.gather(1, _inverse(nucleus, uniforms)[0][:, None])[:, 0]
