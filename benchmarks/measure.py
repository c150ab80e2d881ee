"""What all benchmarks share: rows measured in turn, each in a process of its own, and the JSON of the results.

A row is measured in a fork of this process, so that its peak memory is its own: the libraries, which are imported
before, and what the row needs. The benchmark itself must not compute with torch, whose threads a fork would lose.
"""

import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from pipeline.config.training import Training
from pipeline.files import write_json

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

RESULTS = Path("benchmarks/results")
THREADS = int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0))))
Item = TypeVar("Item")
Work = Callable[[int], float]  # from the number of the round to what is measured


@dataclass(frozen=True)
class Measured:
    """A row: what every round gave, and the largest of the processes' peaks in MiB."""

    values: list[float]
    peak_mib: int

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def interleaved(rows: Mapping[str, Work], rounds: int, unit: str) -> dict[str, Measured]:
    """Measure every row once a round, all rows of a round one after the other: what slows the machine slows all."""
    found: dict[str, list[tuple[float, int]]] = {name: [] for name in rows}
    for number in range(rounds):
        for name, work in rows.items():
            found[name].append(in_child(work, number))
            value, peak = found[name][-1]
            print(f"round {number + 1}  {name:40} {value:10.2f} {unit}  {peak:6} MiB", flush=True)
    return {
        name: Measured([value for value, _ in pairs], max(peak for _, peak in pairs)) for name, pairs in found.items()
    }


def settings_of(rows: int, steps: int, batch: int, lr: float) -> Training:
    """Parameters of a training of `steps` steps or a few more over `rows` rows; no checkpoint comes in between."""
    values = {
        "lr": lr, "epochs": -(-steps // -(-rows // batch)), "batch_size": batch, "schedule": "linear", "warmup": 0.1,
        "weight_decay": 0.01, "max_grad_norm": 1.0, "dropout": 0.1, "max_length": 128, "evaluations_per_epoch": 1,
        "checkpoint_steps": 10**6, "ema": None, "soup": 1, "seed": None,
    }  # fmt: skip
    return Training.model_validate(values)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` items at equal distances: of batches in the order of length, a few that stand for all."""
    return [items[(2 * number + 1) * len(items) // (2 * count)] for number in range(count)]


def seconds() -> float:
    """A clock: with one thread that of the processor, on which other programs of a busy machine do not count."""
    return time.process_time() if THREADS == 1 else time.perf_counter()


def in_child(work: Work, number: int) -> tuple[float, int]:
    """What `work` measures in a fork of this process, and the peak memory of that fork in MiB."""
    receiver, sender = get_context("fork").Pipe(duplex=False)
    child = get_context("fork").Process(target=_answer, args=(work, number, sender))
    child.start()
    sender.close()  # or the end of a child that fails would not be seen
    try:
        return receiver.recv()
    except EOFError:
        sys.exit("the measurement failed; see above")
    finally:
        child.join()


def _answer(work: Work, number: int, sender: Connection) -> None:
    value = work(number)
    ours, programs = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    sender.send((value, max(ours, programs) // 1024))  # it may have run programs, the largest of which counts


def write(
    name: str, title: str, what: str, rounds: int, rows: Sequence[Mapping[str, object]], device: str | None = None
) -> None:
    """Write benchmarks/results/<name>.json, for docs/performance.md: numbers and text as columns, no lists."""
    table = {"title": title, "what": what, "machine": machine(device), "rounds": rounds, "rows": rows}
    write_json(RESULTS / f"{name}.json", table)
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items() if not isinstance(value, list)))


def machine(device: str | None = None) -> str:
    """`device`, or the CPU and its threads, and versions."""
    count = "1 thread (seconds are CPU time)" if THREADS == 1 else f"{THREADS} threads"
    return f"{device or f'{_processor()}, {count}'}, torch {version('torch')}, transformers {version('transformers')}"


def _processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        return name + " with AVX512-bf16" * any("avx512_bf16" in line for line in lines)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
