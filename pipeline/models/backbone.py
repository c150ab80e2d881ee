"""The backbone: GPT-2 from the hub or from a folder; pipeline/training/pretrain.py trains one from scratch."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import PreTrainedTokenizerFast
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.data import Hub
from pipeline.errors import InputError
from pipeline.models.weights import save_weights
from pipeline.text.prompts import END_OF_TEXT, load_tokenizer

# The tanh approximation of GPT-2 in one kernel; `gelu_new`, the name in GPT-2's own config, is the same in eight.
GELU = "gelu_pytorch_tanh"


def from_hub(hub: Hub, folder: Path) -> None:
    """Download a pinned GPT-2 and save it to `folder`."""
    try:
        model = GPT2LMHeadModel.from_pretrained(
            hub.name, revision=hub.revision, use_safetensors=True, dtype=torch.get_default_dtype()
        )
        tokenizer = PreTrainedTokenizerFast.from_pretrained(hub.name, revision=hub.revision)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"params.yaml: backbone.hub: cannot load {hub.name} at {hub.revision[:12]} ({reason}); "
            "check the network, or set backbone.source to path or scratch"
        ) from None
    save(model, tokenizer, folder)


def from_path(path: Path, folder: Path) -> None:
    """Copy a local GPT-2 (config.json, model.safetensors, tokenizer.json) to `folder`."""
    missing = [name for name in ("config.json", "model.safetensors", "tokenizer.json") if not (path / name).is_file()]
    if missing:
        raise InputError(f"params.yaml: backbone.path: {path} has no {', '.join(missing)}; expected a saved GPT-2")
    load_tokenizer(path)
    try:
        model = GPT2LMHeadModel.from_pretrained(path, use_safetensors=True, dtype=torch.get_default_dtype())
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"params.yaml: backbone.path: {path} is not a GPT-2 that can be loaded: {reason}") from None
    if len(tokenizer) > model.config.vocab_size:
        sizes = f"{len(tokenizer)} tokens, the model {model.config.vocab_size}"
        raise InputError(f"params.yaml: backbone.path: {path}: the tokenizer has {sizes}; they do not belong together")
    save(model, tokenizer, folder)


def save(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write both to `folder`, with one end-of-text token for all purposes."""
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    for config in (model.config, model.generation_config):
        # GPT-2 has no padding token of its own; a config may name another vocabulary's end (50256 by default).
        config.bos_token_id = config.eos_token_id = config.pad_token_id = end
    if model.config.activation_function == "gelu_new":
        model.config.activation_function = GELU
    tokenizer.eos_token = tokenizer.bos_token = tokenizer.pad_token = END_OF_TEXT
    tokenizer.model_max_length = model.config.n_positions
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)


def load_backbone(folder: Path, dropout: float = 0.0) -> GPT2LMHeadModel:
    """The language model in `folder`, in torch's default type, with this rate of dropout everywhere."""
    rates = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    return GPT2LMHeadModel.from_pretrained(folder, dtype=torch.get_default_dtype(), **rates)
