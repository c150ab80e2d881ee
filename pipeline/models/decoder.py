"""What differs between the causal language models of transformers; no other module knows an architecture by name.

GPT-2's blocks run in trunk.py, those of all others as transformers runs them. `probe` tells whether what is said here
of a model is true of it; the stage `backbone` refuses any other.
"""

import re
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Model
from transformers.pytorch_utils import Conv1D

from pipeline.models import trunk
from pipeline.models.dropout import dropout
from pipeline.models.output import logits
from pipeline.text.prompts import context_of

ATTENTION, MLP = ("attn", "self_attn", "attention", "self_attention"), ("mlp", "feed_forward")
# Keys of a config, of architectures that have dropout where GPT-2 has it: after attention and MLP, not only inside.
RESIDUAL = ("resid_pdrop", "resid_dropout", "hidden_dropout")
OTHERS = ("embd_pdrop", "embed_dropout", "attn_pdrop", "attention_dropout")
ROLES = ("attention", "output", "mlp")


def base_of(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its head; of a peft model, the one below the adapter."""
    return cast(PreTrainedModel, getattr(model, model.base_model_prefix))


def context(model: PreTrainedModel) -> int:
    """Tokens that a text may have, so that each of them sees all before it."""
    return context_of(model.config.to_dict())


def blocks_of(base: PreTrainedModel) -> nn.ModuleList:
    """The transformer blocks, in their order."""
    layers = base.config.num_hidden_layers
    return next(part for part in base.children() if isinstance(part, nn.ModuleList) and len(part) == layers)


def part_of(block: nn.Module, names: Sequence[str]) -> nn.Module:
    """A block's attention or MLP."""
    return next(part for name in names if (part := getattr(block, name, None)) is not None)


def states(base: PreTrainedModel, ids: Tensor, read: Tensor | None = None, added: Tensor | None = None) -> list[Tensor]:
    """Hidden states after the embeddings and after every block; the last one after the final norm.

    Arguments and result are those of `pipeline.models.trunk.states`, which runs GPT-2.
    """
    if isinstance(base, GPT2Model):
        return trunk.states(base, ids, read, added)
    embedded = base.get_input_embeddings()(ids)
    embedded = embedded if added is None else embedded + added
    found = list(base(inputs_embeds=embedded, output_hidden_states=True, use_cache=False).hidden_states)
    if read is not None:
        found[-1] = found[-1][torch.arange(len(ids), device=ids.device), read][:, None]
    return found


def dropout_rates(config: PretrainedConfig, rate: float) -> dict[str, float]:
    """The keys of a config that give every dropout of its architecture this rate; none where `add_dropout` does it."""
    if not any(hasattr(config, name) for name in RESIDUAL):
        return {}
    return {name: rate for name in (*RESIDUAL, *OTHERS) if hasattr(config, name)}


def add_dropout(model: PreTrainedModel, rate: float) -> None:
    """Where an architecture has no dropout after attention and MLP, give it some: there and on the embeddings.

    Without it R-Drop and SimCSE, which compare two dropout masks, would be empty for Llama and its relatives.
    """
    if not rate or dropout_rates(model.config, rate):
        return
    base = base_of(model)
    parts = [part_of(block, names) for block in blocks_of(base) for names in (ATTENTION, MLP)]
    for module in (base.get_input_embeddings(), *parts):
        module.register_forward_hook(partial(_dropped, rate))


def _dropped(rate: float, module: nn.Module, given: object, output: Any) -> Any:  # noqa: ANN401 - what modules return
    if not module.training:
        return output
    return dropout(output, rate) if isinstance(output, Tensor) else (dropout(output[0], rate), *output[1:])


def matrices(model: PreTrainedModel, roles: Sequence[str]) -> tuple[str, bool]:
    """A pattern of the names of weight matrices in all blocks, and whether they are stored as (in, out).

    Of the roles `attention` is queries, keys and values, `output` what mixes the heads, `mlp` the MLP.
    """
    first = blocks_of(base_of(model))[0]
    names, transposed = dict[str, list[str]](), False
    for role, choices in (("attention", ATTENTION), ("mlp", MLP)):
        part, kinds = part_of(first, choices), (nn.Linear, Conv1D)
        prefix = next(name for name, module in first.named_children() if module is part)
        names[role] = [f"{prefix}.{name}" for name, module in part.named_modules() if isinstance(module, kinds)]
        transposed |= any(isinstance(module, Conv1D) for module in part.modules())
    names["output"] = [names["attention"].pop()]
    wanted = "|".join(re.escape(name) for role in ROLES if role in roles for name in names[role])
    return rf".*\.\d+\.({wanted})", transposed


@torch.inference_mode()
def probe(model: PreTrainedModel) -> str | None:
    """What makes a causal language model, in evaluation mode, one that this project cannot work with; None if nothing.

    It reads a few tokens: `logits` and `states` must be the model's own, and no token may see a later one.
    """
    try:
        matrices(model, ROLES)
    except (StopIteration, IndexError):
        return "its blocks are not of an attention and an MLP"
    ids = torch.arange(24, device=model.device)[None] % model.config.vocab_size
    expected = model(ids).logits
    # Other kernels add up in another order: a hundredth of the logits' spread is far more than that.
    close = partial(torch.allclose, rtol=0, atol=0.01 * expected.std().item() + 1e-6)
    if not close(logits(model, states(base_of(model), ids)[-1]), expected):
        return "its output layer does more than multiply, scale and cap"
    if not close(model(ids[:, :12]).logits, expected[:, :12]):
        return "its tokens see later ones: it is an encoder"
    return None
