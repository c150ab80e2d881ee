"""fp32, or bf16 autocast: weights and optimiser stay in fp32, matrix products run in bf16."""

import torch


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass.

    The Trainer's own switch wraps `model.forward` only: an objective that calls a part of the model, such as its trunk,
    would silently stay in fp32.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
