"""Parameters of the one training loop, shared by every task, and block `compute`."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Block


class Compute(Block):
    """Arithmetic of training and prediction; the device is CUDA where there is one."""

    precision: Literal["portable", "fp32", "bf16"]  # see pipeline/compute/reproducible.py
    threads: int | None = Field(ge=1)  # of the CPU; fp32 and bf16 repeat bit by bit for one number. null: one a core
    processes: int = Field(ge=1)  # that share each stage with a model; on CUDA each has a GPU of its own


class Training(Block):
    """AdamW with linear warm-up, then linear decay or a constant rate."""

    lr: float = Field(gt=0, le=1)
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    schedule: Literal["linear", "constant"]
    warmup: float = Field(ge=0, lt=1)  # share of all steps
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    dropout: float = Field(ge=0, lt=1)  # of the backbone: embeddings, attention and residual branches
    max_length: int = Field(ge=16)  # tokens
    evaluations_per_epoch: int = Field(ge=1)  # on `select`; the best model is kept
    checkpoint_steps: int = Field(ge=1)  # how much work a killed run may lose; has no effect on the result
