"""What a run would cost: time, memory and disk of each kind of stage, from the data and half a minute of measuring.

python -m pipeline estimate
python -m pipeline estimate --profile gpt2 --data ../shared/data --rows

Nothing is written. Times hold for this machine as it is now: what else runs on it slows the measurement, too.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.commands.terminal import print_table
from pipeline.config.base import PARAMS, load_block
from pipeline.config.training import Compute
from pipeline.errors import InputError
from pipeline.imports import importing
from pipeline.jobs.cores import default_jobs, share_cores

if TYPE_CHECKING:  # they import torch
    from pipeline.estimate.calibration import Calibration
    from pipeline.estimate.classifiers import Project
    from pipeline.estimate.cost import Cost
    from pipeline.estimate.demand import Stage

FACTORS = (10, 100)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The profile, its data, and how much is shown."""
    parser.add_argument("--profile", help="a file of profiles/ without .yaml (default: params.yaml)")
    parser.add_argument("--data", type=Path, help="a folder in the course layout instead of the profile's data.path")
    parser.add_argument("--jobs", type=int, help="stages at once (default: as `make repro`)")
    parser.add_argument("--rows", action="store_true", help="a line for each stage")
    parser.add_argument("--check", type=Path, metavar="TIMES", help="compare with the CPU seconds of a run's times.tsv")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Count, measure, and print."""
    path = PARAMS if options.profile is None else Path("profiles") / f"{options.profile}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in Path("profiles").glob("*.yaml")))
        raise InputError(f"{path}: no such file; --profile is one of {known}")
    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs: expected a positive number, got {options.jobs}")
    compute = load_block("compute", Compute, path)
    jobs = options.jobs or default_jobs(compute)
    share_cores(jobs)
    with importing():
        from pipeline.estimate.calibration import calibrate
        from pipeline.estimate.check import measured
        from pipeline.estimate.cost import open_project, operations, stages

    real = measured(options.check) if options.check else None
    project = open_project(path, options.data)
    found = stages(project)
    if real is not None:
        print_check(found, calibrate(project, operations(found), cpu_time=True), real)
        return
    calibration = calibrate(project, operations(found))
    # Without a number of threads, a stage alone would have more than what was measured.
    print_estimate(project, found, calibration, [1, jobs] if compute.threads else [jobs], options.rows)


def print_estimate(
    project: "Project", found: "Sequence[Stage]", calibration: "Calibration", jobs: Sequence[int], every: bool
) -> None:
    """The table, the totals with so many jobs, and what more data would cost with the last number of them."""
    from pipeline.estimate.cost import cost, longest, more_data, side_by_side, total

    where = "CUDA" if calibration.cuda else "CPU"
    print(f"Rows from {project.counts.source}; tokens by {project.counts.tokenizer}.")
    model = f"{project.model.weights / 1e6:,.1f} M weights, {project.precision}, {where}"
    print(f"{model}; measured in {calibration.took:.0f} s.\n")
    groups: dict[str, list[Stage]] = {}
    for stage in found:
        groups.setdefault(stage.name if every else stage.kind, []).append(stage)
    rows = []
    for name, group in groups.items():
        driver = group[0].driver if len(group) == 1 else f"the longest: {longest(group, calibration).name}"
        cells = shown(total([cost(stage, calibration) for stage in group]))
        rows.append([name, str(len(group)), *cells, driver])
    whole = total([cost(stage, calibration) for stage in found])
    rows.append(["all", str(len(found)), *shown(whole), "time added up, the largest process"])
    print_table(["Stage", "Stages", "Time", "Memory", "Disk", "Driven by"], rows)
    print()
    for number in sorted({*jobs}):
        least = side_by_side(found, calibration, number)
        memory = size(number * whole.memory_mib)
        print(f"make repro JOBS={number}: at least {duration(least)}, up to {memory} of memory")
    print()
    for factor in FACTORS:
        more = more_data(project, factor)
        costs = [cost(stage, calibration) for stage in more]
        added = total(costs)
        held = max(stage.memory_mib for stage in more) - max(stage.memory_mib for stage in found)
        print(
            f"{factor}x the training rows: {duration(side_by_side(more, calibration, jobs[-1]))} with JOBS={jobs[-1]}, "
            f"{size(added.disk_mib)} of disk, {size(added.memory_mib)} for the largest process"
            + (f" ({size(held)} of it for the additional rows)" if held > 1 else "")
        )


def print_check(found: "Sequence[Stage]", calibration: "Calibration", real: Mapping[str, float]) -> None:
    """CPU seconds by kind of stage, estimated and real, and their ratio."""
    from pipeline.estimate.check import compared
    from pipeline.estimate.cost import cost

    estimated = {stage.name: cost(stage, calibration).seconds for stage in found}
    rows = [
        [kind, str(count), f"{ours:.1f}", f"{theirs:.1f}", f"{ours / theirs:.2f}" if theirs else "–"]
        for kind, count, ours, theirs in compared(estimated, real)
    ]
    print_table(["Stage", "Stages", "Estimated CPU s", "Real CPU s", "Ratio"], rows)


def shown(cost: "Cost") -> list[str]:
    """Its three cells."""
    return [duration(cost.seconds), size(cost.memory_mib), size(cost.disk_mib)]


def duration(seconds: float) -> str:
    """As people say it: two units at most."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} days {hours % 24} h"


def size(mib: float) -> str:
    """MiB, or larger units for larger sizes."""
    if mib < 1024:
        return f"{mib:,.1f} MiB" if mib < 10 else f"{mib:,.0f} MiB"
    return f"{mib / 1024:,.1f} GiB" if mib < 1024**2 else f"{mib / 1024**2:,.1f} TiB"
