"""Start the stages of a plan, each in a process of its own (job.py), and wait for them."""

import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

from dvc.repo import Repo

from pipeline.jobs.fork import COMPUTES, import_heavy
from pipeline.jobs.job import Done, handle_signals, run_stage
from pipeline.jobs.plan import Plan
from pipeline.jobs.times import print_times

GRACE = 15.0  # seconds that an interrupted stage has to end before it is killed


@dataclass
class Job:
    """A stage at work."""

    name: str
    process: BaseProcess
    log: Path
    start: float


class Scheduler:
    """Starts the stages of a plan, at most `jobs` at once, and waits for them."""

    def __init__(self, repo: Repo, plan: Plan, jobs: int) -> None:
        self.repo, self.plan, self.jobs = repo, plan, jobs
        self.folder = Path(repo.tmp_dir, "jobs")
        self.pending = list(plan.stale)
        self.running: dict[Connection, Job] = {}
        self.done: dict[str, Done] = {}
        self.interrupted = False
        self.lifeline = os.pipe()  # closes when this process ends, however it ends; the jobs listen
        self.begin = time.monotonic()

    def run(self) -> int:
        """The exit code."""
        self.folder.mkdir(parents=True, exist_ok=True)
        up_to_date = len(self.plan.stages) - len(self.pending)
        print(f"{up_to_date} of {len(self.plan.stages)} stages are up to date, {self.jobs} at once", flush=True)
        handle_signals(self.interrupt)
        try:
            while not self.interrupted:
                while len(self.running) < self.jobs and (name := self.next_ready()):
                    self.start(name)
                if not self.running:
                    break
                for connection in wait(list(self.running), timeout=0.5):
                    self.receive(connection)
                self.show_running()
            self.stop()
        finally:
            os.close(self.lifeline[1])  # whatever went wrong here, the jobs end
        print_times(self.done, time.monotonic() - self.begin, self.folder)
        failed = [name for name, done in self.done.items() if done.result == "failed"]
        for name in failed:
            print(f"error: failed to reproduce {name}: {self.done[name].error}", file=sys.stderr)
        if self.interrupted:
            print("error: interrupted; run the same command again to go on", file=sys.stderr)
        return 130 if self.interrupted else 1 if failed else 0

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Only note it: the loop looks at it at least twice a second."""
        self.interrupted = True

    def next_ready(self) -> str | None:
        """The first pending stage that waits for no other; none any more after a failure."""
        if any(done.error for done in self.done.values()):
            return None
        unfinished = {*self.pending, *(job.name for job in self.running.values())}
        return next((name for name in self.pending if not self.plan.needs[name] & unfinished), None)

    def start(self, name: str) -> None:
        """Fork: the job has DVC and the graph in memory already."""
        self.pending.remove(name)
        if any(COMPUTES in getattr(dep, "params", ()) for dep in self.plan.stages[name].deps):
            import_heavy()
        new = self.plan.new
        later = new[new.index(name) + 1 :] if name in new else []
        log = self.folder / f"{file_name(name)}.{os.getpid()}.log"
        log.touch()
        ours, theirs = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(
            target=run_stage, args=(self.repo, self.plan.stages[name], later, theirs, log, self.lifeline)
        )
        process.start()
        theirs.close()
        self.running[ours] = Job(name, process, log, time.monotonic())

    def receive(self, connection: Any) -> None:  # noqa: ANN401 - typeshed's wait() returns a union
        """A message of a job, or its end."""
        job = self.running[connection]
        try:
            message: Any = connection.recv()
        except EOFError:
            job.process.join()
            message = Done("failed", f"its process ended with exit code {job.process.exitcode}")
        if isinstance(message, str):
            self.say(f"{job.name} waits: {message}")
            return
        del self.running[connection]
        if message.error:
            message.result = "interrupted" if self.interrupted else "failed"
            kill_group(job, signal.SIGKILL)  # a killed job may leave its command behind
        job.process.join()
        message.start, message.seconds = job.start - self.begin, time.monotonic() - job.start
        self.done[job.name] = message
        number = len(self.plan.stages) - len(self.pending) - len(self.running)
        line = f"[{number}/{len(self.plan.stages)}] {job.name} {message.result}, {message.seconds:.1f} s"
        self.say("\n    ".join([line, *(printed(job.log) if message.error else ())]))
        job.log.replace(self.folder / f"{file_name(job.name)}.log")

    def say(self, text: str) -> None:
        """Print it in place of the line of `show_running`."""
        print(("\r\033[K" if sys.stdout.isatty() else "") + text, flush=True)

    def show_running(self) -> None:
        """On a terminal, the last line says what is going on."""
        if sys.stdout.isatty():
            now = time.monotonic()
            jobs = ", ".join(f"{job.name} {now - job.start:.0f} s" for job in self.running.values())
            print(f"\r\033[K{jobs[: os.get_terminal_size().columns - 1]}", end="", flush=True)

    def stop(self) -> None:
        """End what is still running: ask like Ctrl-C, then SIGTERM, then SIGKILL."""
        deadline = time.monotonic() + GRACE
        ask = signal.SIGINT
        while self.running:
            for job in self.running.values():
                kill_group(job, ask if time.monotonic() < deadline else signal.SIGKILL)
            for connection in wait(list(self.running), timeout=3):
                self.receive(connection)
            ask = signal.SIGTERM


def file_name(stage: str) -> str:
    """Of its log; stages of a dvc.yaml in a folder are named after the folder, too."""
    return stage.replace(os.sep, "_")


def printed(log: Path) -> list[str]:
    """The output of a stage as a terminal would leave it: of a progress bar, the last state."""
    lines = log.read_bytes().decode(errors="replace").split("\n")
    return [shown for line in lines if (shown := line.rstrip("\r").rsplit("\r", 1)[-1].rstrip())]


def kill_group(job: Job, number: int) -> None:
    """Send a signal to a job and to all that it started."""
    assert job.process.pid  # it was started
    try:
        os.killpg(job.process.pid, number)
    except ProcessLookupError:
        pass
