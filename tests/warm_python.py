"""`python` and `dvc` for PATH that run in forks of a process which has torch and DVC imported.

As DVC runs the stages with a model (pipeline/stages/_warm.py): a test that runs many commands takes the time of what
they do, not that of their imports. Who kills the program that they started kills the fork as well.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory

REPOSITORY = Path(__file__).parents[1]
CLIENT = f"""#!{sys.executable} -IS
import json, os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.connect({{address!r}})
request = json.dumps([{{first!r}} + sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
socket.send_fds(server, [len(request).to_bytes(8, "big")], [0, 1, 2])
server.sendall(request)
sys.exit(int(server.recv(8) or b"1"))
"""


@contextmanager
def warm_python() -> Iterator[Path]:
    """A folder for the front of PATH, while its server runs."""
    with TemporaryDirectory() as name:  # not pytest's folder: the address of a socket may have 107 characters
        folder = Path(name)
        for program, first in (("python", []), ("dvc", ["-m", "dvc"])):
            (folder / program).write_text(CLIENT.format(address=f"{folder}/socket", first=first))
            (folder / program).chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, __file__, f"{folder}/socket"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        assert server.stdout is not None and server.stdout.readline() == "ready\n"
        try:
            yield folder
        finally:
            server.terminate()
            try:
                server.wait(timeout=60)  # until all that it runs has ended
            except subprocess.TimeoutExpired:
                server.kill()


def serve(address: str) -> None:
    """Run one fork for each connection."""
    import dvc.cli
    import dvc.cli.parser
    import dvc.repo.experiments
    import dvc.repo.reproduce

    from pipeline.stages import _warm

    dvc.cli.parser.get_main_parser()  # imports the modules of all commands
    _warm.imported([*_warm.LIBRARIES, "pandas", "sklearn.metrics"])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    print("ready", flush=True)
    try:
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                os._exit(answer(connection))
            connection.close()
            reap(os.WNOHANG)
    finally:
        reap(0)


def reap(options: int) -> None:
    """Wait for forks."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def answer(connection: socket.socket) -> int:
    """Run a request with the files of the client, in a process of its own, and send its exit code."""
    size, files, _, _ = socket.recv_fds(connection, 8, 3)
    words, folder, environment = json.loads(connection.makefile("rb").read(int.from_bytes(size, "big")))
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    process = get_context("fork").Process(target=begin, args=(words, folder, environment))
    process.start()
    if connection in wait([process.sentinel, connection]):  # closed, as the client was killed: nothing more is sent
        process.kill()
    process.join()
    with suppress(BrokenPipeError):
        connection.sendall(str(process.exitcode or 0).encode())
    return 0


def begin(words: Sequence[str], folder: str, environment: Mapping[str, str]) -> None:
    """What `python <words>` does, with the project's own modules read anew."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
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


if __name__ == "__main__":
    assert threading.active_count() == 1
    serve(sys.argv[1])
