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

from pipeline.errors import InputError
from pipeline.models import trunk
from pipeline.models.dropout import dropout
from pipeline.models.output import logits
from pipeline.text.prompts import context_of

ATTENTION, MLP = ("attn", "self_attn", "attention", "self_attention"), ("mlp", "feed_forward")
MIXES = {"c_proj", "o_proj", "out_proj", "dense"}  # what an attention calls the matrix that mixes its heads
# Keys of a config, of architectures that have dropout where GPT-2 has it: after attention and MLP, not only inside.
RESIDUAL = ("resid_pdrop", "resid_dropout", "hidden_dropout")
OTHERS = ("embd_pdrop", "embed_dropout", "attn_pdrop", "attention_dropout")
ROLES = ("attention", "output", "mlp")


def base_of(model: PreTrainedModel) -> PreTrainedModel:
    """The model without its head; of a peft model, the one below the adapter."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    return cast(PreTrainedModel, getattr(whole, whole.base_model_prefix))


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
    # On the CPU SDPA's backward pass takes longer than that of plain products.
    attention = "eager" if torch.is_grad_enabled() and not ids.is_cuda else "sdpa"
    if base._supports_sdpa and base.config._attn_implementation != attention:
        base.set_attn_implementation(attention)
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
    names["output"] = [name for name in names["attention"] if not MIXES.isdisjoint(name.split("."))]
    names["attention"] = [name for name in names["attention"] if name not in names["output"]]
    if empty := [role for role in roles if not names[role]]:
        problem = f"a model of the type {model.config.model_type!r} has no such matrices; leave it out"
        raise InputError(f"params.yaml: targets: {empty[0]}: {problem}")
    wanted = "|".join(re.escape(name) for role in ROLES if role in roles for name in names[role])
    return rf".*\.\d+\.({wanted})", transposed


def probe(model: PreTrainedModel) -> str | None:
    """Why this project cannot work with a causal language model, given in evaluation mode; None if it can."""
    try:
        for block in blocks_of(base_of(model)):
            part_of(block, ATTENTION), part_of(block, MLP)
    except (StopIteration, AttributeError):
        return "its blocks are not of an attention and an MLP"
    try:
        ids = torch.arange(min(24, context(model)), device=model.device)[None] % model.config.vocab_size
    except KeyError:
        return "its config.json does not say how many tokens it takes (max_position_embeddings)"
    try:
        return _misfit(model, ids)
    except Exception as error:  # whatever a model that is unlike the others raises
        return f"reading a few tokens fails ({next(iter(str(error).splitlines()), type(error).__name__)})"


@torch.inference_mode()
def _misfit(model: PreTrainedModel, ids: Tensor) -> str | None:
    """What of a model that reads ids (1, tokens) is not as decoders, `logits` and `states` take it; None if nothing."""
    output = model(ids, use_cache=True)
    layers = getattr(output.get("past_key_values"), "layers", [])
    kept = [[getattr(getattr(layer, name, None), "shape", None) for name in ("keys", "values")] for layer in layers]
    if not kept or any(keys is None or keys != values for keys, values in kept):
        return "it does not keep keys and values of one shape for the tokens that it has read"
    # Other kernels add up in another order: a hundredth of the logits' spread is far more than that.
    close = partial(torch.allclose, rtol=0, atol=0.01 * output.logits.std().item() + 1e-6)
    if not close(logits(model, states(base_of(model), ids)[-1]), output.logits):
        return "its output layer does more than multiply, scale and cap"
    half = ids.shape[1] // 2
    if not close(model(ids[:, :half]).logits, output.logits[:, :half]):
        return "its tokens see later ones: it is an encoder"
    return None
