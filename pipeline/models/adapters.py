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
from pipeline.models.backbone import load_backbone
from pipeline.models.decoder import ATTENTION, base_of, blocks_of, context, matrices, part_of
from pipeline.models.output import Mixture
from pipeline.text.prompts import load_tokenizer, plain_ids

if TYPE_CHECKING:
    from peft import PeftModel


PART_LINES = 4  # of a poem, for each part of a prefix; the last part has the rest
MASK, LOWEST = "attention_mask", torch.finfo(torch.float32).min  # what attention adds to scores, of what is not seen


def add_adapter(
    model: PreTrainedModel, adapter: Lora | Prefix, heads: Sequence[str] = (), tokenizer: Tokenizer | None = None
) -> PeftModel:
    """`model` with a fresh adapter (drawn from torch's global generator), which alone is trained.

    `model` is frozen in place. `heads` are modules, such as a classifier's `score`, that are trained and saved in full
    beside the adapter. The `init` and the `parts` of a prefix want the `tokenizer`.
    """
    from peft import LoraConfig, PeftModel, PrefixTuningConfig, get_peft_model
    from peft import initialize_kv_prefix_from_past_key_values as begin_as

    if isinstance(adapter, Prefix):
        parts, task = getattr(adapter, "parts", 1), "SEQ_CLS" if heads else "CAUSAL_LM"
        own = PrefixTuningConfig(task_type=task, num_virtual_tokens=parts * adapter.tokens, num_layers=adapter.layers)
        own.prefix_projection, own.encoder_hidden_size = adapter.projection, adapter.hidden
        own.modules_to_save, own.base_model_name_or_path = list(heads) or None, model.name_or_path
        # What is saved loads in peft's own class for classifiers, which would not take `lengths`.
        peft = PeftModel(model, own) if heads else get_peft_model(model, own)
        check_prefix(peft)
        if adapter.init and tokenizer:
            words = (plain_ids(tokenizer, [adapter.init])[0] * prefix_length(peft))[: prefix_length(peft)]
            with torch.no_grad():
                cache = base_of(model).eval()(torch.tensor([words]), use_cache=True).past_key_values
            begin_as(peft, past_key_values=[(each.keys, each.values) for each in cache.layers[-own.num_layers :]])
        vars(model).update(prefixed=partial(prefixed_states, peft))  # for a classifier
        return _refined(peft, tokenizer if parts > 1 else None)
    lora = LoraConfig(r=adapter.r, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, use_dora=adapter.dora)
    lora.task_type, lora.modules_to_save = None if heads else "CAUSAL_LM", list(heads) or None
    lora.target_modules, lora.fan_in_fan_out = matrices(model, adapter.targets)
    return get_peft_model(model, lora)


def _refined(model: PeftModel, tokenizer: Tokenizer | None) -> PeftModel:
    """A model whose first blocks may have no prefix, and see none; with a tokenizer, lines see their part of it."""
    model.parts, model.refined, prefix = 4 if tokenizer else 1, bool(tokenizer or _without(model)), prefix_length(model)
    if tokenizer:
        breaks = [tokenizer.decode([token]).count("\n") for token in range(tokenizer.get_vocab_size())]
        model.register_buffer("breaks", torch.tensor(breaks, device=model.device), persistent=False)
    for block in blocks_of(base_of(model))[: _without(model)]:
        part_of(block, ATTENTION).register_forward_pre_hook(
            lambda _, given, named: (given, named | {MASK: pad(named[MASK][..., prefix:], (prefix, 0), value=LOWEST)}),
            with_kwargs=True,
        )
    return model


@torch.inference_mode()
def check_prefix(model: PeftModel) -> None:
    """Refuse a prefix whose keys have not the heads and the width of the model's own, as that of multi-query Falcon."""
    if _without(model) < 0:
        raise InputError(f"params.yaml: adapter.layers: the backbone has {model.config.num_hidden_layers} blocks")
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
    return _refined(peft, load_tokenizer(folder) if (folder / "prefix.json").exists() else None)


def prefix_length(model: PreTrainedModel | PeftModel) -> int:
    """Virtual tokens before every text; 0 without a prefix."""
    config = getattr(model, "active_peft_config", None)
    return int(config.num_virtual_tokens) if config and config.is_prompt_learning else 0


def text_length(model: PreTrainedModel | PeftModel | Mixture) -> int:
    """Tokens of text that fit into the model's context, after its prefix; of a mixture, into those of all models."""
    return min(context(own) - prefix_length(own) for own in getattr(model, "models", [model]))


def _without(model: PeftModel) -> int:
    """How many blocks, the first ones, have no prefix."""
    return int(model.config.num_hidden_layers - model.active_peft_config.num_layers)


def prefix_cache(model: PeftModel, rows: int) -> DynamicCache:
    """A cache that holds the prefix `rows` times; blocks that have none have zeros, which are hidden from them."""
    learnt = model.get_prompt(batch_size=rows).layers[: model.active_peft_config.num_layers]
    own = [(layer.keys, layer.values) for layer in learnt]
    return DynamicCache([(torch.zeros_like(own[0][0]),) * 2] * _without(model) + own)


def prefixed_states(model: PeftModel, ids: Tensor) -> Tensor:
    """The last hidden states (batch, tokens, width) of ids (batch, tokens), right-padded, after the model's prefix."""
    bias, tokens = None, ids.shape[1]
    if model.refined:
        places = torch.arange(prefix_length(model) + tokens, device=ids.device)
        seen = (places <= places[-tokens:, None]).expand(len(ids), 1, -1, -1)
        bias = attention_bias(model, seen, lines_before(model, ids)[:, :-1])
    prefix = prefix_cache(model, len(ids))
    return base_of(model)(ids, past_key_values=prefix, attention_mask=bias, use_cache=False).last_hidden_state


def lines_before(model: PreTrainedModel | PeftModel, ids: Tensor, real: Tensor | int = 1) -> Tensor:
    """Lines ended before each of the `real` ids (rows, tokens), and after all: (rows, tokens + 1); 0 without parts."""
    breaks = model.breaks[ids] if getattr(model, "parts", 1) > 1 else torch.zeros_like(ids)
    return pad((breaks * real).cumsum(1), (1, 0))


def attention_bias(model: PreTrainedModel | PeftModel, seen: Tensor, lines: Tensor) -> Tensor:
    """What attention adds to its scores: 0 where a token is seen, elsewhere float32's lowest number.

    `seen` (rows, 1, tokens, prefix + all tokens) bool is without regard to parts; `lines` (rows, tokens or 1) have
    ended before a token and tell its part.
    """
    if (parts := getattr(model, "parts", 1)) > 1:
        own, length = (lines // PART_LINES).clamp(max=parts - 1)[..., None], prefix_length(model)
        own = own == torch.arange(length, device=lines.device) // (length // parts)
        seen = seen & pad(own, (0, seen.shape[3] - length), value=True)[:, None]
    return (~seen).to(model.dtype) * LOWEST
