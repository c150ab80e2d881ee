"""Several processes that do one stage together: how they start, who they are, and what they tell each other.

A stage with `compute.processes` above 1 starts itself so many times on this machine. Where `torchrun` has started it
already (WORLD_SIZE is set, for example by SLURM over several nodes), it joins the others. Every process reads the same
inputs and computes a part of every result; the first one alone writes. How training uses this is in data_parallel.py.
With one process nothing of torch.distributed is imported.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from pipeline.config.params import load_params
from pipeline.config.training import Compute
from pipeline.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")
Main = Callable[..., None]

LAUNCHER = "STAGE_LAUNCHER"  # environment of processes that this module has started: the process id of their parent
PATIENCE = 5.0  # seconds; the others are ended within less when one of them has died


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def world() -> int:
    """The number of processes."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(compute: Compute) -> int:
    """Stages at once: as many as have cores, at `compute.threads` (null: all) for each of `compute.processes`."""
    return max(1, cores() // ((compute.threads or cores()) * compute.processes))


def share_cores(jobs: int) -> None:
    """With `compute.threads: null`, stages side by side divide the cores: each torch would start a thread for all."""
    if jobs > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // jobs)))  # before torch is imported


def in_processes(main: Main) -> Main:
    """`main` of a stage that uses a model: runs in as many processes as params.yaml says."""

    @wraps(main)
    def run(*arguments: str) -> None:
        processes, started = load_params().compute.processes, int(os.environ.get("WORLD_SIZE", "0"))
        if started not in (0, processes):
            wrong = f"params.yaml: compute.processes is {processes}, but {started} were started"
            raise InputError(f"{wrong}: set it to {started}, so that the parameters say what was run")
        if processes == 1:
            main(*arguments)
        elif started:
            _join_and_run(main, arguments)
        else:
            _launch(processes)

    return run


def _launch(processes: int) -> None:
    """Run this process's own command in so many processes on this machine; when one fails, the others are ended."""
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise InputError(f"params.yaml: compute.processes: {processes} processes need a GPU each, there are {gpus}")
    module = sys.modules["__main__"].__spec__
    assert module, "not started by python -m"
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    numbers = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), LAUNCHER: str(os.getpid())}
    environment = os.environ | numbers | {"MASTER_ADDR": "localhost", "MASTER_PORT": port}
    command, others = [sys.executable, "-m", module.name, *sys.argv[1:]], []
    for place in map(str, range(processes)):
        others.append(subprocess.Popen(command, env=environment | {"RANK": place, "LOCAL_RANK": place}))
    try:
        while not any(codes := [other.poll() for other in others]) and None in codes:
            time.sleep(0.05)
    finally:
        for other in others:
            other.kill()
            other.wait()
    number, code = next(((number, code) for number, code in enumerate(codes) if code), (0, 0))
    if code < 0:
        name = signal.Signals(-code).name
        print(file=sys.stderr)  # it may have been in the middle of a progress bar
        raise InputError(f"process {number} of {processes} was ended by {name}; run the same command again to go on")
    if code:
        raise SystemExit(1)  # it has said why


def _join_and_run(main: Main, arguments: Sequence[str]) -> None:
    """Connect to the other processes and do the stage with them."""
    import torch
    import torch.distributed

    if launched := os.environ.get(LAUNCHER):
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # after Ctrl-C the launcher speaks, this process just ends
        threading.Thread(target=_end_with, args=(int(launched),), daemon=True).start()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    try:
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        if rank() > 0 and "transformers" in sys.modules:  # one process shows what it loads
            from transformers.utils import logging as messages

            messages.set_verbosity_error()
            messages.disable_progress_bar()
        main(*arguments)
    except Exception as error:
        # What all processes find wrong is said once, and a connection broken by another's end is worth no traceback:
        # this process is ended while it waits.
        if rank() or not isinstance(error, InputError | OSError):
            time.sleep(PATIENCE)
        raise
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by the interpreter's own end: a thread of gloo that frees a tensor then makes the process die of SIGABRT.
    os._exit(0)


def _end_with(parent: int) -> None:
    """End this process when its launcher is gone, even by kill -9: a second run must not meet the first."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def gathered(value: Result) -> list[Result]:
    """What each process gives, in the order of their numbers, in all of them."""
    if world() == 1:
        return [value]
    import torch.distributed

    values: list[Any] = [None] * world()
    torch.distributed.all_gather_object(values, value)
    return values


def agreed(decide: Callable[[], Result]) -> Result:
    """What `decide` says in the first process, in all of them; the others do not ask."""
    return cast(Result, gathered(decide() if rank() == 0 else None)[0])


def shared(items: Sequence[Item], function: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
    """One result an item, in their order: each process calls `function` with every world()-th of them."""
    parts = gathered(function(items[rank() :: world()]))
    return [parts[index % world()][index // world()] for index in range(len(items))]
