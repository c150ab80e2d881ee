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
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.compute import processes
from pipeline.config.base import PARAMS
from pipeline.config.params import check_methods, load_params
from pipeline.errors import InputError, one_line

FREE = 2 * 2**30  # bytes
Lines = Iterator[tuple[bool, str]]  # whether it is fine, and what was found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> None:
    """Print a line for each thing looked at; exit code 1 if any is a finding."""
    findings = 0
    for look in (python, packages, parameters, data, disk, dvc, cores, stages):
        try:
            lines = list(look())
        except (InputError, OSError) as error:
            lines = [(False, one_line(error))]
        for fine, text in lines:
            findings += not fine
            print(f"{'fine' if fine else 'finding':9}{text}", flush=True)
    if findings:
        raise SystemExit(1)


def python() -> Lines:
    """The interpreter against requires-python of pyproject.toml."""
    wanted = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    least = tuple(map(int, wanted.removeprefix(">=").split(".")))
    yield sys.version_info[:2] >= least, f"Python {platform.python_version()}, expected {wanted}"


def packages() -> Lines:
    """Installed versions against the pins of requirements.txt."""
    pins = re.findall(r"([\w.-]+)==([^\s;#]+)", Path("requirements.txt").read_text(encoding="utf-8"))
    there = {name: "nothing" for name, _ in pins}
    for name in there:
        with suppress(PackageNotFoundError):
            there[name] = version(name).split("+")[0]  # torch names its build after a plus sign
    wrong = [(name, pinned) for name, pinned in pins if there[name] != pinned]
    for name, pinned in wrong:
        yield False, f"{name}: {there[name]} is installed, requirements.txt pins {pinned}; run `make repro`"
    if not wrong:
        yield True, f"{len(pins)} packages are installed as requirements.txt pins them"


def parameters() -> Lines:
    """Every block and row of params.yaml."""
    check_methods(load_params())
    yield True, f"{PARAMS} is valid"


def data() -> Lines:
    """Whether data.path is there and all of it can be read."""
    path = Path(load_params().data.path)
    closed = [file for file in (path, *path.rglob("*")) if not os.access(file, os.R_OK)]
    if not path.exists():
        yield False, f"data.path: {path} does not exist; set it to a folder in the course layout, or to a manifest"
    elif closed:
        yield False, f"data.path: {closed[0]} cannot be read ({len(closed)} in all); check its permissions"
    else:
        yield True, f"data.path: {path} can be read"


def disk() -> Lines:
    """Free space where the project is."""
    free = shutil.disk_usage(".").free
    least = "" if free >= FREE else f", expected {FREE / 2**30:.0f} GiB; see `dvc gc --workspace`"
    yield free >= FREE, f"{free / 2**30:,.1f} GiB of disk are free{least}"


def dvc() -> Lines:
    """The size of DVC's cache, and the page of `dvc plots`, which stops with a message that says little without it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo()
    except DvcException as error:
        raise InputError(f"DVC: {error}") from None
    cache = Path(repo.cache.local_cache_dir)
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    yield True, f"DVC's cache {os.path.relpath(cache)} has {size / 2**20:,.0f} MiB"
    if name := repo.config["plots"].get("html_template"):
        page = Path(os.path.relpath(os.path.join(repo.dvc_dir, name)))
        missing = "is missing: `dvc plots` stops without it; run `dvc repro plots_page`"
        yield page.is_file(), f"{page} {'makes `dvc plots` work offline' if page.is_file() else missing}"


def cores() -> Lines:
    """The device of models; compute.threads and compute.processes against the cores of this machine."""
    import torch

    yield True, f"CUDA: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none, the CPU is used'}"
    compute, found = load_params().compute, processes.cores()
    threads = "null" if compute.threads is None else compute.threads
    times = f" x compute.processes {compute.processes}" if compute.processes > 1 else ""
    fine = (compute.threads or 1) * compute.processes <= found
    slow = "" if fine else ": threads that wait for each other are slow; results stay the same"
    yield fine, f"compute.threads {threads}{times} on {found} cores{slow}"


def stages() -> Lines:
    """What is not up to date, and why."""
    from pipeline.commands.status import reasons

    stale = reasons()
    yield from ((False, f"stale: {reason}") for reason in stale)
    if not stale:
        yield True, "all stages are up to date"
