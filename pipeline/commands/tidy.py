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

from pipeline.errors import InputError

if TYPE_CHECKING:
    from dvc.repo import Repo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    parser.set_defaults(run=run)


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
    from dvc.dvcfile import load_file

    known = {stage.addressing: stage.dvcfile for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"}
    project = next(iter(known.values()), None) or load_file(repo, os.path.join(repo.root_dir, "dvc.yaml"))
    entries = project.lockfile_contents.get("stages", {})
    return {name: entries[name] for name in sorted(entries.keys() - known.keys())}


def remove(repo: "Repo") -> Iterator[str]:
    """Delete what the stages that are gone left behind, and their entries; a line for each."""
    from dvc.repo import lock_repo
    from dvc.utils.serialize import modify_yaml

    with lock_repo(repo):
        forgotten = []
        wanted = [Path(out.fs_path) for out in repo.index.outs]
        for name, entry in gone(repo).items():
            there = [out for out in outputs(repo, name, entry) if out.exists and not claimed(out, wanted)]
            removed = [out for out in there if not out.changed_checksum()]
            for out in removed:
                out.remove()
            if removed:
                yield f"{name} is gone: removed {', '.join(os.path.relpath(out.fs_path) for out in removed)}"
            if kept := [out for out in there if out not in removed]:
                paths = ", ".join(os.path.relpath(out.fs_path) for out in kept)
                yield f"{name} is gone: kept {paths}, changed since it was written; delete or move it"
            else:
                forgotten.append(name)
        if forgotten:
            with modify_yaml(os.path.join(repo.root_dir, "dvc.lock")) as lock:
                for name in forgotten:
                    del lock["stages"][name]


def claimed(out: Any, wanted: list[Path]) -> bool:  # noqa: ANN401 - DVC's types are unknown
    """Whether a stage that is still there writes this path, a folder around it or something in it."""
    file = Path(out.fs_path)
    return any(file in (path, *path.parents) or path in file.parents for path in wanted)


def outputs(repo: "Repo", name: str, entry: Any) -> list[Any]:  # noqa: ANN401 - from YAML; DVC's types are unknown
    """The outputs of a stage as DVC would load them if it were still there."""
    from dvc.dvcfile import load_file
    from dvc.stage.loader import StageLoader

    data = {"cmd": entry["cmd"], "outs": [{out["path"]: {"cache": False}} for out in entry.get("outs", [])]}
    project = load_file(repo, os.path.join(repo.root_dir, "dvc.yaml"))
    return list(StageLoader.load_stage(project, name, data, entry).outs)
