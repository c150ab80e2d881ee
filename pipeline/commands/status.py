"""What DVC says about the stages, without running any."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML

from pipeline.commands import tidy
from pipeline.config.base import PARAMS
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
        every = [stage for stage in repo.index.stages if stage.path_in_repo == "dvc.yaml"]
        wanted = collect_stages(repo, targets) if targets else every  # it would parse all files again
        stages = {stage.addressing: stage for stage in plan_repro(graph, wanted)}
        needs = {name: {need.addressing for need in graph.successors(stage)} for name, stage in stages.items()}
        stale: set[str] = set()
        edited: set[str] = set()
        params = YAML(typ="safe").load(PARAMS) if PARAMS.is_file() else {}
        for name, stage in stages.items():
            reads_edited = any(str(dep) in edited for dep in stage.deps)
            if (needs[name] - {CODE}) & stale or reads_edited or changed(stage, params):
                stale.add(name)
                edited |= edited_lists() if name == CODE else set()
        # Not stage.dvcfile: each stage would parse dvc.lock anew.
        recorded = {name for name, stage in stages.items() if any(x.hash_info for x in (*stage.deps, *stage.outs))}
    return Plan(stages, needs, stale, stages.keys() - recorded)


def changed(stage: "Stage", params: Mapping[str, Any]) -> bool:
    """Is the stage other than dvc.lock says? Yes if another process of DVC is writing its files.

    Args:
        params: what is in params.yaml. DVC would parse it anew for each stage; only where a value differs, it is asked.
    """
    from dvc.dependency.param import ParamsDependency
    from dvc.lock import LockError

    def value(key: str) -> Any:  # noqa: ANN401 - of any type
        node: Any = params
        for part in key.split("."):
            node = node.get(part, ...) if isinstance(node, dict) else ...
        return node

    deps = [
        dep
        for dep in stage.deps
        if not (isinstance(dep, ParamsDependency) and dep.params and str(dep) == str(PARAMS))
        or dep.hash_info.value != {key: value(key) for key in dep.params}
    ]
    try:
        if stage.frozen or stage.is_callback or stage.always_changed:
            return bool(stage.changed())
        return bool(stage.changed_stage() or any(dep.status() for dep in deps) or stage.changed_outs())
    except LockError:
        return True


def edited_lists() -> set[str]:
    """The lists that the stage CODE would change: what was edited, without running it."""
    from pipeline.stages.code import OUTPUT, listings

    files = {OUTPUT / path: text for path, text in listings().items()}
    return {str(file) for file, text in files.items() if not file.exists() or file.read_text("utf-8") != text}


def opened() -> "tuple[Repo, Plan]":
    """The project, and what is up to date in it."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        repo = Repo(_wait_for_lock=True)
        return repo, make_plan(repo)
    except DvcException as error:
        raise InputError(f"dvc.yaml: {error}") from None


def states() -> defaultdict[str, str]:
    """up to date, stale or never run, for every stage."""
    _, plan = opened()
    stale = dict.fromkeys(plan.stages, "up to date") | dict.fromkeys(plan.stale, "stale")
    return defaultdict(lambda: "never run", stale | dict.fromkeys(plan.new, "never run"))


def reasons() -> list[str]:
    """A line for each stage that is not as dvc.lock says, and one for the number of stages that depend on them."""
    from dvc.repo import lock_repo

    repo, plan = opened()
    with lock_repo(repo):
        lines = [f"{name}: is gone, its files are not; run `python -m pipeline tidy`" for name in tidy.gone(repo)]
        lines += [f"{name}: never run" for name in plan.stages if name in plan.new]
        stale = [name for name in plan.stages if name in plan.stale - plan.new]
        found = {name: ", ".join(changes(plan.stages[name])) for name in stale}
    lines += [f"{name}: {texts}" for name, texts in found.items() if texts]
    waiting = sum(not texts for texts in found.values())
    return lines + ([f"{waiting} more stages depend on these"] if waiting else [])


def changes(stage: "Stage") -> list[str]:
    """`dvc status` of a stage: what changed, and how."""
    texts = []
    for change in stage.status().get(stage.addressing, []):
        for kind, entries in change.items() if isinstance(change, dict) else [(change, {})]:
            what = kind.removeprefix("changed ").removesuffix("s")
            each = [how if isinstance(how, dict) else {path: how} for path, how in entries.items()]
            texts += [f"{what} {item} {how}" for some in each for item, how in some.items()] if entries else [kind]
    return texts
