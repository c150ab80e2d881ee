"""The same bits on every run of one machine."""

import os

import torch


def make_deterministic(seed: int) -> None:
    """Seed torch and allow only algorithms that give the same result every time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Filling every torch.empty with NaN only serves to find bugs and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
