"""What DVC says about the stages, without running any."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ruamel.yaml import YAML

from pipeline.config.base import PARAMS, parse
from pipeline.errors import InputError
from pipeline.files import write_text

if TYPE_CHECKING:  # which takes a second to import
    from dvc.repo import Repo
    from dvc.stage import Stage

LOCK = "dvc.lock"
CODE = "code"  # the stage that lists the code of the others: every edit makes it stale, and few of them


class Plan(NamedTuple):
    """The stages that were asked for and all they depend on, in the order in which `dvc repro` runs them."""

    stages: "dict[str, Stage]"
    needs: dict[str, set[str]]  # direct dependencies
    stale: set[str]  # not up to date, or below such a stage
    new: set[str]  # without an entry in dvc.lock


@contextmanager
def opened() -> "Iterator[Repo]":
    """The project, locked, with dvc.yaml read once; waits for another process of DVC."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo
    from dvc.scm import SCMError

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        repo = Repo(_wait_for_lock=True)
        with lock_repo(repo):
            put_back(repo)
            yield repo
    except SCMError as error:
        without = "`git init`, or `dvc config --local core.no_scm true` to go on without history"
        raise InputError(f"{error}: the project was copied without its .git; run {without}") from None
    except DvcException as error:
        raise InputError(f"dvc.yaml: {error}") from None


@contextmanager
def kept_copy(repo: "Repo") -> Iterator[None]:
    """While DVC writes dvc.lock, which takes a second, there is a copy of what it was; `repo` is locked."""
    path, copied = Path(repo.root_dir, LOCK), Path(repo.tmp_dir, LOCK)
    write_text(copied, path.read_text(encoding="utf-8") if path.exists() else "")
    yield
    copied.unlink()


def put_back(repo: "Repo") -> None:
    """What `kept_copy` has left behind in a killed process: stages that are then missing are in DVC's run cache."""
    path, copied = Path(repo.root_dir, LOCK), Path(repo.tmp_dir, LOCK)
    if copied.exists():
        os.replace(copied, path)
        if not path.read_bytes():
            path.unlink()


def make_plan(repo: "Repo", targets: Sequence[str] = ()) -> Plan:
    """Find out what is up to date, from dvc.yaml and dvc.lock; `repo` is locked."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    graph = get_active_graph(repo.index.graph)  # from a stage to what it needs
    every = [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]
    wanted = collect_stages(repo, targets) if targets else every  # it would parse all files again
    stages = {stage.addressing: stage for stage in plan_repro(graph, wanted)}
    needs = {name: {need.addressing for need in graph.successors(stage)} for name, stage in stages.items()}
    stale: set[str] = set()
    edited: set[str] = set()
    for name, stage in stages.items():
        reads_edited = any(str(dep) in edited for dep in stage.deps)
        if (needs[name] - {CODE}) & stale or reads_edited or changed(stage):
            stale.add(name)
            edited |= edited_lists() if name == CODE else set()
    # Not stage.dvcfile: each stage would parse dvc.lock anew.
    new = {name for name, stage in stages.items() if not any(x.hash_info for x in (*stage.deps, *stage.outs))}
    return Plan(stages, needs, stale, new)


def changed(stage: "Stage") -> bool:
    """Is the stage other than dvc.lock says? Yes if another process of DVC is writing its files.

    DVC would parse params.yaml anew for each stage: it is asked only where a value differs.
    """
    from dvc.dependency.param import ParamsDependency
    from dvc.lock import LockError

    def below(node: Any, part: str) -> Any:  # noqa: ANN401 - of any type
        return node.get(part, ...) if isinstance(node, dict) else ...

    asked = copy(stage)
    asked.deps = []
    for dep in stage.deps:
        known = isinstance(dep, ParamsDependency) and dep.params and str(dep) == str(PARAMS)
        values = {key: reduce(below, key.split("."), parse(PARAMS)) for key in dep.params} if known else None
        asked.deps += [] if known and dep.hash_info.value == values else [dep]
    try:
        return bool(asked.changed())
    except LockError:
        return True


def edited_lists() -> set[str]:
    """The lists that the stage CODE would change: what was edited, without running it."""
    from pipeline.stages.code import OUTPUT, listings

    files = ((OUTPUT / path, text) for path, text in listings().items())
    return {str(file) for file, text in files if not file.exists() or file.read_text("utf-8") != text}


def gone(repo: "Repo") -> dict[str, Any]:
    """The entries of dvc.lock, by stage, that dvc.yaml no longer has."""
    known = {stage.addressing for stage in repo.index.stages}  # first: a broken dvc.lock is told by DVC
    lock = Path(repo.root_dir, "dvc.lock")
    entries = (YAML(typ="safe").load(lock) or {}).get("stages", {}) if lock.exists() else {}
    return {name: entries[name] for name in sorted(entries.keys() - known)}
