"""A real full disk (a small tmpfs) in the middle of training: one line, nothing half-written, and the run goes on."""

import shutil
from pathlib import Path

import pytest
from small_disk import small_disk
from small_project import contents, run, start, write_project

pytestmark = pytest.mark.usefixtures("warm")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "24m") as disk:
        project = write_project(disk / "project")
        for stage in ("download", "prepare", "backbone"):
            run(project, stage)
        ballast = disk / "ballast"
        with open(ballast, "wb") as file:  # leave room for about one checkpoint
            file.write(bytes(shutil.disk_usage(disk).free - 700_000))
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
