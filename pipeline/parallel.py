"""`dvc repro` with independent stages side by side.

    python -m pipeline.parallel [--jobs N] [STAGE ...]

The files of removed rows are deleted (commands/tidy.py), and DVC says what is up to date (commands/status.py). Each of
the other stages runs as soon as all it depends on is done, in a fork of this process, which has DVC and the graph in
memory. `stage.reproduce()` there does what `dvc repro` would; both may be at work at once and share DVC's locks.

To change an entry DVC parses and prints all of dvc.lock, 2 s of CPU with the 158 stages of the sample. So this process
lets it write those of several stages at once, when they took WORTH times as long; only kill -9 can lose some, which
DVC's run cache has.
Exit codes: 0 done, 1 a stage failed (what depends on it was not started), 130 interrupted.
"""

import argparse
import gc
import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from graphlib import TopologicalSorter
from itertools import count
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage import Stage

from pipeline.commands import tidy
from pipeline.commands.status import Plan, kept_copy, make_plan, opened
from pipeline.compute.processes import default_jobs, share_cores
from pipeline.config.params import load_params
from pipeline.errors import InputError, one_line, print_anywhere, stage_main
from pipeline.files import write_csv

WORTH = 30  # how much longer than writing dvc.lock the stages took that it has no entries of
Job = tuple[Stage, BaseProcess, Path, float]  # a stage at work, its log, and when it started
interrupted = threading.Event()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.parallel")
    parser.add_argument("--jobs", type=int, help="stages at once (default: cores / (threads * processes))")
    parser.add_argument("stages", nargs="*", help="only these and what they depend on")
    options = parser.parse_args(arguments)
    if options.jobs is not None and options.jobs < 1:
        raise InputError(f"--jobs: expected a positive number, got {options.jobs}")
    with opened() as repo:
        print("".join(f"{line}\n" for line in tidy.remove(repo)), end="", flush=True)
        plan = make_plan(repo, options.stages)
    if not plan.stale:
        print(f"{len(plan.stages)} stages are up to date")
        return
    jobs = options.jobs or default_jobs(load_params().compute)
    share_cores(jobs)
    os.environ["STAGE_RUNNER"] = str(os.getpid())  # stages/_warm.py
    gc.freeze()  # a search for garbage would copy, in every fork, what it looks at
    raise SystemExit(Runner(repo, plan, jobs).run())


class Runner:
    """Starts the stages of a plan, at most `jobs` at once, and waits for them."""

    def __init__(self, repo: Repo, plan: Plan, jobs: int) -> None:
        self.repo, self.plan, self.jobs = repo, plan, jobs
        self.folder = Path(repo.tmp_dir, "jobs")
        needs = {name: plan.needs[name] & plan.stale for name in plan.stages if name in plan.stale}
        self.graph, self.ready = TopologicalSorter(needs), list[str]()
        self.behind = dict.fromkeys(needs, 0)  # stages that wait for one, each for the next
        for name in reversed([*TopologicalSorter(needs).static_order()]):
            self.behind |= {other: max(self.behind[other], self.behind[name] + 1) for other in needs[name]}
        self.running: dict[Connection, Job] = {}
        self.times: list[tuple[str, str, float]] = []  # stage, result, seconds
        self.failed, self.unwritten = dict[str, str](), list[Stage]()
        self.debt = self.cost = 0.0  # seconds that these took, and that writing dvc.lock took the last time

    def run(self) -> int:
        """The exit code."""
        self.folder.mkdir(parents=True, exist_ok=True)
        total, begin = len(self.plan.stages), time.monotonic()
        say(f"{total - len(self.plan.stale)} of {total} stages are up to date, {self.jobs} at once")
        note_signals()
        self.graph.prepare()
        while not interrupted.is_set():
            self.start_ready()
            if not self.running:
                break
            self.write_entries(WORTH * self.cost)
            self.receive()
        for number, patience in ((signal.SIGINT, 5), (signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            for _, process, *_ in self.running.values():
                kill(process, number)
            until = time.monotonic() + patience
            while self.running and time.monotonic() < until:
                self.receive()
        self.write_entries(0)
        print_times(self.times, time.monotonic() - begin, self.folder)
        for name, error in self.failed.items():
            print(f"error: failed to reproduce {name}: {error}", file=sys.stderr)
        if interrupted.is_set():
            raise KeyboardInterrupt
        return int(bool(self.failed))

    def start_ready(self) -> None:
        """Start what waits for no other stage, longest chain behind it first; behind a failed one none starts."""
        self.ready = sorted([*self.ready, *self.graph.get_ready()], key=self.behind.__getitem__, reverse=True)
        while self.ready and len(self.running) < self.jobs:
            stage = self.plan.stages[self.ready.pop(0)]
            log = self.folder / f"{stage.addressing.replace(os.sep, '_')}.log"
            log.write_bytes(b"")
            ours, theirs = Pipe(duplex=False)
            process = get_context("fork").Process(target=run_stage, args=(self.repo, stage, theirs, log, os.getpid()))
            process.start()
            theirs.close()
            self.running[ours] = stage, process, log, time.monotonic()

    def receive(self) -> None:
        """Take what jobs say: that they wait, or how they ended. On a terminal, the last line says what is running."""
        ready = wait(list(self.running), 0.5)
        for connection, job in [item for item in self.running.items() if item[0] in ready]:
            stage, process, *_ = job
            try:
                message = connection.recv()
            except EOFError:
                process.join()
                message = "failed", f"its process ended with exit code {process.exitcode}", []
            if isinstance(message, str):
                say(f"{stage.addressing} waits: {message}")
            else:
                del self.running[connection]
                self.end(job, *message)
        if sys.stdout.isatty():
            names = ", ".join(stage.addressing for stage, *_ in self.running.values())
            say(names[: os.get_terminal_size().columns - 1], end="")

    def end(self, job: Job, result: str, error: str, found: list[Any]) -> None:
        """Say how a stage ended. What depends on it may start."""
        stage, process, log, start = job
        name, seconds, total = stage.addressing, time.monotonic() - start, len(self.plan.stages)
        if error:
            result = "interrupted" if interrupted.is_set() else "failed"
            self.failed |= {name: error} if result == "failed" else {}
            kill(process, signal.SIGKILL)  # a killed process may have left its command behind
        else:
            self.graph.done(name)
        process.join()
        if found:
            for item, known in zip((*stage.deps, *stage.outs), found, strict=True):
                item.hash_info, item.meta = known
            self.unwritten.append(stage)
            self.debt += seconds
        self.times.append((name, result, seconds))
        say(f"[{total - len(self.plan.stale) + len(self.times)}/{total}] {name} {result}, {seconds:.1f} s")
        for line in log.read_bytes().decode(errors="replace").split("\n") if error else ():
            if shown := line.rstrip("\r").rsplit("\r", 1)[-1].rstrip():  # of a progress bar, the last state
                say(f"    {shown}")

    def write_entries(self, least: float) -> None:
        """Let DVC write the entries of the stages that have ended, if these took so many seconds."""
        if not self.unwritten or self.debt < least:
            return
        begin = time.monotonic()
        with lock_repo(self.repo), self.repo.scm_context(quiet=True), kept_copy(self.repo):
            for path, file in {stage.path: stage.dvcfile for stage in self.unwritten}.items():
                file.dump_stages([stage for stage in self.unwritten if stage.path == path], update_pipeline=False)
        self.unwritten, self.debt, self.cost = [], 0.0, time.monotonic() - begin


def kill(process: BaseProcess, number: int) -> None:
    """Send a signal to a job and to all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid or 0, number)


def say(text: str, end: str = "\n") -> None:
    """Print a line, on a terminal in place of the one that says what is running."""
    print(f"\r\033[K{text}" if sys.stdout.isatty() else text, end=end, flush=True)


def run_stage(repo: Repo, stage: Stage, answer: Connection, log: Path, runner: int) -> None:
    """The body of a job: bring `stage` up to date, and send its result, error and hashes."""
    os.setpgid(0, 0)  # so that the command, and what it starts, can be ended with this process
    note_signals()  # the command gets them too and ends; this process then releases its locks
    threading.Thread(target=end_with, args=(runner,), daemon=True).start()
    logging.getLogger("dvc").setLevel(logging.WARNING)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(file, number)
    os.environ["PYTHONIOENCODING"] = "utf-8"  # the log is a file like all others
    print_anywhere("utf-8")
    try:
        done = reproduce(repo, stage, answer)
    except Exception as error:  # whatever a stage does, the runner must hear of its end; the log has the trace
        if not isinstance(error, DvcException | OSError):
            traceback.print_exc()
        done = "failed", one_line(error) or repr(error), []
    sys.stdout.flush()
    answer.send(done)


def reproduce(repo: Repo, stage: Stage, answer: Connection) -> tuple[str, str, list[Any]]:
    """Run the stage or restore its outputs if it is not up to date; wait while another process uses its files."""
    for attempt in count():
        try:
            with lock_repo(repo), repo.scm_context(quiet=True):
                if not stage.reproduce():
                    break
                for out in stage.outs:  # of a folder, DVC does not say that files could not be written
                    if out.use_cache and out.changed_cache():
                        raise OSError(f"{out}: not all of it is in DVC's cache; is its disk full? Then run again")
                ran = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of child processes that have ended
                found = [(item.hash_info, item.meta) for item in (*stage.deps, *stage.outs)]
                return "done" if ran else "restored from the cache", "", found
        except LockError as error:
            if interrupted.is_set():
                raise
            if attempt == 0:
                answer.send(" ".join(str(error).split("\n\n")[0].split()))
            time.sleep(1)
            with lock_repo(repo):  # the other one may have done it
                (stage,) = repo.stage.collect(stage.addressing)
    return "unchanged", "", []


def note_signals() -> None:
    """Only note what is meant to end this process; what is ignored, as under nohup, stays so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: interrupted.set())


def end_with(runner: int) -> None:
    """Wait until the runner is gone, even by kill -9, then end the command; DVC's locks are released in order."""
    while os.getppid() == runner:
        time.sleep(0.5)
    interrupted.set()
    for number in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(0, number)
        time.sleep(10)


def print_times(rows: list[tuple[str, str, float]], elapsed: float, folder: Path) -> None:
    """Where the time went: groups of stages on the screen, the longest first, and stages in times.tsv."""
    write_csv(folder / "times.tsv", ("stage", "result", "seconds"), rows, delimiter="\t")
    groups: dict[str, list[float]] = {}
    for name, _, seconds in rows:
        groups.setdefault(name.split("@")[0], []).append(seconds)
    print(f"\n{'Where the time went':25} {'stages':>6} {'seconds':>8}")
    longest = sorted(groups.items(), key=lambda item: -sum(item[1]))
    for name, taken in [*longest, ("all", [seconds for *_, seconds in rows])]:
        print(f"{name:25} {len(taken):6} {sum(taken):8.1f}")
    print(f"{elapsed:.0f} s in all; stage by stage, and what they printed, in {os.path.relpath(folder)}", flush=True)


if __name__ == "__main__":
    stage_main(main)
