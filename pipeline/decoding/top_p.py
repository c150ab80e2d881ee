"""Top-p (nucleus) sampling, Holtzman et al. 2020 (https://arxiv.org/abs/1904.09751), without sorting the vocabulary.

The nucleus is the smallest set of most likely tokens whose probabilities reach p: a token belongs to it exactly when
the tokens that are likelier sum to less than p. So draw from the whole distribution and draw again while the token is
outside; what is accepted has the nucleus distribution. A redraw happens with probability at most 1 - p.
"""

from contextlib import nullcontext

import torch
from torch import Tensor

from pipeline.determinism import any_order


def top_p(logits: Tensor, uniforms: Tensor, p: float, temperature: float) -> Tensor:
    """Sample one token a row.

    Args:
        logits: (rows, vocabulary) float; probabilities have their type, sums are float64.
        uniforms: (rows, draws) float64 in [0, 1), one stream a row; the last one is kept for the sorted nucleus of a
            row whose other draws all miss.
        p: probability of the nucleus, in (0, 1].
        temperature: divides the logits before the nucleus is taken, as in transformers' `generate`.

    Returns:
        (rows,) int64 tokens.
    """
    probabilities = (logits if temperature == 1 else logits / temperature).softmax(-1)
    with any_order() if logits.is_cuda else nullcontext():  # CUDA adds these up in parts, in any order
        cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    if p == 1:
        return _drawn(cumulative, uniforms[:, 0])
    tokens = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    missing = torch.arange(len(logits), device=logits.device)  # the rows of `probabilities` and `cumulative`
    *draws, spare = uniforms.unbind(1)
    for draw in draws:
        drawn = _drawn(cumulative, draw[missing])
        own = probabilities.gather(1, drawn[:, None])
        likelier = probabilities.where(probabilities > own, 0).sum(-1, dtype=torch.float64)
        tokens[missing] = drawn
        again = likelier >= p
        missing, probabilities, cumulative = missing[again], probabilities[again], cumulative[again]
        if not len(missing):
            return tokens
    tokens[missing] = _sorted_nucleus(probabilities.double(), spare[missing], p)
    return tokens


def _drawn(cumulative: Tensor, uniforms: Tensor) -> Tensor:
    """(rows,) tokens by inverse CDF: of (rows, vocabulary) cumulative probabilities, one uniform number a row."""
    tokens = torch.searchsorted(cumulative, uniforms[:, None] * cumulative[:, -1:], right=True)
    return tokens[:, 0].clamp(max=cumulative.shape[1] - 1)


def _sorted_nucleus(probabilities: Tensor, uniforms: Tensor, p: float) -> Tensor:
    """Tokens of the nucleus of (rows, vocabulary) float64 probabilities, one uniform number a row."""
    ordered, tokens = probabilities.sort(-1, descending=True)
    with any_order() if probabilities.is_cuda else nullcontext():
        nucleus = ordered.where(ordered.cumsum(-1) - ordered < p, 0).cumsum(-1)
    return tokens.gather(1, _drawn(nucleus, uniforms)[:, None])[:, 0]
