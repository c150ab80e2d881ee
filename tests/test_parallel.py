"""`python -m pipeline.parallel` does what `dvc repro` does, side by side: order, failure, interruption, dvc.lock."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from small_project import REPOSITORY

from pipeline.compute.processes import default_jobs, share_cores
from pipeline.config.training import Compute

# A stage writes its name to `started`, then waits for the files it is told to wait for: nothing here depends on speed.
STAGE = """
import os, sys, time
from pathlib import Path
name, wait, out, *deps = sys.argv[1:]
with open("started", "a") as file:
    file.write(name + "\\n")
print(f"output of {name}")
Path(f"pid_{name}").write_text(str(os.getpid()))
while os.environ.get("WAIT") and wait != "-" and not all(Path(path).exists() for path in wait.split(",")):
    time.sleep(0.01)
if Path(f"fail_{name}").exists():
    sys.exit(f"{name} has failed")
Path(out).write_text(name + "".join(Path(dep).read_text() for dep in deps))
"""
PIPELINE = """
stages:
  first:
    cmd: python stage.py first - first.txt seed.txt
    deps: [seed.txt, stage.py]
    outs: [first.txt]
  middle:
    foreach: {left: pid_middle@right, right: pid_middle@left, third: go}
    do:
      cmd: python stage.py middle@${key} ${item} middle/${key}.txt first.txt
      deps: [first.txt, stage.py]
      params: ["${key}"]
      outs:
        - middle/${key}.txt
  last:
    cmd: python stage.py last - last.txt middle/left.txt middle/right.txt middle/third.txt
    deps: [middle, stage.py]
    metrics:
      - last.txt: {cache: false}
"""
CHAIN = """
stages:
  alone: {cmd: python stage.py alone - alone.txt, outs: [alone.txt]}
  begin: {cmd: python stage.py begin - begin.txt, outs: [begin.txt]}
  end: {cmd: python stage.py end - end.txt begin.txt, deps: [begin.txt], outs: [end.txt]}
"""
ALL = ["first", "middle@left", "middle@right", "middle@third", "last"]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project of five stages: left and right each wait for the other to have started, third waits for `go`."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("left: 1\nright: 1\nthird: {deep: [1, two, 3.0]}\n")
    (folder / "seed.txt").write_text("seed")
    (folder / ".gitignore").write_text("/middle/\n")  # else DVC puts one into the folder, which `last` depends on
    (folder / "middle").mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=folder, check=True, env=environment())
    return folder


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    return shutil.copytree(template, tmp_path / "project")


@pytest.fixture(scope="module")
def serial(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as `dvc repro` leaves it."""
    folder = shutil.copytree(template, tmp_path_factory.mktemp("serial") / "project")
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd=folder, check=True, env=environment())
    return folder


def environment(**variables: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), **variables}


def start(folder: Path, *arguments: str, module: str = "pipeline.parallel") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments], cwd=folder, env=environment(WAIT="1"), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=interruptible,
    )  # fmt: skip


def interruptible() -> None:
    """These tests may run in the background, where the shell has SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == code, output
    return output


def run(folder: Path, *stages: str, jobs: int = 2, code: int = 0) -> str:
    (folder / "go").touch()
    return finish(start(folder, "--jobs", str(jobs), *stages), code)


def until(happened: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + 120
    while not happened():
        assert process is None or process.poll() is None, finish(process)
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def started(folder: Path) -> list[str]:
    """The stages in the order in which their commands started."""
    return (folder / "started").read_text().split() if (folder / "started").exists() else []


def lock(folder: Path) -> object:
    """dvc.lock; DVC appends new entries in the order in which their stages ended."""
    return YAML(typ="safe").load(folder / "dvc.lock")


def ended(folder: Path, name: str) -> bool:
    """Has the command of a stage ended? A process that nobody has waited for yet is a zombie."""
    try:
        state = Path(f"/proc/{(folder / f'pid_{name}').read_text()}/stat").read_text()
    except FileNotFoundError:
        return True
    return state.rpartition(")")[2].split()[0] == "Z"


def test_runs_side_by_side_and_leaves_what_dvc_repro_leaves(project: Path, serial: Path) -> None:
    output = run(project)  # left and right would wait for each other for ever, one after the other
    assert sorted(started(project)) == sorted(ALL)
    assert started(project)[0] == "first" and started(project)[-1] == "last"
    assert lock(project) == lock(serial)
    for name in ("last.txt", "middle/third.txt"):
        assert (project / name).read_bytes() == (serial / name).read_bytes(), name
    assert "0 of 5 stages are up to date" in output and "[5/5] last done" in output
    assert (project / ".dvc/tmp/jobs/middle@left.log").read_text() == "output of middle@left\n"
    table = (project / ".dvc/tmp/jobs/times.tsv").read_text().splitlines()
    assert sorted(row.split("\t")[0] for row in table[1:]) == sorted(ALL)

    # Nothing to do: neither for this program nor for DVC, which trusts the entries.
    assert run(project) == "5 stages are up to date\n"
    assert "up to date" in finish(start(project, "repro", module="dvc"))

    # One changed parameter, of a stage that is not asked for, then of one that is; and back again from the run cache.
    params = (project / "params.yaml").read_text()
    (project / "started").unlink()
    (project / "params.yaml").write_text(params.replace("right: 1", "right: 2"))
    assert "up to date" in run(project, "middle@left")
    assert "[4/5] middle@right done" in run(project)
    assert started(project) == ["middle@right"]  # it gives what it gave before: `last` has nothing to do
    (project / "params.yaml").write_text(params)
    (project / "middle/left.txt").unlink()
    assert "middle@right restored from the cache" in run(project)
    assert started(project) == ["middle@right"]
    assert lock(project) == lock(serial)


def test_the_longest_chain_begins_first(project: Path) -> None:
    (project / "dvc.yaml").write_text(CHAIN)
    run(project, jobs=1)
    assert started(project) == ["begin", "alone", "end"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_failed_stage_holds_up_what_depends_on_it_and_nothing_else(project: Path, serial: Path, jobs: int) -> None:
    for name in ("fail_middle@left", "go", "pid_middle@right", "pid_middle@left"):
        (project / name).touch()
    output = run(project, jobs=jobs, code=1)
    assert output.count("error: ") == 1 and "error: failed to reproduce middle@left: failed to run: python" in output
    assert "    output of middle@left\n    middle@left has failed\n" in output
    assert {"middle@right", "middle@third"} < {*started(project)} and "last" not in started(project)
    assert (project / "middle/right.txt").exists() and (project / "middle/third.txt").exists()

    (project / "fail_middle@left").unlink()
    (project / "started").unlink()
    run(project)
    assert started(project) == ["middle@left", "last"]
    assert (project / "dvc.lock").read_text().count("cmd:") == len(ALL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_it_ends_its_stages_and_goes_on_next_time(project: Path, serial: Path, number: int) -> None:
    process = start(project, "--jobs", "3")
    until(lambda: (project / "pid_middle@third").exists() and (project / "middle/right.txt").exists(), process)
    process.send_signal(number)
    output = finish(process, code=-signal.SIGKILL if number == signal.SIGKILL else 130)
    if number != signal.SIGKILL:
        assert "middle@third interrupted" in output and output.count("error: ") == 1
        assert "error: interrupted; run the same command again" in output
    until(lambda: ended(project, "middle@third"))
    assert not (project / "middle/third.txt").exists()

    (project / "started").unlink()
    run(project)
    assert "first" not in started(project) and started(project)[-2:] == ["middle@third", "last"]
    assert lock(project) == lock(serial)


@pytest.mark.parametrize("left", ["", "schema: '2.0'\nstages:\n  first:\n    cmd: pyth"])
def test_killed_while_dvc_writes_its_lock_it_goes_on_next_time(project: Path, serial: Path, left: str) -> None:
    copied = project / ".dvc/tmp/dvc.lock"
    run(project)
    whole = (project / "dvc.lock").read_text()
    for before, message in ((whole, "5 stages are up to date"), ("", "last restored from the cache")):
        (project / "dvc.lock").write_text(left)
        copied.write_text(before)
        assert message in run(project)
        assert lock(project) == lock(serial) and not copied.exists()


def test_two_at_once_run_every_stage_once(project: Path, serial: Path) -> None:
    one = start(project, "--jobs", "2", "middle@third")
    until(lambda: "middle@third" in started(project), one)
    assert "middle@left" not in started(project)
    finish(subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q", "-s", "middle@left"], cwd=project,
                            env=environment(), text=True, stdout=-1, stderr=subprocess.STDOUT))  # fmt: skip
    two = start(project, "--jobs", "2")
    assert two.stdout is not None
    lines = iter(two.stdout.readline, "")
    assert any("middle@third waits" in line and "is busy" in line for line in lines)
    (project / "go").touch()
    finish(one)
    finish(two)
    assert sorted(started(project)) == sorted(ALL)
    assert lock(project) == lock(serial)
    assert (project / "last.txt").read_bytes() == (serial / "last.txt").read_bytes()


def test_what_it_cannot_do_is_one_line(project: Path) -> None:
    assert "error: --jobs: expected a positive number, got 0" in run(project, jobs=0, code=1)
    output = run(project, "nowhere", code=1)
    assert output.startswith("error: dvc.yaml: ") and "nowhere" in output and output.count("\n") == 1


def test_default_is_the_cores_divided_by_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for threads, processes, jobs in (
        (None, 1, 1), (1, 1, 6), (4, 1, 1), (2, 1, 3), (8, 1, 1), (1, 2, 3), (2, 2, 1), (None, 2, 1)
    ):  # fmt: skip
        assert default_jobs(Compute(precision="fp32", threads=threads, processes=processes)) == jobs


def test_jobs_side_by_side_divide_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for jobs, threads in ((1, None), (2, "3"), (4, "1"), (8, "1")):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        share_cores(jobs)
        assert os.environ.get("OMP_NUM_THREADS") == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # what the user has set stays
    share_cores(3)
    assert os.environ["OMP_NUM_THREADS"] == "2"
