"""Where the time of a run went, by group of stages on the screen and by stage in a file."""

import os
from collections.abc import Mapping
from pathlib import Path

from pipeline.files import write_csv
from pipeline.jobs.job import Done

COLUMNS = ("stage", "result", "start_s", "seconds", "command_cpu_s", "dvc_cpu_s")


def print_times(done: Mapping[str, Done], elapsed: float, folder: Path) -> None:
    """Print the groups, the longest first, and write the stages to `folder` in the order in which they started."""
    rows = sorted(done.items(), key=lambda item: item[1].start)
    write_csv(
        folder / "times.tsv",
        COLUMNS,
        [(name, job.result, job.start, job.seconds, job.command_cpu, job.dvc_cpu) for name, job in rows],
        delimiter="\t",
    )
    groups: dict[str, list[Done]] = {}
    for name, job in rows:
        groups.setdefault(name.split("@")[0], []).append(job)
    print(f"\n{'Where the time went':25} {'stages':>6} {'seconds':>8} {'of CPU':>8} {'DVC CPU':>8}")
    for group, jobs in sorted(groups.items(), key=lambda item: -sum(job.seconds for job in item[1])):
        print(line(group, jobs))
    total = [job for _, job in rows]
    print(line("all", total))
    print(
        f"{elapsed:.0f} s in all; stage by stage in {os.path.relpath(folder)}/times.tsv, what they printed beside it",
        flush=True,
    )


def line(title: str, jobs: list[Done]) -> str:
    """One row of the table; seconds of stages that ran side by side are added up."""
    sums = (sum(job.seconds for job in jobs), sum(job.command_cpu for job in jobs), sum(job.dvc_cpu for job in jobs))
    return f"{title:25} {len(jobs):6}" + "".join(f" {value:8.1f}" for value in sums)
