"""Several processes that do one stage together: how they start, who they are, and what they tell each other.

A stage with `compute.processes` above 1 starts itself so many times under torch's launcher, on this machine. Where
`torchrun` has started it already (WORLD_SIZE is set, for example by SLURM over several nodes), it joins the others.
Every process reads the same inputs and computes a part of every result; the first one alone writes.

How training uses this is in data_parallel.py. With one process nothing of torch.distributed is imported.
"""

import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

from pipeline.config.params import load_params
from pipeline.errors import InputError, one_line

Item = TypeVar("Item")
Result = TypeVar("Result")
Main = Callable[[Sequence[str]], None]

LAUNCHER = "STAGE_LAUNCHER"  # environment of processes that this module has started: the process id of their parent
PATIENCE = 5.0  # seconds; the launcher ends the others within less when one of them has died


@dataclass
class _Place:
    """This process among the others."""

    rank: int = 0
    world: int = 1


_place = _Place()


def rank() -> int:
    """The number of this process, from 0."""
    return _place.rank


def world() -> int:
    """The number of processes."""
    return _place.world


def in_processes(main: Main) -> Main:
    """`main` of a stage that uses a model: runs in as many processes as params.yaml says."""

    @wraps(main)
    def run(arguments: Sequence[str]) -> None:
        _run(main, arguments)

    return run


def _run(main: Main, arguments: Sequence[str]) -> None:
    processes, started = load_params().compute.processes, int(os.environ.get("WORLD_SIZE", "0"))
    if started not in (0, processes):
        raise InputError(
            f"params.yaml: compute.processes is {processes}, but {started} were started: set it to {started}, so that "
            "the parameters say what was run"
        )
    if processes == 1:
        main(arguments)
    elif started:
        _join_and_run(main, arguments)
    else:
        _launch(processes)


def _launch(processes: int) -> None:
    """Run this process's own command in so many processes on this machine, as `torchrun --standalone` does."""
    import torch
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise InputError(f"params.yaml: compute.processes: {processes} processes need a GPU each, there are {gpus}")
    module = sys.modules["__main__"].__spec__
    assert module, "not started by python -m"
    logging.disable(logging.CRITICAL)  # this process only waits; what went wrong is said below, in one line
    os.environ[LAUNCHER] = str(os.getpid())
    config = LaunchConfig(
        1, 1, processes, DefaultLogsSpecs(), uuid.uuid4().hex, rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=0, local_addr="localhost",
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", module.name, *sys.argv[1:])
    except SignalException:
        raise KeyboardInterrupt from None
    except ChildFailedError as error:
        number, failure = error.get_first_failure()
        if failure.exitcode < 0:
            raise InputError(
                f"process {number} of {processes} was ended by {failure.signal_name()}; "
                "run the same command again to go on"
            ) from None
        told = isinstance(failure.error_file_data.get("message"), str) and failure.message
        raise InputError(told or f"process {number} of {processes} has failed, see above") from None


def _join_and_run(main: Main, arguments: Sequence[str]) -> None:
    """Connect to the other processes and do the stage with them."""
    launched = os.environ.get(LAUNCHER)
    if launched:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # after Ctrl-C the launcher speaks, this process just ends
        threading.Thread(target=_end_with, args=(int(launched),), daemon=True).start()
    try:
        _join()
        main(arguments)
    except (InputError, OSError) as error:
        if not launched:
            raise
        with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w", encoding="utf-8") as file:
            json.dump({"message": one_line(error), "timestamp": int(time.time())}, file)
        raise SystemExit(1) from None  # the launcher prints the line, once
    except Exception:
        time.sleep(PATIENCE)  # a connection that broke because another process died is not worth a traceback
        raise
    _leave()


def _join() -> None:
    import torch
    import torch.distributed

    there = torch.cuda.is_available()
    if there:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if there else "gloo")
    _place.rank, _place.world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    if _place.rank > 0 and "transformers" in sys.modules:  # one process shows what it loads
        from transformers.utils import logging as messages

        messages.set_verbosity_error()
        messages.disable_progress_bar()


def _leave() -> None:
    """End this process, whose work is done."""
    import torch.distributed

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
    if _place.world == 1:
        return [value]
    import torch.distributed

    values: list[Any] = [None] * _place.world
    torch.distributed.all_gather_object(values, value)
    return values


def agreed(decide: Callable[[], Result]) -> Result:
    """What `decide` says in the first process, in all of them; the others do not ask."""
    if _place.world == 1:
        return decide()
    import torch.distributed

    values: list[Any] = [decide() if _place.rank == 0 else None]
    torch.distributed.broadcast_object_list(values)
    return values[0]


def shared(items: Sequence[Item], function: Callable[[Sequence[Item]], Sequence[Result]]) -> list[Result]:
    """One result an item, in their order: each process calls `function` with every world()-th of them."""
    if _place.world == 1:
        return list(function(items))
    parts = gathered(function(items[_place.rank :: _place.world]))
    return [parts[index % _place.world][index // _place.world] for index in range(len(items))]
