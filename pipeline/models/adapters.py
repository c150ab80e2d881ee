"""Adapters of peft on a frozen backbone: LoRA, DoRA and prefix-tuning. peft is imported only where a row has one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.training import Lora, Prefix

if TYPE_CHECKING:
    from peft import PeftModel


def add_adapter(model: PreTrainedModel, adapter: Lora | Prefix, heads: Sequence[str] = ()) -> PeftModel:
    """`model` with a fresh adapter (drawn from torch's global generator), which alone is trained.

    `save_pretrained` of the result writes the adapter without the model; its configuration names the model's folder as
    it was given to `from_pretrained`.

    Args:
        model: frozen in place; the matrices that a LoRA adapts are wrapped in place.
        heads: modules of the model, such as a classifier's `score`, that are trained and saved in full beside a LoRA.
    """
    from peft import LoraConfig, PrefixTuningConfig, get_peft_model

    config: LoraConfig | PrefixTuningConfig
    task = None if heads else "CAUSAL_LM"
    if isinstance(adapter, Lora):
        config = LoraConfig(
            task_type=task,
            r=adapter.r,
            lora_alpha=adapter.alpha,
            lora_dropout=adapter.dropout,
            # A pattern, not the list: peft makes that a set, which adapter_config.json would hold in a random order.
            target_modules=rf".*\.({'|'.join(adapter.targets)})",
            fan_in_fan_out=True,  # GPT-2's Conv1D holds its weights as (in, out)
            use_dora=adapter.dora,
            modules_to_save=list(heads) or None,
        )
    else:
        config = PrefixTuningConfig(
            task_type=task, num_virtual_tokens=adapter.tokens, prefix_projection=adapter.projection
        )
    return get_peft_model(model, config)


def load_language_model(folder: Path, backbone: Path) -> GPT2LMHeadModel | PeftModel:
    """A model ready to write, on CUDA where there is one: a plain one, or `backbone` with the adapter in `folder`.

    A LoRA is merged into the weights; a prefix stays beside them (pipeline/models/adapters.py).
    """
    adapted = (folder / "adapter_config.json").exists()
    model = GPT2LMHeadModel.from_pretrained(backbone if adapted else folder, dtype=torch.get_default_dtype())
    model = model.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    if not adapted:
        return model
    from peft import PeftModel

    peft = PeftModel.from_pretrained(model, folder).eval()
    return peft if peft.active_peft_config.is_prompt_learning else peft.merge_and_unload()


def prefix_length(model: GPT2LMHeadModel | PeftModel) -> int:
    """Virtual tokens before every text; 0 without a prefix."""
    if isinstance(model, PreTrainedModel) or not model.active_peft_config.is_prompt_learning:
        return 0
    return int(model.active_peft_config.num_virtual_tokens)


def text_length(model: GPT2LMHeadModel | PeftModel) -> int:
    """Tokens of text that fit into the model's context, after its prefix."""
    return int(model.config.n_positions) - prefix_length(model)


def prefix_cache(model: GPT2LMHeadModel | PeftModel, rows: int) -> DynamicCache | None:
    """A cache that holds the prefix `rows` times; None without a prefix."""
    return model.get_prompt(batch_size=rows) if prefix_length(model) else None
