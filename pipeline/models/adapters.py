"""Adapters of peft on a frozen backbone: LoRA, DoRA and prefix-tuning. peft is imported only where a row has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.training import Lora, Prefix
from pipeline.errors import InputError
from pipeline.models.backbone import load_backbone
from pipeline.models.decoder import base_of, context, matrices
from pipeline.models.output import Mixture

if TYPE_CHECKING:
    from peft import PeftModel


def add_adapter(model: PreTrainedModel, adapter: Lora | Prefix, heads: Sequence[str] = ()) -> PeftModel:
    """`model` with a fresh adapter (drawn from torch's global generator), which alone is trained.

    `model` is frozen in place. `heads` are modules, such as a classifier's `score`, that are trained and saved in full
    beside a LoRA.
    """
    from peft import LoraConfig, PrefixTuningConfig, get_peft_model

    task = None if heads else "CAUSAL_LM"
    if isinstance(adapter, Prefix):
        prefix = PrefixTuningConfig(task_type=task, num_virtual_tokens=adapter.tokens)
        prefix.prefix_projection = adapter.projection
        peft = get_peft_model(model, prefix)
        check_prefix(peft)
        return peft
    lora = LoraConfig(r=adapter.r, lora_alpha=adapter.alpha, lora_dropout=adapter.dropout, use_dora=adapter.dora)
    lora.task_type, lora.modules_to_save = task, list(heads) or None
    lora.target_modules, lora.fan_in_fan_out = matrices(model, adapter.targets)
    return get_peft_model(model, lora)


@torch.inference_mode()
def check_prefix(model: PeftModel) -> None:
    """Refuse a prefix whose keys have not the heads and the width of the model's own, as that of multi-query Falcon."""
    own = base_of(model)(torch.zeros(1, 1, dtype=torch.int64, device=model.device), use_cache=True).past_key_values
    for learnt, layer in zip(model.get_prompt(batch_size=1).layers, own.layers, strict=True):
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
    return peft if peft.active_peft_config.is_prompt_learning else peft.merge_and_unload()


def prefix_length(model: PreTrainedModel | PeftModel) -> int:
    """Virtual tokens before every text; 0 without a prefix."""
    config = getattr(model, "active_peft_config", None)
    return int(config.num_virtual_tokens) if config and config.is_prompt_learning else 0


def text_length(model: PreTrainedModel | PeftModel | Mixture) -> int:
    """Tokens of text that fit into the model's context, after its prefix; of a mixture, into those of all models."""
    return min(context(own) - prefix_length(own) for own in getattr(model, "models", [model]))


def prefix_cache(model: PreTrainedModel | PeftModel, rows: int) -> DynamicCache | None:
    """A cache that holds the prefix `rows` times; None without a prefix."""
    return model.get_prompt(batch_size=rows) if prefix_length(model) else None
