"""What DVC says about the stages, without running any."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import InputError


def states() -> defaultdict[str, str]:
    """up to date, stale or never run, for every stage; a stage below a stale one is stale."""
    _, plan = _plan()
    stale = dict.fromkeys(plan.stages, "up to date") | dict.fromkeys(plan.stale, "stale")
    return defaultdict(lambda: "never run", stale | dict.fromkeys(plan.new, "never run"))


def reasons() -> list[str]:
    """A line for each stage that is not as dvc.lock says, and one for the number of stages that depend on them."""
    from dvc.repo import lock_repo

    from pipeline.jobs import leftovers

    repo, plan = _plan()
    lines = [f"{name}: is gone, its files are not; run `python -m pipeline tidy`" for name in leftovers.gone(repo)]
    lines += [f"{name}: never run" for name in plan.new]
    waiting = 0
    with lock_repo(repo):
        for name, stage in plan.stages.items():
            if name in plan.stale and name not in plan.new:
                found = ", ".join(_changes(stage.status().get(name, [])))
                lines += [f"{name}: {found}"] if found else []
                waiting += not found
    return lines + ([f"{waiting} more stages depend on these"] if waiting else [])


def _plan() -> Any:  # noqa: ANN401 - dvc, which takes a second to import, and its types are unknown
    """The repository and pipeline.jobs' plan of all stages."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from pipeline.jobs.plan import make_plan

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        repo = Repo(_wait_for_lock=True)
        return repo, make_plan(repo, [])
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
