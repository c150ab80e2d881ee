"""Ways to keep a project: in each, the stages run, write what is committed, and have nothing to do the second time."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_project import REPOSITORY

TARGET = "evaluate_floors"  # with download and prepare: stages that read, write and split files, and need no model
OUTPUTS = Path("data/prepared/sonnets"), Path("data/raw")
NOBODY = 65534


def sh(folder: Path, *command: str, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, **environment}
    done = subprocess.run(command, cwd=folder, env=variables, text=True, stdout=-1, stderr=subprocess.STDOUT)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def clone(folder: Path, *options: str) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    sh(folder.parent, "git", "clone", "-q", *options, f"file://{REPOSITORY}", str(folder))
    return folder


def plain(folder: Path) -> Path:
    return clone(folder / "project")


def linked(kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        project = clone(folder / "project")
        sh(project, "dvc", "config", "--local", "cache.type", kind)
        return project

    return make


def shared_cache_on_another_file_system(folder: Path) -> Path:
    project, cache = clone(folder / "project"), Path("/dev/shm", folder.name)
    if os.stat("/dev/shm").st_dev == os.stat(folder).st_dev:
        pytest.skip("/dev/shm is the same file system")
    sh(project, "dvc", "cache", "dir", "--local", str(cache))
    sh(project, "dvc", "config", "--local", "cache.shared", "group")
    return project


def worktree(folder: Path) -> Path:
    sh(clone(folder / "project"), "git", "worktree", "add", "-q", "-b", "other", str(folder / "worktree"))
    return folder / "worktree"


def submodule(folder: Path) -> Path:
    (folder / "thesis").mkdir()
    sh(folder / "thesis", "git", "init", "-q")
    add = "git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{REPOSITORY}", "code"
    sh(folder / "thesis", *add)
    return folder / "thesis/code"


def odd_path(folder: Path) -> Path:
    return clone(folder / "a thesis/größe 日本 'x' & $y")


def without_history(folder: Path) -> Path:
    return clone(folder / "project", "--depth", "1")


SET_UPS = [linked("symlink"), linked("hardlink"), shared_cache_on_another_file_system, worktree, submodule, odd_path]
SET_UPS += [without_history]


@pytest.mark.parametrize("make", SET_UPS, ids=["symlink", "hardlink", *(make.__name__ for make in SET_UPS[2:])])
def test_a_project_works(make: Callable[[Path], Path], tmp_path: Path) -> None:
    project = make(tmp_path)
    try:
        works(project)
    finally:
        shutil.rmtree(Path("/dev/shm", tmp_path.name), ignore_errors=True)


def works(project: Path, **environment: str) -> None:
    run = "python", "-m", "pipeline.parallel", TARGET
    assert f"{TARGET} done" in sh(project, *run, **environment)
    assert sh(project, "git", "status", "--porcelain", **environment) == ""
    assert "are up to date" in sh(project, *run, **environment)
    for output in OUTPUTS:  # lost and found again; a cache that is linked to is not written into
        shutil.rmtree(project / output)
    assert "restored from the cache" in sh(project, *run, **environment)
    assert sh(project, "dvc", "status", TARGET, "prepare", **environment).count("changed") == 0


def test_without_a_home(tmp_path: Path) -> None:
    works(plain(tmp_path), HOME="")


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody else")
def test_as_another_user(tmp_path: Path) -> None:
    project = plain(tmp_path)
    for path in [tmp_path, *tmp_path.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)
    names = {"HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "python", "-m", "pipeline.parallel"
    assert f"{TARGET} done" in sh(project, *command, TARGET, **names)


def test_what_is_no_longer_used_is_collected_and_the_rest_stays(tmp_path: Path) -> None:
    project, run = plain(tmp_path), ("python", "-m", "pipeline.parallel", TARGET)
    sh(project, *run)
    params = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(params.replace("sonnets: 0.17", "sonnets: 0.2"))
    sh(project, *run)
    (project / "params.yaml").write_text(params)
    sh(project, *run)
    sh(project, "dvc", "gc", "--workspace", "--force")
    assert "are up to date" in sh(project, *run)
    for output in OUTPUTS:
        shutil.rmtree(project / output)
    assert "restored from the cache" in sh(project, *run)


def test_an_experiment_in_a_folder_of_its_own(tmp_path: Path) -> None:
    project = plain(tmp_path)
    sh(project, "python", "-m", "pipeline.parallel", TARGET)
    sh(project, "dvc", "exp", "run", "--temp", "-n", "fifth", "-S", "text.select.sonnets=0.2", TARGET)
    assert sh(project, "git", "status", "--porcelain") == ""
    changed = sh(project, "dvc", "exp", "diff", "HEAD", "fifth", "--json")
    assert "text.select.sonnets" in changed and "data.json" in changed
