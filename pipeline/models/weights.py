"""The weights of a saved model or adapter, put into a model that has its shape."""

from pathlib import Path

from safetensors.torch import load_file
from transformers.modeling_utils import PreTrainedModel


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Load what `save_pretrained` of the same kind of model wrote to `folder`; of a peft model, its adapter."""
    if (folder / "adapter_config.json").exists():
        from peft import set_peft_model_state_dict
        from peft.utils import load_peft_weights

        set_peft_model_state_dict(model, load_peft_weights(str(folder), device=str(model.device)))
    else:
        model.load_state_dict(load_file(folder / "model.safetensors"))
