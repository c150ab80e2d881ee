"""Terms that several objectives share, each a direct transcription of its formula."""

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn


def symmetric_kl(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the batch of (KL(p || q) + KL(q || p)) / 2 in nats, from logits (batch, classes) of p and q.

    R-Drop (Liang et al. 2021), equation 2.
    """
    p, q = first.log_softmax(-1), second.log_softmax(-1)
    kl = partial(nn.functional.kl_div, reduction="batchmean", log_target=True)
    return (kl(q, p) + kl(p, q)) / 2


def info_nce(anchors: Tensor, candidates: Tensor, temperature: float) -> Tensor:
    """Mean over i of -log(exp(cos(a_i, c_i) / t) / sum_j exp(cos(a_i, c_j) / t)), in float32 or better.

    Args:
        anchors: (n, width).
        candidates: (m, width) with m >= n: candidate i is the positive of anchor i, every other one is a negative.
    """
    wide = torch.promote_types(anchors.dtype, torch.float32)
    anchors, candidates = (nn.functional.normalize(states.to(wide), dim=-1) for states in (anchors, candidates))
    similarities = anchors @ candidates.T / temperature
    return nn.functional.cross_entropy(similarities, torch.arange(len(anchors), device=anchors.device))


# Logits of so many rows stay in a CPU core's cache; a GPU wants larger products.
ROWS_CPU, ROWS_CUDA = 256, 8192


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Sum of -log softmax(hidden @ weight.T)[target], in nats; gradients for `hidden` and `weight`.

    The same as `cross_entropy(linear(hidden, weight).float(), targets, reduction="sum")`, computed some rows at a
    time, gradients at once with the loss: (rows, vocabulary) numbers are never written to memory and read again.

    Args:
        hidden: (rows, width) float; under autocast the products have its type.
        weight: (vocabulary, width) float.
        targets: (rows,) int64.
    """
    device = hidden.device.type
    mixed = device != "meta" and torch.is_autocast_enabled(device)  # torch knows no autocast for meta
    dtype = torch.get_autocast_dtype(device) if mixed else hidden.dtype
    return cast(Tensor, _LinearCrossEntropy.apply(hidden.to(dtype), weight, targets))


def negative_log_likelihoods(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """-log softmax(hidden @ weight.T)[target] of each row, in nats: (rows,), without gradients, outside autocast."""
    rows = ROWS_CUDA if hidden.is_cuda else ROWS_CPU
    found = [hidden.new_empty(0)]
    for part, wanted in zip(hidden.split(rows), targets[:, None].split(rows), strict=True):
        logits = part @ weight.T
        found.append(logits.logsumexp(-1) - logits.gather(1, wanted)[:, 0])
    return torch.cat(found)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        wants_hidden, wants_weight, _ = ctx.needs_input_grad
        head = weight.to(hidden.dtype)
        hidden_gradients: list[Tensor] = []
        weight_gradient = torch.zeros_like(weight) if wants_weight else None
        rows = ROWS_CUDA if hidden.is_cuda else ROWS_CPU
        total = torch.zeros((), device=hidden.device, dtype=torch.promote_types(hidden.dtype, torch.float32))
        for part, wanted in zip(hidden.split(rows), targets[:, None].split(rows), strict=True):
            logits = (part @ head.T).to(total.dtype)
            log_likelihoods = logits.sub_(logits.logsumexp(-1, keepdim=True))
            chosen = log_likelihoods.gather(1, wanted)
            total -= chosen.sum()
            if not (wants_hidden or wants_weight):
                continue
            gradient = log_likelihoods.exp_().scatter_(1, wanted, chosen.exp() - 1).to(hidden.dtype)
            if wants_hidden:
                hidden_gradients.append(gradient @ head)
            if weight_gradient is not None:
                weight_gradient += gradient.T @ part
        ctx.save_for_backward(torch.cat(hidden_gradients) if hidden_gradients else None, weight_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's context
        return *(None if saved is None else saved * gradient for saved in ctx.saved_tensors), None
