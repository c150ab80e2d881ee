"""A clone gives the same whatever surrounds it: settings of git, locale, time zone, home, order of a folder's files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_project import REPOSITORY, contents

# The stages that run no model. Arguments: where the package is, and how the system lists a folder.
STAGES = """
import os
import shutil
import sys
from pathlib import Path

repository, order = sys.argv[1:]
sys.path[:0] = [repository, f"{repository}/tests"]
if order == "backwards":
    listdir, scandir = os.listdir, os.scandir

    class Backwards:
        def __init__(self, *folder):
            with scandir(*folder) as entries:
                self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def __iter__(self):
            return self.entries

        def __next__(self):
            return next(self.entries)

    os.listdir, os.scandir = lambda *folder: sorted(listdir(*folder), reverse=True), Backwards
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

import report_project
import small_project
from pipeline.stages import back_translate, code, download, prepare, training_set, translate
from ruamel.yaml import YAML

shutil.copytree(f"{repository}/pipeline", "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
small_project.write_project(Path.cwd())
params = YAML(typ="safe").load(Path("params.yaml"))
params["back_translation"]["checks"]["similarity"] = None  # no encoder
YAML(typ="safe").dump(params, Path("params.yaml"))
for stage, *arguments in (
    (code,), (download,), (prepare,), (translate, "es", "0"), (back_translate, "es"),
    (training_set, "back_translation"),
):
    stage.main(*arguments)
os.mkdir("report")
os.chdir("report")
report_project.make_project(Path.cwd())
report_project.run_all()
"""
USUAL = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2", "COLUMNS": "200"}
ODD = {
    "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "PYTHONHASHSEED": "1",
    "TZ": "Pacific/Kiritimati", "HOME": "/dev/null/none", "OMP_NUM_THREADS": "1", "COLUMNS": "20",
}  # fmt: skip


def start(folder: Path, order: str, mask: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    folder.mkdir()
    return subprocess.Popen(
        [sys.executable, "-c", STAGES, str(REPOSITORY), order], cwd=folder, umask=mask, text=True,
        env={"PATH": os.environ["PATH"], **environment}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def test_stages_write_the_same_in_two_very_different_places(tmp_path: Path) -> None:
    usual, odd = tmp_path / "usual", tmp_path / "an ödd place"
    for process in (start(usual, "as it comes", 0o022, USUAL), start(odd, "backwards", 0o077, ODD)):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    written, others = contents(usual), contents(odd)
    for part in ("code", "data/prepared", "data/augmented/paraphrase", "report/metrics", "report/plots"):
        assert any(name.startswith(part) for name in written), part
    assert [name for name in written.keys() | others.keys() if written.get(name) != others.get(name)] == []


def git(folder: Path, *arguments: str) -> str:
    user = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(
        ["git", *user, *arguments], cwd=folder, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it stands, committed, with a data file that has line ends of its own."""
    folder = tmp_path_factory.mktemp("origin")
    for name in git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if (source := REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(source.read_bytes())
    (folder / "data/own.csv").write_bytes(b"id,text\r\n1,a\n2,b\r\n")
    git(folder, "init", "-q")
    git(folder, "-c", "core.autocrlf=true", "add", "-A")
    git(folder, "commit", "-qm", "all")
    return folder


@pytest.mark.parametrize("setting", ["core.autocrlf=true", "core.autocrlf=input", "core.eol=crlf"])
def test_a_clone_has_the_bytes_that_dvc_lock_knows(setting: str, origin: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "-c", setting, str(origin), "clone")
    clone = tmp_path / "clone"
    names = git(clone, "ls-files", "-z").removesuffix("\0").split("\0")
    assert "dvc.lock" in names and "data/own.csv" in names
    assert [name for name in names if (clone / name).read_bytes() != (origin / name).read_bytes()] == []


def test_nothing_is_stale_because_of_where_the_clone_is(origin: Path, tmp_path: Path) -> None:
    found = []
    for name, setting, environment in (("usual", "false", USUAL), ("odd", "true", {**ODD, "HOME": "/proc/none"})):
        git(tmp_path, "clone", "-q", "-c", f"core.autocrlf={setting}", str(origin), name)
        done = subprocess.run(
            [sys.executable, "-m", "pipeline.checks", "fresh"], cwd=tmp_path / name, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], **environment},
        )  # fmt: skip
        assert done.returncode in (0, 1) and not done.stderr, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1]
