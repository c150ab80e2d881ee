"""A real full disk (a small tmpfs) in the middle of training: one line, nothing half-written, and the run goes on."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_project import contents, run, start, write_project


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    project = write_project(small_disk / "project")
    for stage in ("download", "prepare", "backbone"):
        run(project, stage)
    ballast = small_disk / "ballast"
    with open(ballast, "wb") as file:  # leave room for about one checkpoint
        file.write(bytes(shutil.disk_usage(small_disk).free - 700_000))
    process = start(project, "train_paraphrase", "baseline")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output
    assert "Traceback" not in output
    assert "the disk is full: free some space and run again" in output
    assert not (project / "models/paraphrase").exists() and not (project / "predictions").exists()

    ballast.unlink()
    run(project, "train_paraphrase", "baseline")
    names = contents(project / "models/paraphrase/baseline")
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md"} <= set(names)
    assert not list(project.rglob(".*.tmp"))
