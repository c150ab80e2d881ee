"""Causal language models of several architectures, so small that a pass takes milliseconds, and folders with them."""

from pathlib import Path
from typing import Any

import torch
from tiny import END, tiny_tokenizer
from tokenizers import Tokenizer, processors
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel

from pipeline.models.backbone import save

PROMPTS = [list(range(start, start + size)) for start, size in ((1, 12), (20, 5), (40, 9), (60, 1))]
BEGIN = "<s>"
BEGINS = {"llama": False, "gemma3_text": True, "gemma2": True}  # with a BEGIN, put before every text or not
WINDOWS: dict[str, Any] = {"layer_types": ["sliding_attention", "full_attention"], "head_dim": 16}
CONFIGS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "llama": {"num_key_value_heads": 2, "tie_word_embeddings": True},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True},
    "gemma3_text": {"num_key_value_heads": 1, "query_pre_attn_scalar": 16} | WINDOWS,
    "gemma2": {"num_key_value_heads": 2, "query_pre_attn_scalar": 16, "final_logit_softcapping": 2.0} | WINDOWS,
    "gpt_neox": {"rotary_pct": 0.5, "hidden_dropout": 0.0, "attention_dropout": 0.0},
    "cohere": {"num_key_value_heads": 2, "logit_scale": 0.4},
}
EXPERTS = {"mixtral": {"num_key_value_heads": 2, "num_local_experts": 2}}  # which torch cannot run in float64


def config_of(architecture: str, **changes: object) -> Any:  # noqa: ANN401 - of the architecture's own class
    """2 blocks, width 32, a vocabulary of 40, of which token 0 ends texts."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 40}
    sizes |= {} if architecture == "gpt2" else {"intermediate_size": 48}
    sizes |= dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0)
    return AutoConfig.for_model(architecture, **(sizes | (CONFIGS | EXPERTS).get(architecture, {}) | changes))


def model_of(
    architecture: str, vocabulary: int = 40, positions: int = 96, spread: float = 0.15, seed: int = 0
) -> PreTrainedModel:
    """A model that takes `positions` tokens, with random weights, those of norms and biases included."""
    sizes = {"max_position_embeddings": positions, "vocab_size": vocabulary}
    if architecture.startswith("gemma"):  # what a text may have is the window's size, not the number of positions
        sizes |= {"max_position_embeddings": 2 * positions, "sliding_window": positions}
    model = AutoModelForCausalLM.from_config(config_of(architecture, **sizes))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            noise = spread * torch.randn(weight.shape, generator=generator)
            weight.copy_(weight + noise if "norm" in name or "ln_" in name else noise)
    return model.eval()


def write_backbone(architecture: str, folder: Path) -> Path:
    """A folder as the stage `backbone` leaves it, with tests/tiny.py's tokenizer and the BEGIN that `BEGINS` says."""
    tokenizer, named = Tokenizer.from_str(tiny_tokenizer().to_str()), architecture in BEGINS
    tokenizer.add_tokens([" no", " yes"])  # the answers of a cloze prompt, for which it is too small
    if named:
        tokenizer.add_special_tokens([BEGIN])
    if BEGINS.get(architecture):
        special = [(BEGIN, tokenizer.token_to_id(BEGIN))]
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=special)
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, bos_token=BEGIN if named else None)
    save(model_of(architecture, len(whole)), whole, folder)
    return folder
