"""Ways to keep a project: in each, stages run, write what is committed, and find in the cache what was lost."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_disk import small_disk
from small_project import REPOSITORY, contents

OUTPUTS = Path("data/prepared/sonnets"), Path("data/raw")
NOBODY = 65534


def sh(folder: Path, *command: str, code: int = 0, **environment: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, **environment}
    done = subprocess.run(command, cwd=folder, env=variables, text=True, stdout=-1, stderr=subprocess.STDOUT)
    assert done.returncode == code and "Traceback" not in done.stdout, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def clone(folder: Path, *options: str) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    sh(folder.parent, "git", "clone", "-q", *options, f"file://{REPOSITORY}", str(folder))
    return folder


def test_a_worktree_with_links_into_the_cache(tmp_path: Path) -> None:
    sh(clone(tmp_path / "project"), "git", "worktree", "add", "-q", "-b", "other", str(tmp_path / "worktree"))
    sh(tmp_path / "worktree", "dvc", "config", "--local", "cache.type", "symlink")
    assert works(tmp_path / "worktree")
    assert any(path.is_symlink() for path in (tmp_path / "worktree/data/prepared").rglob("*"))


def test_a_clone_without_history_with_hard_links_and_without_a_home(tmp_path: Path) -> None:
    project = clone(tmp_path / "project", "--depth", "1")
    sh(project, "dvc", "config", "--local", "cache.type", "hardlink")
    assert works(project, HOME="")
    assert any(path.stat().st_nlink == 2 for path in (project / "data/prepared").rglob("*.csv"))


def test_a_submodule_in_an_odd_place_with_a_cache_on_another_file_system(tmp_path: Path) -> None:
    thesis, cache = (
        tmp_path / "a thesis, größe 日本 'x' & $y",
        Path("/dev/shm", f"{tmp_path.parent.name} {tmp_path.name}"),
    )
    thesis.mkdir()
    sh(thesis, "git", "init", "-q")
    add = "git", "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{REPOSITORY}", "code"
    sh(thesis, *add)
    try:
        sh(thesis / "code", "dvc", "cache", "dir", "--local", str(cache))
        sh(thesis / "code", "dvc", "config", "--local", "cache.shared", "group")
        assert works(thesis / "code")
        assert any(cache.rglob("*"))
    finally:
        shutil.rmtree(cache, ignore_errors=True)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files to another user")
def test_files_of_another_user(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    for path in [project, *project.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    trust = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}  # for git status
    assert works(project, **trust)


def works(project: Path, **environment: str) -> bool:
    """Whether stages run, write what is committed, and the cache gives it back."""
    sh(project, "dvc", "repro", "-q", "prepare", **environment)
    changed = sh(project, "git", "status", "--porcelain", **environment)
    return changed == "" and lost_and_found(project, **environment)


def lost_and_found(project: Path, **environment: str) -> bool:
    """Whether the cache gives back what the stages have written."""
    before = [contents(project / output) for output in OUTPUTS]
    for output in OUTPUTS:
        shutil.rmtree(project / output)
    sh(project, "dvc", "checkout", "-q", "prepare", "download", **environment)
    return before == [contents(project / output) for output in OUTPUTS]


def test_what_is_no_longer_used_is_collected_and_the_rest_stays(tmp_path: Path) -> None:
    project, size = clone(tmp_path / "project"), 0
    for share in ("0.17", "0.2"):
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(text.replace("sonnets: 0.17", f"sonnets: {share}"))
        sh(project, "dvc", "repro", "-q", "prepare")
        size = len(contents(project / ".dvc/cache/files"))
    sh(project, "dvc", "gc", "--workspace", "--force")
    assert len(contents(project / ".dvc/cache/files")) < size
    assert lost_and_found(project)


def test_an_experiment_in_a_folder_of_its_own(tmp_path: Path) -> None:
    project = clone(tmp_path / "project")
    sh(project, "dvc", "exp", "run", "--temp", "-n", "fifth", "-S", "text.select.sonnets=0.2", "prepare")
    assert sh(project, "git", "status", "--porcelain") == ""
    changed = sh(project, "dvc", "exp", "diff", "HEAD", "fifth", "--json")
    assert "text.select.sonnets" in changed and "data.json" in changed


def test_a_cache_that_is_full_or_read_only_loses_nothing(tmp_path: Path) -> None:
    project, run = clone(tmp_path / "project"), ("python", "-m", "pipeline.parallel", "prepare")
    with small_disk(tmp_path / "disk", "8m") as disk:
        sh(project, "dvc", "cache", "dir", "--local", str(disk))
        (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - 100_000))
        assert "error: failed to reproduce download: data/raw: not all of it is in DVC's cache" in sh(
            project, *run, code=1
        )
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert "error: failed to reproduce" in sh(project, *run, code=1)
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        assert works(project)
