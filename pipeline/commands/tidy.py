"""Delete the models, predictions, metrics and plots of rows that are no longer in params.yaml.

python -m pipeline tidy

`make repro` does this by itself. DVC keeps both the outputs and the dvc.lock entry of a stage that has left dvc.yaml.
They would count: the stages `ensemble` and `report` depend on whole folders. The entry says which files the stage
wrote, and with which content: these are deleted, and nothing else. DVC's cache still has them.
"""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.status import gone, opened

if TYPE_CHECKING:
    from dvc.repo import Repo


def run(options: argparse.Namespace) -> None:
    """Print a line for each stage whose files were deleted."""
    with opened() as repo:
        print("\n".join(remove(repo)) or "nothing to remove")


def remove(repo: "Repo") -> list[str]:
    """Delete what the stages that are gone left behind, and their entries; a line for each."""
    from dvc.dvcfile import load_file
    from dvc.stage.loader import StageLoader
    from dvc.utils.serialize import modify_yaml

    lines: list[str] = []
    if not (entries := gone(repo)):
        return lines
    wanted = [Path(out.fs_path) for out in repo.index.outs]
    project = load_file(repo, os.path.join(repo.root_dir, "dvc.yaml"))
    with modify_yaml(os.path.join(repo.root_dir, "dvc.lock")) as lock:
        for name, entry in entries.items():
            data = {"cmd": entry["cmd"], "outs": [{out["path"]: {"cache": False}} for out in entry.get("outs", [])]}
            stage = StageLoader.load_stage(project, name, data, entry)  # as if it were still in dvc.yaml
            kept, removed = list[Any](), list[Any]()
            for out in stage.outs:
                file = Path(out.fs_path)
                claimed = any(file.is_relative_to(path) or path.is_relative_to(file) for path in wanted)
                if out.exists and not claimed:
                    (kept if out.changed_checksum() else removed).append(out)
            for out in removed:
                out.remove()
            if removed:
                lines.append(f"{name} is gone: removed {', '.join(os.path.relpath(out.fs_path) for out in removed)}")
            if kept:
                paths = ", ".join(os.path.relpath(out.fs_path) for out in kept)
                lines.append(f"{name} is gone: kept {paths}, changed since it was written; delete or move it")
            else:
                del lock["stages"][name]
    return lines
