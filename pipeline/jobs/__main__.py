"""`dvc repro` with independent stages side by side.

    python -m pipeline.jobs [--jobs N] [STAGE ...]

One process reads the graph and checks, in topological order, which stages are up to date; each of the others runs in a
process of its own as soon as all it depends on is done. What is decided, restored from the run cache, run and written
to dvc.lock is what `dvc repro` would, and both may be at work at the same time: they share DVC's locks.
Before that, the files of removed rows are deleted (leftovers.py).
Exit codes: 0 done, 1 a stage failed (none was started after it), 130 interrupted.
"""

import argparse
import logging
from collections.abc import Sequence

from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo

from pipeline.config.base import load_block
from pipeline.config.training import Compute
from pipeline.errors import InputError, stage_main
from pipeline.jobs import leftovers
from pipeline.jobs.cores import default_jobs, share_cores
from pipeline.jobs.plan import make_plan
from pipeline.jobs.scheduler import Scheduler


def main(arguments: Sequence[str]) -> None:
    """Run what is not up to date."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.jobs")
    parser.add_argument("--jobs", type=int, help="stages at once (default: cores / (threads * processes))")
    parser.add_argument("stages", nargs="*", help="only these and what they depend on")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs: expected a positive number, got {options.jobs}")
    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        repo = Repo(_wait_for_lock=True)
        with lock_repo(repo):  # dvc.yaml is read once for both
            for line in leftovers.remove(repo):
                print(line, flush=True)
            plan = make_plan(repo, options.stages)
    except DvcException as error:
        raise InputError(f"dvc.yaml: {error}") from None
    if not plan.stale:
        print(f"{len(plan.stages)} stages are up to date")
        return
    jobs = options.jobs or default_jobs(load_block("compute", Compute))
    share_cores(jobs)
    raise SystemExit(Scheduler(repo, plan, jobs).run())


if __name__ == "__main__":
    stage_main(main)
