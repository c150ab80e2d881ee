"""The weights of a model or adapter in a folder."""

from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.compute.reproducible import as_written
from pipeline.errors import InputError

AnyModel = TypeVar("AnyModel", bound=PreTrainedModel)


def with_new_parts(kind: type[AnyModel], backbone: Path, config: PreTrainedConfig, new: tuple[str, ...]) -> AnyModel:
    """A model with the backbone's weights; those whose names begin with one of `new` are drawn, without a warning."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    model, report = kind.from_pretrained(
        backbone, config=config, dtype=torch.get_default_dtype(), output_loading_info=True
    )
    logging.set_verbosity(verbosity)
    if missing := sorted(name for name in report["missing_keys"] if not name.startswith(new)):
        raise InputError(f"{backbone}: has no weights for {', '.join(missing[:3])}; run `dvc repro backbone`")
    return model


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
