"""The learnt prefix of a prefix-tuned model (Li & Liang 2021), if it has one: keys and values in each block.

The prefix takes the first positions of the context, as in peft's own forward pass; peft itself is not needed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from transformers.cache_utils import DynamicCache
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

if TYPE_CHECKING:
    from peft import PeftModel


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
