"""What a causal language model, or a mixture, makes of its last hidden states: logits, and likelihoods of tokens."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel

# Logits of so many rows stay in a CPU core's cache; a GPU wants larger products.
ROWS_CPU, ROWS_CUDA = 256, 8192


class Mixture(NamedTuple):
    """A log-linear mixture of language models: p(v) is proportional to the product of p_i(v) ** w_i.

    A product of experts, Hinton 2002 (https://doi.org/10.1162/089976602760128018); of language models, Liu et al. 2021
    (https://aclanthology.org/2021.acl-long.522). Its hidden states are those of its models, side by side.
    """

    models: Sequence[PreTrainedModel]  # of one vocabulary
    weights: Sequence[float]  # they sum to one

    @property
    def config(self) -> PretrainedConfig:
        return self.models[0].config

    @property
    def device(self) -> torch.device:
        return self.models[0].device


def logits(model: PreTrainedModel | Mixture, hidden: Tensor) -> Tensor:
    """What `model` makes of its last hidden states (..., width): logits (..., vocabulary)."""
    if isinstance(model, Mixture):
        parts = hidden.split([own.get_output_embeddings().weight.shape[1] for own in model.models], -1)
        each = zip(model.models, parts, model.weights, strict=True)
        return torch.stack([weight * logits(own, part).log_softmax(-1) for own, part, weight in each]).sum(0)
    found: Tensor = model.get_output_embeddings()(hidden)
    scale, cap = _scale(model.config), getattr(model.config, "final_logit_softcapping", None)
    found = found if scale == 1 else found * scale
    return cap * torch.tanh(found / cap) if cap else found


def _scale(config: PretrainedConfig) -> float:
    """By which logits are multiplied (Cohere) or divided (Granite)."""
    return float(getattr(config, "logit_scale", None) or 1) / float(getattr(config, "logits_scaling", None) or 1)


def _only_weight(model: PreTrainedModel) -> Tensor | None:
    """The output layer's weight (vocabulary, width), if logits are nothing but a product with it."""
    head, cap = model.get_output_embeddings(), getattr(model.config, "final_logit_softcapping", None)
    plain = head.bias is None and _scale(model.config) == 1 and not cap
    return cast(Tensor, head.weight) if plain else None


def summed_cross_entropy(model: PreTrainedModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """The sum over rows of -log p(target), in nats, with gradients: of states (rows, width) and targets (rows,)."""
    if (weight := _only_weight(model)) is not None:
        return linear_cross_entropy(hidden, weight, targets)
    wide = torch.promote_types(hidden.dtype, torch.float32)
    return nn.functional.cross_entropy(logits(model, hidden).to(wide), targets, reduction="sum")


def surprisals(model: PreTrainedModel | Mixture, hidden: Tensor, targets: Tensor) -> Tensor:
    """-log p(target) of each row, in nats, without gradients: (rows,) of states (rows, width) and targets (rows,)."""
    if not isinstance(model, Mixture) and (weight := _only_weight(model)) is not None:
        return negative_log_likelihoods(hidden, weight, targets)
    parts = zip(hidden.split(ROWS_CPU), targets.split(ROWS_CPU), strict=True)
    return torch.cat([nn.functional.cross_entropy(logits(model, own), to, reduction="none") for own, to in parts])


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
