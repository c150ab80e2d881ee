"""Start the stages with a model in forks of one process that has their libraries imported already.

To import torch, transformers and peft takes 4 to 5 s of CPU, more than many of these stages compute. The first such
stage of a run of DVC starts the server, which ends with that run. It imports no module of this package, so that an edit
counts; each environment has its own, since libraries read variables when they are imported. The fork gets the
arguments, environment, folder and open files of the command. Only DVC's stages use it, on Linux, without a GPU (CUDA
forbids forks), and unless STAGE_WARM=0. Whatever goes wrong before the stage has begun, the command runs it itself.
"""

import gc
import hashlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL
from types import ModuleType

LIBRARIES = (
    "torch", "transformers.trainer", "transformers.models.gpt2.modeling_gpt2", "peft", "pydantic", "ruamel.yaml",
)  # fmt: skip
FOLDER = Path(".dvc/tmp")  # relative: the address of a socket has at most 107 characters
DIFFERS = {"DVC_STAGE", "_", "PWD", "OLDPWD", "SHLVL"}  # between the stages of a run


def run_warm() -> int | None:
    """Run this process's command in a fork of the server; its exit code, or None if it has not begun."""
    gpu = any(map(os.path.exists, ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")))
    wanted = "DVC_STAGE" in os.environ and os.environ.get("STAGE_WARM") != "0" and FOLDER.is_dir()
    if sys.platform != "linux" or not wanted or "WORLD_SIZE" in os.environ or gpu:
        return None
    with suppress(OSError), connected() as server:
        socket.send_fds(server, [json.dumps([sys.argv, dict(os.environ)]).encode()], [0, 1, 2])
        if not (fork := int(server.recv(20) or b"0")):
            return None
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, lambda number, _: end(os.kill, fork, number))
        with suppress(ConnectionError):
            if code := server.recv(20):
                return int(code)
        end(os.killpg, fork, signal.SIGKILL)
        print("error: the warm process of this stage has ended; run the same command again", file=sys.stderr)
        return 1
    return None


def end(kill: Callable[[int, int], None], fork: int, number: int) -> None:
    """Pass a signal on, to a fork that may have ended."""
    with suppress(ProcessLookupError):
        kill(fork, number)


def connected() -> socket.socket:
    """A connection to the server of this environment, which is started if there is none."""
    variables = sorted(item for item in os.environ.items() if item[0] not in DIFFERS)
    key = hashlib.md5(repr([sys.executable, variables]).encode(), usedforsecurity=False).hexdigest()
    address, owner = str(FOLDER / f"warm-{key}"), os.environ.get("STAGE_RUNNER") or str(os.getppid())
    command = [sys.executable, "-P", __file__, address, owner]  # -P: code.py here is not the standard library's
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # which keeps messages apart
    for attempt in range(100):  # 10 s; it listens before it imports
        with suppress(OSError):
            server.connect(address)
            return server
        if attempt % 10 == 0:  # one that another is faster than, or that meets one about to end, ends itself
            subprocess.Popen(command, start_new_session=True, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
        time.sleep(0.1)
    raise TimeoutError(address)


def imported(names: Sequence[str]) -> list[ModuleType]:
    """Import modules. A search for garbage in what they make takes a third of the time, and would unshare it."""
    gc.disable()
    modules = [import_module(name) for name in names]
    gc.freeze()
    gc.enable()
    return modules


def serve(address: str, owner: int) -> bool:
    """Fork for each request while `owner` lives. True in the forks, which have become the process of the command."""
    import fcntl  # here: Windows has none

    lock = open(f"{address}.lock", "w")  # noqa: SIM115 - held until this process ends, however it ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False  # another one was faster
    Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen()
    torch, *_ = imported(LIBRARIES)
    running: dict[int, socket.socket] = {}  # by the process of the fork, its client
    while not torch.cuda.is_available() and (Path(f"/proc/{owner}").exists() or running):
        ready, _, _ = select.select([listener, *running.values()], [], [], 0.05 if running else 1)
        for fork, client in list(running.items()):
            ended, status = os.waitpid(fork, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                with suppress(OSError):
                    client.send(str(code if code >= 0 else 128 - code).encode())
                running.pop(fork).close()
            elif client in ready:  # it sends nothing more: it was killed
                os.killpg(fork, signal.SIGKILL)
        if listener in ready:
            client, _ = listener.accept()
            request, files, _, _ = socket.recv_fds(client, 2**20, 3)
            if not (fork := os.fork()):
                lock.close()
                for item in (listener, client, *running.values()):
                    item.close()
                become(request, files)
                return True
            os.setpgid(fork, fork)
            for file in files:
                os.close(file)
            running[fork] = client
            with suppress(OSError):
                client.send(str(fork).encode())
    Path(address).unlink(missing_ok=True)
    return False


def become(request: bytes, files: Sequence[int]) -> None:
    """Take over arguments, environment, standard input and outputs of a command, in its folder."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.argv, environment = json.loads(request)
    os.environ.clear()
    os.environ.update(environment, **{"STAGE_WARM": "0"})
    sys.path.insert(0, os.getcwd())  # as python -m does
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]


if __name__ == "__main__" and serve(sys.argv[1], int(sys.argv[2])):
    runpy.run_module("pipeline.stages", run_name="__main__", alter_sys=True)
