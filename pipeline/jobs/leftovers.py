"""What removed and renamed rows left behind.

DVC neither deletes the outputs of a stage that is in dvc.yaml no more nor its entry in dvc.lock. They would count: the
stages `ensemble` and `report` depend on whole folders of outputs, which a clone has without them. The entry says which
files the stage wrote, and with which content: these are deleted, and nothing else. DVC's cache still has them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.dvcfile import load_file
from dvc.repo import Repo, lock_repo
from dvc.stage.loader import StageLoader
from dvc.utils.serialize import load_yaml

from pipeline.jobs import lockfile

LOCK = "dvc.lock"


def gone(repo: Repo) -> list[str]:
    """The stages that dvc.lock knows and dvc.yaml has no more."""
    return sorted(lockfile.names(Path(repo.root_dir, LOCK)) - {stage.addressing for stage in repo.index.stages})


def remove(repo: Repo) -> Iterator[str]:
    """Delete what the stages that are gone left behind, and their entries; a line for each."""
    path = Path(repo.root_dir, LOCK)
    with lock_repo(repo):
        if not (names := gone(repo)):
            return
        entries = load_yaml(path)["stages"]
        wanted = [Path(out.fs_path) for out in repo.index.outs]
        forgotten = set()
        for name in names:
            removed: list[Any] = []
            kept: list[Any] = []
            for out in outputs(repo, name, entries[name]):
                file = Path(out.fs_path)
                if not out.exists or any(file in (w, *w.parents) or w in file.parents for w in wanted):
                    continue  # or it belongs to another stage by now
                (kept if out.changed_checksum() else removed).append(out)
            for out in removed:
                out.remove()
            if removed:
                yield f"{name} is gone: removed {', '.join(map(shown, removed))}"
            for out in kept:
                yield f"{shown(out)}: kept, although {name} is gone: it is not what that wrote; delete or move it"
            if not kept:
                forgotten.add(name)
        lockfile.remove_entries(path, forgotten)


def outputs(repo: Repo, name: str, entry: Any) -> list[Any]:  # noqa: ANN401 - from YAML; DVC's types are unknown
    """The outputs of a stage as DVC would load them if it were still there."""
    data = {"cmd": entry["cmd"], "outs": [{out["path"]: {"cache": False}} for out in entry.get("outs", [])]}
    project = load_file(repo, os.path.join(repo.root_dir, "dvc.yaml"))
    return list(StageLoader.load_stage(project, name, data, entry).outs)


def shown(out: Any) -> str:  # noqa: ANN401 - dvc's types are unknown
    """The path from the current folder."""
    return os.path.relpath(out.fs_path)
