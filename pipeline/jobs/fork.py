"""Run a stage's `python` command in a fork of this process instead of a new interpreter.

Importing torch and transformers takes most of the time of a small stage. The scheduler imports them once, before the
first stage that needs them; every command then begins with them in memory. It sees what a new interpreter would: its
arguments, working folder and environment, the signal handlers of Python, and the project's own modules read anew.
"""

import importlib
import multiprocessing
import os
import re
import runpy
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

from dvc.stage import run
from dvc.stage.exceptions import StageCmdFailedError

from pipeline.imports import importing

PLAIN = re.compile(r"[\w\s./:=@%+,-]+")  # nothing in it that a shell would interpret
HEAVY = ("torch", "transformers.trainer", "transformers.models.gpt2.modeling_gpt2", "peft", "pandas", "sklearn.metrics")
COMPUTES = "compute"  # a parameter of every stage that runs a model
_in_new_interpreter = run._run


def import_heavy() -> None:
    """Import what the stages import. No thread is started, which a fork would lose.

    A search for garbage would make every fork copy what it looks at.
    """
    with importing():
        for module in HEAVY:
            importlib.import_module(module)


def fork_commands(answer: Connection) -> None:
    """Let DVC run the commands of this process in forks, which close `answer`."""

    def run_command(executable: str | None, command: str, **options: Any) -> None:  # noqa: ANN401 - those of subprocess.Popen
        words = shlex.split(command) if PLAIN.fullmatch(command) else []
        ours = shutil.which("python") == shutil.which(sys.executable)
        if not (ours and words[:1] == ["python"] and (words[1] == "-m" or words[1].endswith(".py"))):
            _in_new_interpreter(executable, command, **options)
            return
        process = multiprocessing.get_context("fork").Process(
            target=_main, args=(words[1:], options["cwd"], options["env"], answer)
        )
        process.start()
        process.join()
        if process.exitcode:
            raise StageCmdFailedError(command, process.exitcode)

    run._run = run_command


def _main(words: Sequence[str], folder: str, environment: Mapping[str, str], answer: Connection) -> None:
    """What `python <words>` does."""
    answer.close()  # only the job itself may keep it open: the scheduler sees its end by it
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL), (signal.SIGHUP, signal.SIG_DFL)
    ):  # fmt: skip
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment, PWD=folder)  # as a shell has it
    for name in [name for name in sys.modules if name.partition(".")[0] == "pipeline"]:
        del sys.modules[name]
    if words[0] == "-m":
        sys.argv, sys.path[0] = list(words[1:]), os.getcwd()
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = list(words), os.path.dirname(os.path.abspath(words[0]))
        runpy.run_path(words[0], run_name="__main__")
