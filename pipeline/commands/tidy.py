"""Delete the models, predictions, metrics and plots of rows that are no longer in params.yaml.

python -m pipeline tidy

`make repro` does this by itself. DVC keeps both the outputs and the dvc.lock entry of a stage that has left dvc.yaml.
They would count: the stages `ensemble` and `report` depend on whole folders. The entry says which files the stage
wrote, and with which content: these are deleted, and nothing else. DVC's cache still has them.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from pipeline.errors import InputError

if TYPE_CHECKING:
    from dvc.repo import Repo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(options: argparse.Namespace) -> None:
    """Print a line for each stage whose files were deleted."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        lines = list(remove(Repo(_wait_for_lock=True)))
    except DvcException as error:
        raise InputError(f"dvc.yaml: {error}") from None
    print("\n".join(lines) or "nothing to remove")


def gone(repo: "Repo") -> dict[str, Any]:
    """The entries of dvc.lock, by stage, that dvc.yaml no longer has."""
    known = {stage.addressing for stage in repo.index.stages}  # first: a broken dvc.lock is told by DVC
    lock = Path(repo.root_dir, "dvc.lock")
    entries = (YAML(typ="safe").load(lock) or {}).get("stages", {}) if lock.exists() else {}
    return {name: entries[name] for name in sorted(entries.keys() - known)}


def remove(repo: "Repo") -> Iterator[str]:
    """Delete what the stages that are gone left behind, and their entries; a line for each."""
    from dvc.dvcfile import load_file
    from dvc.repo import lock_repo
    from dvc.stage.loader import StageLoader
    from dvc.utils.serialize import modify_yaml

    with lock_repo(repo):
        forgotten = []
        wanted = [Path(out.fs_path) for out in repo.index.outs]
        project = load_file(repo, os.path.join(repo.root_dir, "dvc.yaml"))
        for name, entry in gone(repo).items():
            data = {"cmd": entry["cmd"], "outs": [{out["path"]: {"cache": False}} for out in entry.get("outs", [])]}
            stage = StageLoader.load_stage(project, name, data, entry)  # as if it were still in dvc.yaml
            there = [out for out in stage.outs if out.exists and not claimed(Path(out.fs_path), wanted)]
            removed = [out for out in there if not out.changed_checksum()]
            for out in removed:
                out.remove()
            if removed:
                yield f"{name} is gone: removed {', '.join(os.path.relpath(out.fs_path) for out in removed)}"
            if kept := [os.path.relpath(out.fs_path) for out in there if out not in removed]:
                yield f"{name} is gone: kept {', '.join(kept)}, changed since it was written; delete or move it"
            else:
                forgotten.append(name)
        if forgotten:
            with modify_yaml(os.path.join(repo.root_dir, "dvc.lock")) as lock:
                for name in forgotten:
                    del lock["stages"][name]


def claimed(file: Path, wanted: list[Path]) -> bool:
    """Whether a stage that is still there writes this path, a folder around it or something in it."""
    return any(file in (path, *path.parents) or path in file.parents for path in wanted)
