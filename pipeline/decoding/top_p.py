"""Top-p (nucleus) sampling, Holtzman et al. 2020 (https://arxiv.org/abs/1904.09751), without sorting the vocabulary.

The nucleus is the smallest set of most likely tokens whose probabilities reach p: a token belongs to it exactly when
the tokens that are likelier sum to less than p. So draw from the whole distribution and draw again while the token is
outside; what is accepted has the nucleus distribution. A redraw happens with probability at most 1 - p.
"""

import torch
from torch import Tensor


def top_p(logits: Tensor, uniforms: Tensor, p: float, temperature: float) -> Tensor:
    """Sample one token a row.

    Args:
        logits: (rows, vocabulary) float.
        uniforms: (rows, draws) float64 in [0, 1), one stream a row; the last one is kept for the sorted nucleus of a
            row whose other draws all miss.
        p: probability of the nucleus, in (0, 1].
        temperature: divides the logits before the nucleus is taken, as in transformers' `generate`.

    Returns:
        (rows,) int64 tokens.
    """
    scaled = logits.double() if temperature == 1 else logits.double() / temperature
    probabilities = scaled.softmax(-1)
    cumulative = probabilities.cumsum(-1)
    if p == 1:
        target = uniforms[:, :1] * cumulative[:, -1:]
        return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp(max=logits.shape[-1] - 1)
    tokens = torch.zeros(len(logits), dtype=torch.int64, device=logits.device)
    missing = torch.arange(len(logits), device=logits.device)
    *draws, spare = uniforms.unbind(1)
    for draw in draws:
        if not len(missing):
            return tokens
        target = draw[missing, None] * cumulative[missing, -1:]
        drawn = torch.searchsorted(cumulative[missing], target, right=True).clamp(max=logits.shape[-1] - 1)
        own = probabilities[missing].gather(1, drawn)
        likelier = probabilities[missing].masked_fill(probabilities[missing] <= own, 0).sum(-1)
        accepted = likelier < p
        tokens[missing[accepted]] = drawn[accepted, 0]
        missing = missing[~accepted]
    tokens[missing] = _sorted_nucleus(probabilities[missing], spare[missing], p)
    return tokens


def _sorted_nucleus(probabilities: Tensor, uniforms: Tensor, p: float) -> Tensor:
    """Inverse-CDF sampling from the nucleus of (rows, vocabulary) probabilities, one uniform number a row."""
    ordered, tokens = probabilities.sort(-1, descending=True)
    nucleus = ordered.where(ordered.cumsum(-1) - ordered < p, 0).cumsum(-1)
    drawn = torch.searchsorted(nucleus, uniforms[:, None] * nucleus[:, -1:], right=True)
    return tokens.gather(1, drawn.clamp(max=probabilities.shape[-1] - 1))[:, 0]
