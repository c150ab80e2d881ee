"""What is wrong with this installation, its data or its results.

    python -m pipeline doctor

One line for each thing looked at. Exit codes: 0 no finding, 1 findings.
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

from pipeline.commands.status import changes, gone, make_plan, opened
from pipeline.compute import processes
from pipeline.config.base import PARAMS
from pipeline.config.params import check_methods, load_params
from pipeline.errors import InputError, one_line
from pipeline.stages.prepare import EXTRAS, lost

Lines = Iterator[tuple[bool, str]]  # whether it is fine, and what was found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> None:
    """Print a line for each thing looked at; exit code 1 if any is a finding."""
    findings = 0
    for look in (packages, parameters, dvc, cores, stages):
        try:
            lines = list(look())
        except (InputError, OSError) as error:
            lines = [(False, one_line(error))]
        findings += sum(not fine for fine, _ in lines)
        print("".join(f"{'fine' if fine else 'finding':9}{text}\n" for fine, text in lines), end="", flush=True)
    if findings:
        raise SystemExit(1)


def packages() -> Lines:
    """The interpreter against requires-python of pyproject.toml, packages against the pins of requirements.txt."""
    wanted = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    least = tuple(map(int, wanted.removeprefix(">=").split(".")))
    yield sys.version_info[:2] >= least, f"Python {platform.python_version()}, expected {wanted}"
    pins = re.findall(r"([\w.-]+)==([^\s;#]+)", Path("requirements.txt").read_text(encoding="utf-8"))
    fine = True
    for name, pinned in pins:
        there = "nothing"
        with suppress(PackageNotFoundError):
            there = version(name).split("+")[0]  # torch names its build after a plus sign
        if there != pinned:
            fine = False
            yield False, f"{name}: {there} is installed, requirements.txt pins {pinned}; run `make repro`"
    if fine:
        yield True, f"{len(pins)} packages are installed as requirements.txt pins them"


def parameters() -> Lines:
    """Every block and row of params.yaml; and whether all of data.path can be read."""
    check_methods(load_params())
    yield True, f"{PARAMS} is valid"
    path, text = Path(load_params().data.path), "can be read"
    closed = [file for file in (path, *path.rglob("*")) if not os.access(file, os.R_OK)]
    if not path.exists():
        text = "does not exist; set it to a folder in the course layout, or to a manifest"
    elif closed:
        path, text = closed[0], f"cannot be read ({len(closed)} in all); check its permissions"
    yield not closed, f"data.path: {path} {text}"
    absent = [name for name, file in EXTRAS.items() if path.is_dir() and not (path / file).exists()]
    yield from ((False, line) for line in lost(load_params(), absent))


def dvc() -> Lines:
    """Free disk and the size of DVC's cache."""
    free = shutil.disk_usage(".").free / 2**30
    yield free >= 2, f"{free:,.1f} GiB of disk are free{'' if free >= 2 else ', expected 2; see `dvc gc --workspace`'}"
    with opened() as repo:
        cache = Path(repo.cache.local_cache_dir)
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    yield True, f"DVC's cache {os.path.relpath(cache)} has {size / 2**20:,.0f} MiB"


def cores() -> Lines:
    """The device of models; compute.threads and compute.processes against the cores of this machine."""
    import torch

    yield True, f"CUDA: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'none, the CPU is used'}"
    compute, found = load_params().compute, processes.cores()
    times = f" x compute.processes {compute.processes}" if compute.processes > 1 else ""
    fine = (compute.threads or 1) * compute.processes <= found
    slow = "" if fine else ": threads that wait for each other are slow; results stay the same"
    yield fine, f"compute.threads {compute.threads or 'null'}{times} on {found} cores{slow}"


def stages() -> Lines:
    """What is not as dvc.lock says, and why; stages that only depend on these are counted."""
    with opened() as repo:
        plan = make_plan(repo)
        lines = [f"{name}: is gone, its files are not; run `python -m pipeline tidy`" for name in gone(repo)]
        lines += [f"{name}: never run" for name in plan.stages if name in plan.new]
        found = {name: changes(plan.stages[name]) for name in plan.stages if name in plan.stale - plan.new}
    lines += [f"{name}: {', '.join(texts)}" for name, texts in found.items() if texts]
    if waiting := sum(not texts for texts in found.values()):
        lines.append(f"{waiting} more stages depend on these")
    yield from ((False, f"stale: {line}") for line in lines)
    if not lines:
        yield True, "all stages are up to date"
