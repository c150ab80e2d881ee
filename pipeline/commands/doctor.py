"""What is wrong with this installation, its data or its results.

    python -m pipeline doctor

One line for each thing looked at, findings marked with `finding`. Exit codes: 0 no finding, 1 findings.
"""

import argparse
import os
import platform
import re
import shutil
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from pipeline.config.base import load_block
from pipeline.errors import InputError, one_line

PIN = re.compile(r"([A-Za-z0-9._-]+)==([^\s;#]+)")
FREE = 2 * 2**30  # bytes


class Line(NamedTuple):
    """One thing looked at."""

    fine: bool
    text: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a line for each thing looked at; exit code 1 if any is a finding."""
    findings = 0
    for check in (python, packages, parameters, data, disk, cache, plots, cuda, cores, stages):
        for line in looked_at(check):
            findings += not line.fine
            print(f"{'fine' if line.fine else 'finding':9}{line.text}", flush=True)
    if findings:
        raise SystemExit(1)


def looked_at(check: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines of a check; if it cannot even look, why."""
    try:
        yield from check()
    except (InputError, OSError) as error:
        yield Line(False, one_line(error))


def python() -> Iterator[Line]:
    """The interpreter against requires-python of pyproject.toml."""
    wanted = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    least = tuple(map(int, wanted.removeprefix(">=").split(".")))
    yield Line(sys.version_info[:2] >= least, f"Python {platform.python_version()}, expected {wanted}")


def packages() -> Iterator[Line]:
    """Installed versions against the pins of requirements.txt."""
    pins = dict(PIN.findall(Path("requirements.txt").read_text(encoding="utf-8")))
    wrong = 0
    for name, pinned in pins.items():
        try:
            installed = version(name).split("+")[0]  # torch names its build after a plus sign
        except PackageNotFoundError:
            installed = "nothing"
        if installed != pinned:
            wrong += 1
            yield Line(False, f"{name}: {installed} is installed, requirements.txt pins {pinned}; run `make repro`")
    if not wrong:
        yield Line(True, f"{len(pins)} packages are installed as requirements.txt pins them")


def parameters() -> Iterator[Line]:
    """Every block and row of params.yaml."""
    from pipeline.checks.params import check_file
    from pipeline.config.base import PARAMS

    check_file(PARAMS)
    yield Line(True, f"{PARAMS} is valid")


def data() -> Iterator[Line]:
    """Whether data.path is there and all of it can be read."""
    from pipeline.config.data import Data

    path = Path(load_block("data", Data).path)
    if not path.exists():
        yield Line(
            False, f"data.path: {path} does not exist; set it to a folder in the course layout, or to a manifest"
        )
        return
    files = [path, *path.rglob("*")] if path.is_dir() else [path]
    closed = [file for file in files if not os.access(file, os.R_OK)]
    if closed:
        yield Line(False, f"data.path: {closed[0]} cannot be read ({len(closed)} in all); check its permissions")
    else:
        yield Line(True, f"data.path: {path} can be read")


def disk() -> Iterator[Line]:
    """Free space where the project is."""
    free = shutil.disk_usage(".").free
    least = "" if free >= FREE else f", expected {FREE / 2**30:.0f} GiB; see `dvc gc --workspace`"
    yield Line(free >= FREE, f"{free / 2**30:,.1f} GiB of disk are free{least}")


def cache() -> Iterator[Line]:
    """The size of DVC's cache."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        path = Path(Repo().cache.local_cache_dir)
    except DvcException as error:
        raise InputError(f"DVC: {error}") from None
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    yield Line(True, f"DVC's cache {os.path.relpath(path)} has {size / 2**20:,.0f} MiB")


def plots() -> Iterator[Line]:
    """The page of `dvc plots`, where .dvc/config names one: without it DVC's message says little."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo()
    except DvcException as error:
        raise InputError(f"DVC: {error}") from None
    if name := repo.config["plots"].get("html_template"):
        page = Path(os.path.relpath(os.path.join(repo.dvc_dir, name)))
        missing = "" if page.is_file() else " is missing: `dvc plots` stops without it; run `dvc repro plots_page`"
        yield Line(not missing, f"{page}{missing or ' makes `dvc plots` work offline'}")


def cuda() -> Iterator[Line]:
    """The device of training and prediction."""
    import torch

    there = torch.cuda.is_available()
    yield Line(True, f"CUDA: {torch.cuda.get_device_name()}" if there else "CUDA: none, the CPU is used")


def cores() -> Iterator[Line]:
    """compute.threads and compute.processes against the cores of this machine."""
    from pipeline.config.training import Compute

    compute = load_block("compute", Compute)
    threads, processes = compute.threads, compute.processes
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    times = f" x compute.processes {processes}" if processes > 1 else ""
    text = f"compute.threads {'null' if threads is None else threads}{times} on {found} cores"
    fine = (threads or 1) * processes <= found
    yield Line(fine, text if fine else f"{text}: threads that wait for each other are slow; results stay the same")


def stages() -> Iterator[Line]:
    """What is not up to date, and why."""
    from pipeline.commands.status import reasons

    stale = 0
    for reason in reasons():
        stale += 1
        yield Line(False, f"stale: {reason}")
    if not stale:
        yield Line(True, "all stages are up to date")
