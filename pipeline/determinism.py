"""The same bits on every run of one machine."""

import os

import torch


def make_deterministic(seed: int, threads: int | None) -> None:
    """Seed torch, fix its number of threads (None: one a core) and allow only algorithms that repeat their results.

    A sum over several threads is added up in another order than over one, so the last bits depend on their number.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    # Filling every torch.empty with NaN only serves to find bugs and costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
