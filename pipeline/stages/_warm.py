"""Start the stages with a model in forks of one process that has their libraries imported already.

To import torch, transformers and peft takes 4 to 5 s of CPU, more than many of these stages compute; a fork has them
at once. The first such stage of a run of DVC starts the server, which ends with that run. It imports libraries and
never a module of this package, so that an edit counts; each environment has a server of its own, since libraries read
variables (threads, caches) when they are imported. The fork gets the arguments, environment and open files of the
command and works in its folder: it sees what a new interpreter would.

Only DVC's stages use it (a single command gains nothing), on Linux, without a GPU (CUDA forbids forks), and unless
STAGE_WARM=0. Whatever goes wrong before the stage has begun, the command runs the stage itself.
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
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

LIBRARIES = (
    "torch", "transformers.trainer", "transformers.models.gpt2.modeling_gpt2", "peft", "pydantic", "ruamel.yaml",
)  # fmt: skip
FOLDER = Path(".dvc/tmp")  # relative: the address of a socket has at most 107 characters
SWITCH, OWNER = "STAGE_WARM", "STAGE_RUNNER"  # environment: 0 is off; the process that the server ends with
DIFFERS = {"DVC_STAGE", "_", "PWD", "OLDPWD", "SHLVL"}  # between the stages of a run
GPUS = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")


def run_warm() -> int | None:
    """Run this process's command in a fork of the server; its exit code, or None if it has not begun."""
    wanted = sys.platform == "linux" and "DVC_STAGE" in os.environ and os.environ.get(SWITCH) != "0" and FOLDER.is_dir()
    if not wanted or "WORLD_SIZE" in os.environ or any(map(os.path.exists, GPUS)):
        return None
    try:
        with connected() as server:
            socket.send_fds(server, [json.dumps([sys.argv, dict(os.environ)]).encode()], [0, 1, 2])
            fork = server.recv(20)
            return wait_for(int(fork), server) if fork else None
    except OSError:
        return None


def connected() -> socket.socket:
    """A connection to the server of this environment, which is started if there is none."""
    variables = sorted((name, value) for name, value in os.environ.items() if name not in DIFFERS)
    key = hashlib.md5(repr([sys.executable, variables]).encode(), usedforsecurity=False).hexdigest()
    address, owner = str(FOLDER / f"warm-{key}"), os.environ.get(OWNER) or str(os.getppid())
    starting = None
    for _ in range(100):  # 10 s; it listens before it imports
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # which keeps messages apart
        try:
            server.connect(address)
            return server
        except OSError:
            server.close()
        if starting is None or starting.poll() is not None:
            starting = subprocess.Popen(  # -P: this folder's code.py is not the standard library's
                [sys.executable, "-P", __file__, address, owner], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        time.sleep(0.1)
    raise TimeoutError(address)


def wait_for(fork: int, server: socket.socket) -> int:
    """Pass signals on to the fork and wait for its exit code."""

    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(fork, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    with suppress(ConnectionError):
        if code := server.recv(20):
            return int(code)
    with suppress(ProcessLookupError):
        os.killpg(fork, signal.SIGKILL)
    print("error: the process that this stage was forked from has ended; run the same command again", file=sys.stderr)
    return 1


def imported(names: Sequence[str]) -> list[ModuleType]:
    """Import modules. A search for garbage in what they make takes a third of the time, and would unshare it."""
    gc.disable()
    modules = [import_module(name) for name in names]
    gc.freeze()
    gc.enable()
    return modules


def serve(address: str, owner: int) -> bool:
    """Fork for each request while `owner` lives. True in the forks, which have become the process of the command."""
    import fcntl

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
    waited: list[Any]
    running: dict[int, tuple[int, socket.socket]] = {}  # by a pipe that closes when the fork ends: it, its client
    while not torch.cuda.is_available() and (alive(owner) or running):
        clients = [client for _, client in running.values()]
        waited = [listener, *running, *clients]
        ready, _, _ = select.select(waited, [], [], 1)
        for end, (fork, client) in list(running.items()):
            if end in ready:
                code = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
                with suppress(OSError):
                    client.send(str(code if code >= 0 else 128 - code).encode())
                client.close()
                os.close(end)
                del running[end]
            elif client in ready:  # it sends nothing more: it was killed
                os.killpg(fork, signal.SIGKILL)
        if listener in ready:
            client, _ = listener.accept()
            request, files, _, _ = socket.recv_fds(client, 2**20, 3)
            end, other = os.pipe()
            if not (fork := os.fork()):
                for item in (listener, client, *clients):
                    item.close()
                lock.close()
                become(request, files)
                return True
            os.setpgid(fork, fork)
            for file in (other, *files):
                os.close(file)
            running[end] = fork, client
            with suppress(OSError):
                client.send(str(fork).encode())
    Path(address).unlink(missing_ok=True)
    return False


def alive(process: int) -> bool:
    """Whether it is there."""
    try:
        os.kill(process, 0)
    except OSError:
        return False
    return True


def become(request: bytes, files: Sequence[int]) -> None:
    """Take over arguments, environment, standard input and outputs of a command, in its folder."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.argv, environment = json.loads(request)
    os.environ.clear()
    os.environ.update(environment, **{SWITCH: "0"})
    sys.path.insert(0, os.getcwd())  # as python -m does
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream is sys.stderr or stream.isatty())  # type: ignore[union-attr]


if __name__ == "__main__" and serve(sys.argv[1], int(sys.argv[2])):
    runpy.run_module("pipeline.stages", run_name="__main__", alter_sys=True)
