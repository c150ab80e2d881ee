"""The language model that every row starts from, in models/backbone, and the weights of models that are built on it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerFast
from transformers.configuration_utils import PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from pipeline.compute.reproducible import as_written
from pipeline.files import write_json
from pipeline.models.checkpoint import load
from pipeline.models.decoder import context
from pipeline.text.prompts import END_OF_TEXT

# The tanh approximation of GPT-2 in one kernel; `gelu_new`, the name in GPT-2's own config, is the same in eight.
GELU = "gelu_pytorch_tanh"
Model = TypeVar("Model", bound=PreTrainedModel)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write both to `folder`: they agree on the tokens that begin and end a text, and padding is the latter."""
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.eos_token or END_OF_TEXT
    tokenizer.bos_token = tokenizer.bos_token or tokenizer.eos_token
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
    model.generation_config = GenerationConfig.from_model_config(model.config)  # none of the sampling of others
    if getattr(model.config, "activation_function", None) == "gelu_new":
        model.config.activation_function = GELU
    tokenizer.model_max_length = context(model)
    save_weights(model, folder)
    tokenizer.save_pretrained(folder)


def load_backbone(folder: Path, dropout: float = 0.0, where: str | None = None) -> PreTrainedModel:
    """The language model in `folder` with this rate of dropout everywhere, in evaluation mode; see `load`."""
    return load(MODEL_FOR_CAUSAL_LM_MAPPING.__getitem__, folder, where, dropout=dropout)


def output_rows(folder: Path, tokens: Sequence[int]) -> Tensor:
    """The rows (tokens, width) of the output layer of the language model in `folder`."""
    weight: Tensor = load_backbone(folder).get_output_embeddings().weight
    return weight[list(tokens)].detach()


def with_new_parts(
    kind_of: Callable[[type[PretrainedConfig]], type[Model]], backbone: Path, dropout: float, **settings: object
) -> Model:
    """A model in training mode on the backbone's blocks; `settings` go into its config, what is new is random."""
    return load(kind_of, backbone, fresh=True, dropout=dropout, changes=settings).train()


def save_weights(model: PreTrainedModel, folder: Path) -> None:
    """`save_pretrained` to `folder`, of a peft model its adapter; compute/reproducible.py says what is rounded."""
    model.save_pretrained(folder)
    as_written(folder)
    if (parts := getattr(model, "parts", 1)) > 1:  # of a prefix: peft's own file has no place for them
        write_json(folder / "prefix.json", {"parts": parts})


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Load what `save_weights` of the same kind of model wrote to `folder`; of a peft model, its adapter."""
    if (folder / "adapter_config.json").exists():
        from peft import PrefixEncoder, set_peft_model_state_dict
        from peft.utils import load_peft_weights

        if (config := model.active_peft_config).is_prompt_learning:  # the file has what its network makes
            config.inference_mode = True
            model.prompt_encoder["default"] = PrefixEncoder(config).to(model.device)
        set_peft_model_state_dict(model, load_peft_weights(str(folder), device=str(model.device)))
    else:
        # Not the file as it is: transformers saves the weights of some architectures under other names.
        model.load_state_dict(load(lambda _: type(model), folder).state_dict())
