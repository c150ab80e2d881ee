"""What the DAG costs beside its work: the start of each stage, a run with nothing to do; and a cold run by stages.

    OMP_NUM_THREADS=1 python -m benchmarks.dag [--rounds 3]

Starts and idle runs are CPU time, the stages of a cold run wall time. Run the pipeline first, cold, with
`python -m pipeline.parallel`: everything must be up to date, and the shares are read from the times.tsv that it left
(skipped where it ran no more than a part).
"""

import argparse
import csv
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

from benchmarks.measure import Work, interleaved, write

TIMES = Path(".dvc/tmp/jobs/times.tsv")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dag")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    stages = sorted(path.stem for path in Path("pipeline/stages").glob("[!_]*.py"))
    works: dict[str, Work] = {f"start {stage}": partial(started, stage) for stage in stages}
    works["dvc repro, nothing to do"] = partial(ran, [["-m", "dvc", "repro"]])
    works["make repro, nothing to do"] = partial(ran, [["-m", "pipeline.parallel"], ["-m", "pipeline", "results"]])
    found = interleaved(works, rounds, "s")
    groups = shares(TIMES) if TIMES.exists() else {}
    write(
        "dag",
        "The DAG",
        "CPU time until a stage's command has imported all it needs, and of runs of the whole DAG with nothing to do. "
        "The other rows are a cold run's groups of stages, in wall time.",
        rounds,
        [
            {
                "name": name,
                "seconds": round(row.median, 2),
                "peak_mib": row.peak_mib,
                "values": [round(value, 2) for value in row.values],
            }
            for name, row in found.items()
        ]
        + [
            {"name": f"cold run: {name}", "seconds": round(seconds, 1), "share": round(share, 1)}
            for name, (seconds, share) in groups.items()
        ],
    )


def started(stage: str, _: int) -> float:
    """CPU seconds until `python -m pipeline.stages` has imported a stage's module."""
    code = (
        "import time; from pipeline.errors import stage_main; from pipeline.stages.__main__ import imported; "
        f"stage_main(lambda _: (imported('{stage}'), print(time.process_time())))"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)


def ran(commands: list[list[str]], _: int) -> float:
    """CPU seconds of `python` with each of the arguments. Call it in a process that has run nothing else."""
    for arguments in commands:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def shares(times: Path) -> dict[str, tuple[float, float]]:
    """Seconds and percentage of all by group of stages, the largest first."""
    seconds: dict[str, float] = {}
    with open(times, encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            group = row["stage"].split("@")[0]
            seconds[group] = seconds.get(group, 0.0) + float(row["seconds"])
    total = sum(seconds.values())
    return {name: (value, 100 * value / total) for name, value in sorted(seconds.items(), key=lambda item: -item[1])}


if __name__ == "__main__":
    main()
