"""What DVC says about the stages, without running any."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.commands import tidy
from pipeline.errors import InputError

if TYPE_CHECKING:  # which takes a second to import
    from dvc.repo import Repo
    from dvc.stage import Stage

CODE = "code"  # the stage that lists the code of the others: every edit makes it stale, and few of them


@dataclass
class Plan:
    """The stages that were asked for and all they depend on, in the order in which `dvc repro` runs them."""

    stages: "dict[str, Stage]"
    needs: dict[str, set[str]]  # direct dependencies
    stale: set[str]  # not up to date, or below such a stage
    new: set[str]  # without an entry in dvc.lock


def make_plan(repo: "Repo", targets: Sequence[str] = ()) -> Plan:
    """Read dvc.yaml and dvc.lock and find out what is up to date."""
    from dvc.repo import lock_repo
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

    with lock_repo(repo):
        graph = get_active_graph(repo.index.graph)  # from a stage to what it needs
        stages = {stage.addressing: stage for stage in plan_repro(graph, collect_stages(repo, targets or ["dvc.yaml"]))}
        needs = {name: {need.addressing for need in graph.successors(stage)} for name, stage in stages.items()}
        stale: set[str] = set()
        edited: set[str] = set()
        for name, stage in stages.items():
            reads_edited = any(str(dep) in edited for dep in stage.deps)
            if (needs[name] - {CODE}) & stale or reads_edited or changed(stage):
                stale.add(name)
                edited |= edited_lists() if name == CODE else set()
        new = {
            name
            for name, stage in stages.items()
            if stage.name not in stage.dvcfile.lockfile_contents.get("stages", {})
        }
    return Plan(stages, needs, stale, new)


def changed(stage: "Stage") -> bool:
    """Is the stage other than dvc.lock says? Yes if another process of DVC is writing its files."""
    from dvc.lock import LockError

    try:
        return stage.changed()
    except LockError:
        return True


def edited_lists() -> set[str]:
    """The lists that the stage CODE would change: what was edited, without running it."""
    from pipeline.stages.code import OUTPUT, listings

    files = {OUTPUT / path: text for path, text in listings().items()}
    return {str(file) for file, text in files.items() if not file.exists() or file.read_text("utf-8") != text}


def states() -> defaultdict[str, str]:
    """up to date, stale or never run, for every stage."""
    _, plan = _plan()
    stale = dict.fromkeys(plan.stages, "up to date") | dict.fromkeys(plan.stale, "stale")
    return defaultdict(lambda: "never run", stale | dict.fromkeys(plan.new, "never run"))


def reasons() -> list[str]:
    """A line for each stage that is not as dvc.lock says, and one for the number of stages that depend on them."""
    from dvc.repo import lock_repo

    repo, plan = _plan()
    waiting = 0
    with lock_repo(repo):
        lines = [f"{name}: is gone, its files are not; run `python -m pipeline tidy`" for name in tidy.gone(repo)]
        lines += [f"{name}: never run" for name in plan.stages if name in plan.new]
        for name, stage in plan.stages.items():
            if name in plan.stale - plan.new:
                found = ", ".join(_changes(stage.status().get(name, [])))
                lines += [f"{name}: {found}"] if found else []
                waiting += not found
    return lines + ([f"{waiting} more stages depend on these"] if waiting else [])


def _plan() -> "tuple[Repo, Plan]":
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        repo = Repo(_wait_for_lock=True)
        return repo, make_plan(repo)
    except DvcException as error:
        raise InputError(f"dvc.yaml: {error}") from None


def _changes(status: Sequence[str | Mapping[str, Any]]) -> Iterator[str]:
    """`dvc status` of a stage: what changed, and how."""
    for change in status:
        if isinstance(change, str):
            yield change
            continue
        for kind, entries in change.items():
            for path, how in entries.items():
                for item, text in how.items() if isinstance(how, Mapping) else [(path, how)]:
                    yield f"{kind.removeprefix('changed ').removesuffix('s')} {item} {text}"
