"""Arithmetic of a stage that runs a model, `compute.precision`.

portable  float64, and weights on grids: the same bits on every type of CPU, with any number of threads. Another CPU
          adds floats up in another order, so that its weights differ by 1e-16, and training makes more of a difference
          with every step. So every SYNC steps weights are rounded to multiples of STEP and AdamW's moments to
          bfloat16, which ends it, and so are the weights that are written. What follows is computed from these.
fp32      float32. The bits repeat on CPUs of one type with one number of threads.
bf16      autocast: weights and optimiser stay in float32, matrix products run in bfloat16.

The type of new weights and of loaded ones is torch's default type, which `make_deterministic` sets.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.config.training import Compute
from pipeline.files import write_text

SYNC, STEP = 5, 2.0**-17
NOTHING = 2.0**-20  # weights without a gradient, such as the biases of keys, are sums of rounding errors: below this


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The context of a forward pass; the Trainer's wraps `model.forward` only, not the parts that objectives call."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


def portable() -> bool:
    """Whether this process computes in float64."""
    return torch.get_default_dtype() == torch.float64


def full(values: Tensor) -> Tensor:
    """What autocast has made bfloat16, in the default type again."""
    return values.to(torch.promote_types(values.dtype, torch.get_default_dtype()))


def on_grid(weights: Tensor) -> Tensor:
    """The nearest bfloat16 of each weight, in the tensor's own type; tiny ones become 0."""
    return torch.where(weights.abs() < NOTHING, 0, weights).bfloat16().to(weights.dtype)


def round_weights(model: nn.Module) -> None:
    """Put what is trained of a portable `model` on the grid, in place; the rest was read from such a file."""
    if portable():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.data = on_grid(weight.data)


def end_differences(optimizer: torch.optim.Optimizer) -> None:
    """Put the weights that AdamW trains, and its moments, on grids, in place.

    Moments that differed would bring the difference back: where the loss is sharp, it grows fourfold in a step.
    """
    for weight in chain.from_iterable(group["params"] for group in optimizer.param_groups):
        weight.data = (weight.data / STEP).round_().mul_(STEP)
        for name in optimizer.state[weight].keys() & {"exp_avg", "exp_avg_sq"}:
            optimizer.state[weight][name].copy_(optimizer.state[weight][name].bfloat16())


@contextmanager
def rounded(model: nn.Module, averages: Mapping[nn.Parameter, Tensor] | None = None) -> Iterator[None]:
    """Within the block a portable `model` has the weights that `save` writes; any has `averages` instead of its own."""
    exact = [weight.data for weight in model.parameters()]
    for weight, average in (averages or {}).items():
        weight.data = average
    round_weights(model)
    try:
        yield
    finally:
        for weight, data in zip(model.parameters(), exact, strict=True):
            weight.data = data


def as_written(folder: Path) -> None:
    """Put the weights that `save_pretrained` of a portable model wrote to `folder` on the grid, as float32."""
    if portable():
        for file in folder.glob("*.safetensors"):
            weights = {name: on_grid(weight).float() for name, weight in load_file(file).items()}
            save_file(weights, file, metadata={"format": "pt"})
        for config in folder.glob("config.json"):
            write_text(config, config.read_text(encoding="utf-8").replace('"float64"', '"float32"'))


def make_deterministic(seed: int, compute: Compute) -> None:
    """Seed torch, set its default type and number of threads and allow only algorithms that repeat their results.

    A sum over several threads is added up in another order than over one, so the last bits depend on their number.
    """
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of torch's launcher on this machine
    if compute.threads is not None:
        torch.set_num_threads(compute.threads)
    elif beside > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // beside))
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_default_dtype(torch.float64 if compute.precision == "portable" else torch.float32)
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # NaN in every torch.empty only serves to find bugs and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextmanager
def any_order() -> Iterator[None]:
    """Allow algorithms whose sums may differ in their last bits, where CUDA has no others."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
