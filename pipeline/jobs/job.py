"""One stage in a process of its own, as `dvc repro` would run it."""

import logging
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage, Stage
from dvc.stage.serialize import to_single_stage_lockfile

from pipeline.errors import one_line, print_anywhere
from pipeline.jobs.fork import fork_commands
from pipeline.jobs.lockfile import write_entry

interrupted = threading.Event()


@dataclass
class Done:
    """How a stage ended."""

    result: str  # done, restored from the cache, unchanged, failed, interrupted
    error: str = ""
    command_cpu: float = 0.0  # seconds of CPU, of the command
    dvc_cpu: float = 0.0  # and of DVC around it: hashes, copies, dvc.lock
    start: float = 0.0  # seconds since the start of the run
    seconds: float = 0.0


def run_stage(
    repo: Repo, stage: Stage, later: Collection[str], answer: Connection, log: Path, lifeline: tuple[int, int]
) -> None:
    """The body of the process: bring `stage` up to date and send a `Done`, before that a text if it has to wait.

    `later` are the stages before whose entries a new one in dvc.lock belongs.
    """
    os.setpgid(0, 0)  # so that the command, and what it starts, can be ended with this process
    handle_signals(interrupt)
    os.close(lifeline[1])
    threading.Thread(target=end_with_scheduler, args=(lifeline[0],), daemon=True).start()
    redirect(log)
    fork_commands(answer)
    before = resource.getrusage(resource.RUSAGE_SELF)
    try:
        done = Done(reproduce(repo, stage, later, answer))
    except (DvcException, OSError) as error:
        done = Done("failed", one_line(error))
    except Exception as error:  # whatever a stage does, the scheduler must hear of its end; the log has the trace
        traceback.print_exc()
        done = Done("failed", one_line(error) or repr(error))
    after, command = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    done.dvc_cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    done.command_cpu = command.ru_utime + command.ru_stime
    sys.stdout.flush()
    answer.send(done)


def reproduce(repo: Repo, stage: Stage, later: Collection[str], answer: Connection) -> str:
    """Run the stage or restore its outputs if it is not up to date; wait while another process uses its files."""
    while True:
        try:
            with lock_repo(repo), repo.scm_context(quiet=True):
                if not stage.reproduce():
                    return "unchanged"
                write(stage, later)
                # The largest resident set of finished child processes: zero if no command ran.
                return "done" if resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss else "restored from the cache"
        except LockError as error:
            if interrupted.is_set():
                raise
            answer.send(" ".join(str(error).split("\n\n")[0].split()))
            time.sleep(1)
            with lock_repo(repo):  # the other one may have done it
                (stage,) = repo.stage.collect(stage.addressing)


def write(stage: Stage, later: Collection[str]) -> None:
    """The stage's entry in dvc.lock."""
    path = Path(stage.path).with_suffix(".lock")
    if not isinstance(stage, PipelineStage) or not write_entry(
        path, stage.name, to_single_stage_lockfile(stage), later
    ):
        stage.dump(update_pipeline=False)


def handle_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """Let `handler` see what is meant to end this process; what is ignored, as under nohup, stays so."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def interrupt(number: int, frame: FrameType | None) -> None:
    """The command gets the signal too and ends; this process then releases its locks."""
    interrupted.set()


def end_with_scheduler(lifeline: int) -> None:
    """Wait until the scheduler is gone, even by kill -9, then end the command; DVC's locks are released in order."""
    os.read(lifeline, 1)
    interrupted.set()
    for _ in range(10):
        os.killpg(0, signal.SIGTERM)
        time.sleep(1)
    os.killpg(0, signal.SIGKILL)


def redirect(log: Path) -> None:
    """No input; output to `log`, a file in UTF-8 like all others."""
    logging.getLogger("dvc").setLevel(logging.WARNING)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(source, target)
    print_anywhere("utf-8")
