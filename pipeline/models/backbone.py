"""The backbone, GPT-2 from the hub or from a folder, and the weights of models that are built on it."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast
from transformers.modeling_utils import PreTrainedModel
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.utils import logging

from pipeline.compute.reproducible import as_written
from pipeline.config.data import Hub
from pipeline.errors import InputError
from pipeline.text.prompts import END_OF_TEXT, load_tokenizer

# The tanh approximation of GPT-2 in one kernel; `gelu_new`, the name in GPT-2's own config, is the same in eight.
GELU = "gelu_pytorch_tanh"
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
Model = TypeVar("Model", bound=PreTrainedModel)


def from_hub(hub: Hub, folder: Path) -> None:
    """Download a pinned GPT-2 and save it to `folder`."""
    name, revision, dtype = hub.name, hub.revision, torch.get_default_dtype()
    try:
        model = GPT2LMHeadModel.from_pretrained(name, revision=revision, use_safetensors=True, dtype=dtype)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(name, revision=revision)
    except (OSError, ValueError) as error:
        problem = f"cannot load {name} at {revision[:12]} ({str(error).splitlines()[0]})"
        remedy = "check the network, or set backbone.source to path or scratch"
        raise InputError(f"params.yaml: backbone.hub: {problem}; {remedy}") from None
    save(model, tokenizer, folder)


def from_path(path: Path, folder: Path) -> None:
    """Copy a local GPT-2 (config.json, model.safetensors, tokenizer.json) to `folder`."""
    needed = ("config.json", "model.safetensors", "tokenizer.json")
    if missing := [name for name in needed if not (path / name).is_file()]:
        raise InputError(f"params.yaml: backbone.path: {path} has no {', '.join(missing)}; expected a saved GPT-2")
    load_tokenizer(path)
    try:
        model = GPT2LMHeadModel.from_pretrained(path, use_safetensors=True, dtype=torch.get_default_dtype())
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(path / "tokenizer.json"))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"params.yaml: backbone.path: {path} is not a GPT-2 that can be loaded: {reason}") from None
    if (tokens := len(tokenizer)) > (known := model.config.vocab_size):
        problem = f"the tokenizer has {tokens} tokens, the model {known}; they do not belong together"
        raise InputError(f"params.yaml: backbone.path: {path}: {problem}")
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
    rates = dict.fromkeys(DROPOUTS, dropout)
    return GPT2LMHeadModel.from_pretrained(folder, dtype=torch.get_default_dtype(), **rates)


def with_new_parts(kind: type[Model], backbone: Path, dropout: float, **settings: object) -> Model:
    """A model in training mode whose `transformer` is the backbone's; `settings` go into its config.

    Its other layers are drawn from torch's global generator; what is in no layer is 0.
    """
    config = GPT2Config.from_pretrained(backbone)
    config.update(settings | dict.fromkeys(DROPOUTS, dropout))
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    dtype = torch.get_default_dtype()
    model, report = kind.from_pretrained(backbone, config=config, dtype=dtype, output_loading_info=True)
    logging.set_verbosity(verbosity)
    if missing := sorted(name for name in report["missing_keys"] if name.startswith("transformer.")):
        raise InputError(f"{backbone}: has no weights for {', '.join(missing[:3])}; run `dvc repro backbone`")
    for name in report["missing_keys"]:
        if "." not in name:  # `from_pretrained` leaves it as it finds it in memory
            torch.nn.init.zeros_(getattr(model, name))
    return model.train()


def save_weights(model: PreTrainedModel, folder: Path) -> None:
    """`save_pretrained` to `folder`, of a peft model its adapter; compute/reproducible.py says what is rounded."""
    model.save_pretrained(folder)
    as_written(folder)


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Load what `save_weights` of the same kind of model wrote to `folder`; of a peft model, its adapter."""
    if (folder / "adapter_config.json").exists():
        from peft import set_peft_model_state_dict
        from peft.utils import load_peft_weights

        set_peft_model_state_dict(model, load_peft_weights(str(folder), device=str(model.device)))
    else:
        model.load_state_dict(load_file(folder / "model.safetensors"))
