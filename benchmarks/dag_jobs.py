"""Cold runs with two stages at once against one at a time, one thread each: wall time, and the same dvc.lock.

    python -m benchmarks.dag_jobs [--rounds 1] [STAGE ...]

Clones HEAD for each run, without any cache, and needs a machine with nothing else to do. All stages of the sample take
some ten minutes a run; with STAGEs, only these and what they need. `compute.threads` must be 1.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.measure import interleaved, write
from pipeline.checks.reproduce import clone_cold, run_stages
from pipeline.config.params import load_params
from pipeline.errors import InputError


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dag_jobs")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("stages", nargs="*")
    options = parser.parse_args()
    if load_params().compute.threads != 1:
        raise InputError("params.yaml: compute.threads: expected 1, so that both runs compute with one thread a stage")
    with tempfile.TemporaryDirectory() as scratch:
        locks = Path(scratch)
        found = interleaved(
            {f"JOBS={jobs}": partial(cold, locks, options.stages, jobs) for jobs in (1, 2)}, options.rounds, "s"
        )
        entries = [sorted(path.read_text().splitlines()) for path in locks.iterdir()]  # their order differs
        if any(lines != entries[0] for lines in entries):
            raise InputError("the runs wrote different dvc.lock files")
    what = f"the stages {', '.join(options.stages)} and what they need" if options.stages else "all stages"
    write(
        "dag_jobs",
        "Stages side by side",
        f"Wall time of a cold run of {what}, profile sample, one thread a stage; all wrote the same dvc.lock.",
        options.rounds,
        [
            {
                "name": name,
                "seconds": round(row.median, 1),
                "of_one_job": round(found["JOBS=1"].median / row.median, 2),
                "peak_mib": row.peak_mib,
                "values": [round(value, 1) for value in row.values],
            }
            for name, row in found.items()
        ],
    )


def cold(locks: Path, stages: list[str], jobs: int, number: int) -> float:
    """Seconds of a cold run in a clone; its dvc.lock is kept in `locks`."""
    with tempfile.TemporaryDirectory() as scratch:
        clone = Path(scratch, "clone")
        clone_cold(clone)
        start = time.perf_counter()
        run_stages(clone, stages, jobs)
        taken = time.perf_counter() - start
        (clone / "dvc.lock").rename(locks / f"{jobs}-{number}")
    return taken


if __name__ == "__main__":
    main()
