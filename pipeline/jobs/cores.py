"""How many stages at once, and what each of them gets of the machine."""

import os

from pipeline.config.training import Compute


def default_jobs(compute: Compute) -> int:
    """As many as there are cores for, at `compute.threads` (null: all of them) for each of `compute.processes`."""
    return max(1, cores() // ((compute.threads or cores()) * compute.processes))


def share_cores(jobs: int) -> None:
    """With `compute.threads: null`, stages side by side divide the cores: each torch would start a thread for all."""
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // jobs)))  # before torch is imported


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
