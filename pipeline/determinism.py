"""The same bits on every run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pipeline.config.training import Compute


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
    # Filling every torch.empty with NaN only serves to find bugs and costs time.
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
