"""A stage in a fork of the warm process sees what a new interpreter would, and ends as it would."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_project import REPOSITORY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no forks of the warm process there")

# A package `pipeline` whose stages with a model are this one; the warm process imports two small libraries.
STAGE = """
import json, os, signal, sys, time
from pipeline.errors import InputError
IMPORTS = ("_", "SHLVL", "OLDPWD", "STAGE_WARM")  # of the shell, and what tells them apart
def main(arguments):
    if arguments[0] == "wait":
        print(os.getpid(), flush=True)
        time.sleep(60)
    if arguments[0] == "fail":
        raise InputError("it has failed")
    if arguments[0] == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    main = sys.modules["__main__"]
    json.dump({
        "argv": sys.argv, "path": sys.path[0], "folder": os.getcwd(), "main": main.__spec__.name,
        "input": sys.stdin.read(),
        "environment": {key: value for key, value in os.environ.items() if not key.startswith(IMPORTS)},
        "handlers": [str(signal.getsignal(n)).split(" at ")[0] for n in (signal.SIGINT, signal.SIGTERM)],
    }, sys.stdout)
    print("fractions" in sys.modules, file=sys.stderr)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = tmp_path / "pipeline"
    (package / "stages").mkdir(parents=True)
    (tmp_path / ".dvc/tmp").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "stages/__main__.py"):
        (package / name).write_text((REPOSITORY / "pipeline" / name).read_text())
    source = (REPOSITORY / "pipeline/stages/_warm.py").read_text()
    before, _, after = source.partition("LIBRARIES = (")
    after = after.partition(")")[2]
    (package / "stages/_warm.py").write_text(f'{before}LIBRARIES = ("torch_in_small", "fractions"){after}')
    (package / "stages/backbone.py").write_text(STAGE)
    small = "from types import SimpleNamespace\ncuda = SimpleNamespace(is_available=lambda: False)\n"
    (tmp_path / "torch_in_small.py").write_text(small)
    return tmp_path


@pytest.fixture
def owner() -> Iterator[subprocess.Popen[bytes]]:
    """In place of DVC: the warm process ends with it."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def start(folder: Path, *words: str, owner: int, warm: str = "1") -> subprocess.Popen[str]:
    variables = {
        "DVC_STAGE": " ".join(words),
        "STAGE_RUNNER": str(owner),
        "STAGE_WARM": warm,
        "PYTHONPATH": str(folder),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.stages", "backbone", *words], cwd=folder, env={**os.environ, **variables},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def finish(process: subprocess.Popen[str], text: str = "") -> tuple[int, str, str]:
    output, error = process.communicate(text, timeout=60)
    return process.returncode, output, error


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def there(process: int) -> bool:
    """A process that has ended, but that nobody has waited for, does not count."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def servers(folder: Path) -> set[int]:
    """The warm processes of a project, its forks included."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode().split("\0")
        except OSError:
            continue
        if f"{folder}/pipeline/stages/_warm.py" in words:
            found.add(int(entry.parent.name))
    return {process for process in found if there(process)}


def test_it_sees_what_a_new_interpreter_does_and_the_libraries_are_there(
    project: Path, owner: subprocess.Popen[bytes]
) -> None:
    cold, warm = (finish(start(project, "look", owner=owner.pid, warm=warm), "a line") for warm in "01")
    assert (cold[0], cold[2]) == (0, "False\n") and (warm[0], warm[2]) == (0, "True\n")
    assert json.loads(warm[1]) == json.loads(cold[1]) and json.loads(warm[1])["input"] == "a line"

    # An edit counts, and so does another environment: a new process for it.
    (project / "pipeline/stages/backbone.py").write_text("def main(arguments):\n    print('edited')\n")
    assert finish(start(project, "look", owner=owner.pid)) == (0, "edited\n", "")
    assert len(servers(project)) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")
        assert finish(start(project, "look", owner=owner.pid)) == (0, "edited\n", "")
    assert len(servers(project)) == 2

    owner.kill()
    owner.wait()
    until(lambda: not servers(project))
    assert [path.suffix for path in (project / ".dvc/tmp").iterdir()] == [".lock", ".lock"]


def test_its_end_is_that_of_the_command(project: Path, owner: subprocess.Popen[bytes]) -> None:
    assert finish(start(project, "fail", owner=owner.pid)) == (1, "", "error: it has failed\n")
    assert finish(start(project, "crash", owner=owner.pid))[0] == 128 + signal.SIGSEGV
    for number, code, said in (
        (signal.SIGINT, 130, "error: interrupted; run the same command again to go on\n"),
        (signal.SIGTERM, 128 + signal.SIGTERM, ""),
        (signal.SIGKILL, -signal.SIGKILL, ""),
    ):
        process = start(project, "wait", owner=owner.pid)
        assert process.stdout is not None
        fork = int(process.stdout.readline())
        assert there(fork) and fork != process.pid
        process.send_signal(number)
        assert finish(process) == (code, "", said)
        until(lambda fork=fork: not there(fork))  # type: ignore[misc]


def test_a_killed_warm_process_ends_its_stages_with_a_line_and_the_next_starts_another(
    project: Path, owner: subprocess.Popen[bytes]
) -> None:
    process = start(project, "wait", owner=owner.pid)
    assert process.stdout is not None
    fork = int(process.stdout.readline())
    (server,) = servers(project) - {fork}
    os.kill(server, signal.SIGKILL)
    code, _, said = finish(process)
    assert code == 1 and said.startswith("error: ") and said.count("\n") == 1
    until(lambda: not there(fork))
    assert finish(start(project, "look", owner=owner.pid))[2] == "True\n"
    assert server not in servers(project)


def test_what_it_cannot_import_leaves_the_stage_to_the_command(project: Path, owner: subprocess.Popen[bytes]) -> None:
    (project / "torch_in_small.py").write_text("raise ImportError")
    assert finish(start(project, "look", owner=owner.pid))[2] == "False\n"
