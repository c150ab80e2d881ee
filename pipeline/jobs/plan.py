"""Which stages are not up to date, and what they wait for."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dvc.lock import LockError
from dvc.repo import Repo, lock_repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.stage import Stage
from dvc_data.hashfile.hash_info import HashInfo

from pipeline.jobs import lockfile
from pipeline.jobs.once import each_file_once
from pipeline.stages.code import OUTPUT, listings

CODE = "code"  # the stage that lists the code of the others


@dataclass
class Plan:
    """What was asked for, in the order in which `dvc repro` would go through it."""

    stages: dict[str, Stage]
    needs: dict[str, set[str]]  # direct dependencies
    stale: list[str]  # not up to date, or below such a stage; what has the longest way to go comes first
    new: list[str]  # no entry in dvc.lock yet


def make_plan(repo: Repo, targets: Sequence[str]) -> Plan:
    """Read dvc.yaml and dvc.lock and find out what is up to date, as `dvc status` does."""
    with lock_repo(repo):
        graph = get_active_graph(repo.index.graph)  # from a stage to what it needs
        roots = collect_stages(repo, targets) if targets else [s for s in graph if s.path_in_repo == "dvc.yaml"]
        wanted = set(plan_repro(graph, roots))
        order = [stage for stage in plan_repro(graph) if stage in wanted]
        needs = {stage.addressing: {need.addressing for need in graph.successors(stage)} for stage in order}
        fresh: set[str] = set()
        with each_file_once(repo, order) as hashes:
            for stage in order:
                if needs[stage.addressing] - {CODE} <= fresh and is_fresh(stage):
                    fresh.add(stage.addressing)
                elif stage.addressing == CODE:  # any edit does that; whose code it was can be told before CODE has run
                    hashes |= hashes_of_lists(repo)
    heights: dict[str, int] = {}
    for name in reversed(needs):
        heights.setdefault(name, 0)
        for need in needs[name]:
            heights[need] = max(heights.get(need, 0), heights[name] + 1)
    stale = sorted((name for name in needs if name not in fresh), key=lambda name: -heights[name])
    known = lockfile.names(Path(repo.root_dir, "dvc.lock"))
    new = [stage.addressing for stage in order if stage.addressing not in known]
    return Plan({stage.addressing: stage for stage in order}, needs, stale, new)


def is_fresh(stage: Stage) -> bool:
    """Is the stage as dvc.lock says? If another DVC process works on its files, its job finds out later."""
    try:
        return not stage.changed()
    except LockError:
        return False


def hashes_of_lists(repo: Repo) -> dict[str, HashInfo]:
    """What the hashes of the stage CODE's outputs are when it has run, by absolute path."""
    return {
        os.path.join(repo.root_dir, OUTPUT, path): HashInfo("md5", hashlib.md5(text.encode()).hexdigest())
        for path, text in listings().items()
    }
