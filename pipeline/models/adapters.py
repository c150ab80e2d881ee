"""Adapters of peft on a frozen backbone: LoRA, DoRA and prefix-tuning. peft is imported only where a row has one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.training import Lora, Prefix
from pipeline.errors import InputError
from pipeline.models.backbone import PARTS, load_backbone
from pipeline.models.decoder import ATTENTION, base_of, blocks_of, context, matrices, part_of
from pipeline.text.prepared import SONNET_LINES
from pipeline.text.prompts import load_tokenizer, plain_ids

if TYPE_CHECKING:
    from peft import PeftModel


PART_LINES = 4  # of a poem, for each part of a prefix; the last part has the rest
MASK, LOWEST = "attention_mask", torch.finfo(torch.float32).min  # what attention adds to scores, of what is not seen


def add_adapter(
    model: PreTrainedModel,
    adapter: Lora | Prefix,
    heads: Sequence[str] = (),
    tokenizer: Tokenizer | None = None,
    max_length: int = 0,
) -> PeftModel:
    """`model` with a fresh adapter (drawn from torch's global generator), which alone is trained.

    `model` is frozen in place. `heads` are modules, such as a classifier's `score`, that are trained and saved in full
    beside the adapter. A prefix leaves room for texts of `max_length`; its `init` and `parts` want the `tokenizer`.
    """
    from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model

    if isinstance(adapter, Prefix):
        parts, task = getattr(adapter, "parts", 1), "SEQ_CLS" if heads else "CAUSAL_LM"
        prefix = PrefixTuningConfig(task_type=task, num_virtual_tokens=parts * adapter.tokens)
        prefix.prefix_projection, prefix.encoder_hidden_size = adapter.projection, adapter.hidden
        prefix.num_layers, prefix.modules_to_save = adapter.layers, list(heads) or None
        prefix.base_model_name_or_path = model.name_or_path
        # What is saved loads in peft's own class for classifiers, which would not take `lengths`.
        peft = PeftModel(model, prefix) if heads else get_peft_model(model, prefix)
        check_prefix(peft, max_length)
        if adapter.init and tokenizer:
            _begin_as(peft, (plain_ids(tokenizer, [adapter.init])[0] * adapter.tokens)[: adapter.tokens], parts)
        if heads:
            vars(model).update(prefixed=partial(prefixed_states, peft))
        return _refined(peft, tokenizer if parts > 1 else None)
    lora = LoraConfig(r=adapter.r, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, use_dora=adapter.dora)
    lora.task_type, lora.modules_to_save = None if heads else "CAUSAL_LM", list(heads) or None
    lora.target_modules, lora.fan_in_fan_out = matrices(model, adapter.targets)
    return get_peft_model(model, lora)


@torch.no_grad()
def _begin_as(model: PeftModel, words: list[int], parts: int) -> None:
    """Let each part of a flat prefix be the keys and values of some words (Li & Liang 2021, section 7.3)."""
    from peft import initialize_kv_prefix_from_past_key_values

    base = base_of(model)
    training = base.training
    cache = base.eval()(torch.tensor([words], device=model.device), use_cache=True).past_key_values
    base.train(training)
    own = cache.layers[-model.active_peft_config.num_layers :]
    own = [(layer.keys.repeat(1, 1, parts, 1), layer.values.repeat(1, 1, parts, 1)) for layer in own]
    initialize_kv_prefix_from_past_key_values(model, past_key_values=own)


def _refined(model: PeftModel, tokenizer: Tokenizer | None) -> PeftModel:
    """Hide the prefix from the blocks that have none; with a tokenizer, keep the parts of a prefix to their lines."""
    if tokenizer:
        breaks = [tokenizer.decode([token]).count("\n") for token in range(tokenizer.get_vocab_size())]
        model.register_buffer("breaks", torch.tensor(breaks, device=model.device), persistent=False)
    prefix = prefix_length(model)
    for block in blocks_of(base_of(model))[: _without(model)]:
        part_of(block, ATTENTION).register_forward_pre_hook(
            lambda _, given, named: (given, named | {MASK: pad(named[MASK][..., prefix:], (prefix, 0), value=LOWEST)}),
            with_kwargs=True,
        )
    return model


@torch.inference_mode()
def check_prefix(model: PeftModel, max_length: int) -> None:
    """Refuse a prefix whose keys have not the heads and the width of the model's own, as that of multi-query Falcon.

    So it does without room for `max_length` tokens of text.
    """
    if _without(model) < 0:
        raise InputError(f"params.yaml: adapter.layers: the backbone has {model.config.num_hidden_layers} blocks")
    if text_length(model) < max_length:
        problem = f"max_length {max_length} together exceed the backbone's context of {context(model)} tokens"
        raise InputError(f"params.yaml: adapter.tokens, in all {prefix_length(model)}, and {problem}; lower either")
    own = base_of(model)(torch.zeros(1, 1, dtype=torch.int64, device=model.device), use_cache=True).past_key_values
    for learnt, layer in zip(prefix_cache(model, 1).layers, own.layers, strict=True):
        if learnt.keys[:, :, 0].shape != layer.keys[:, :, 0].shape:
            kind = model.config.model_type
            raise InputError(f"params.yaml: adapter: peft has no prefix for a model of the type {kind!r}; use lora")


def load_language_model(folder: Path, backbone: Path) -> PreTrainedModel | PeftModel:
    """The model in `folder`, on CUDA where there is one. An adapter goes on `backbone`: a LoRA is merged into it."""
    adapted = (folder / "adapter_config.json").exists()
    model = load_backbone(backbone if adapted else folder).to("cuda" if torch.cuda.is_available() else "cpu")
    if not adapted:
        return model
    from peft import PeftModel

    peft = PeftModel.from_pretrained(model, folder).eval()
    if not peft.active_peft_config.is_prompt_learning:
        return peft.merge_and_unload()
    return _refined(peft, load_tokenizer(folder) if (folder / PARTS).exists() else None)


def prefix_length(model: PreTrainedModel | PeftModel) -> int:
    """Virtual tokens before every text; 0 without a prefix."""
    config = getattr(model, "active_peft_config", None)
    return int(config.num_virtual_tokens) if config and config.is_prompt_learning else 0


def text_length(model: PreTrainedModel | PeftModel) -> int:
    """Tokens of text that fit into the model's context, after its prefix."""
    return context(model) - prefix_length(model)


def _without(model: PeftModel) -> int:
    """How many blocks, the first ones, have no prefix."""
    return int(model.config.num_hidden_layers - model.active_peft_config.num_layers)


def refined(model: PreTrainedModel | PeftModel) -> bool:
    """Whether not all of a text sees all of a prefix: every pass then wants `attention_bias`."""
    return bool(prefix_length(model)) and (hasattr(model, "breaks") or _without(model) > 0)


def prefix_cache(model: PeftModel, rows: int) -> DynamicCache:
    """A cache that holds the prefix `rows` times; blocks that have none have zeros, which are hidden from them."""
    learnt: DynamicCache = model.get_prompt(batch_size=rows)
    if not (without := _without(model)):
        return learnt
    own = [(layer.keys, layer.values) for layer in learnt.layers[: model.active_peft_config.num_layers]]
    return DynamicCache([(torch.zeros_like(own[0][0]),) * 2] * without + own)


def prefixed_states(model: PeftModel, ids: Tensor) -> Tensor:
    """The last hidden states (batch, tokens, width) of ids (batch, tokens), right-padded, after the model's prefix."""
    bias = None
    if refined(model):
        places = torch.arange(prefix_length(model) + ids.shape[1], device=ids.device)
        breaks = breaks_in(model, ids)
        seen = (places <= places[-ids.shape[1] :, None]).expand(len(ids), 1, -1, -1)
        bias = attention_bias(model, seen, breaks.cumsum(1) - breaks)
    prefix = prefix_cache(model, len(ids))
    return base_of(model)(ids, past_key_values=prefix, attention_mask=bias, use_cache=False).last_hidden_state


def breaks_in(model: PreTrainedModel | PeftModel, ids: Tensor) -> Tensor:
    """The line breaks in each of some tokens, where a prefix has parts; else 0."""
    return model.breaks[ids] if hasattr(model, "breaks") else torch.zeros_like(ids)


def attention_bias(model: PreTrainedModel | PeftModel, seen: Tensor, lines: Tensor) -> Tensor:
    """What attention adds to its scores: 0 where a token is seen, elsewhere float32's lowest number.

    `seen` (rows, 1, tokens, prefix + all tokens) bool disregards the parts of a prefix, of which a token sees its own:
    that of `lines` (rows, tokens), how many have ended before it.
    """
    if hasattr(model, "breaks"):
        length, parts = prefix_length(model), SONNET_LINES // PART_LINES + 1
        own = (lines // PART_LINES).clamp(max=parts - 1)[..., None]
        own = own == torch.arange(length, device=lines.device) // (length // parts)
        seen = seen & pad(own, (0, seen.shape[3] - length), value=True)[:, None]
    return (~seen).to(model.dtype) * LOWEST
