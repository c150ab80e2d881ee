"""Demands times calibration: the cost of stages, of all of them, and of more data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from pipeline.config.base import load_block
from pipeline.config.data import Backbone
from pipeline.estimate import augmentation, classifiers, writers
from pipeline.estimate.calibration import Calibration
from pipeline.estimate.classifiers import Project
from pipeline.estimate.counts import count
from pipeline.estimate.demand import Stage
from pipeline.estimate.model import model_of

DVC_SECONDS = 0.2  # of a stage: hashes, copies, dvc.lock


@dataclass(frozen=True)
class Cost:
    """Of a stage or of several: seconds of the command added up, the largest process, and what is left on disk."""

    seconds: float
    memory_mib: float
    disk_mib: float


def open_project(path: Path, data: Path | None) -> Project:
    """A profile, with the data of the folder where one is given."""
    model = model_of(load_block("backbone", Backbone, path))
    return Project(path, count(path, data), model)


def longest(found: Sequence[Stage], calibration: Calibration) -> Stage:
    """The stage that takes most time."""
    return max(found, key=lambda stage: cost(stage, calibration).seconds)


def stages(project: Project) -> list[Stage]:
    """All that a run of the profile consists of, in an order in which it can run."""
    return list(_stages(project))


def _stages(project: Project) -> Iterator[Stage]:
    yield from augmentation.data(project)
    yield from writers.backbone(project)
    yield from augmentation.translations(project)
    yield from augmentation.back_translations(project)
    yield from writers.generator(project)
    late = [*augmentation.searches(project), *augmentation.adversarial(project)]
    if late[0].needs.isdisjoint(_rows(project)):
        yield from late
        late = []
    yield from augmentation.training_set_stages(project)
    yield from classifiers.sentiment(project)
    yield from classifiers.first_stages(project)
    yield from classifiers.paraphrase(project)
    yield from late
    yield from writers.sonnet_models(project)
    yield from writers.systems(project)
    yield from augmentation.scores(project)


def _rows(project: Project) -> set[str]:
    return {f"train_paraphrase@{row}" for row in project.rows("paraphrase", "methods")}


def operations(found: Sequence[Stage]) -> set[str]:
    """What has to be measured."""
    return {part.operation for stage in found for part in stage.work}


def cost(stage: Stage, calibration: Calibration) -> Cost:
    """Of one stage."""
    work = ((part.count, calibration.lines[part.operation].seconds(part.rows, part.tokens)) for part in stage.work)
    seconds = stage.assumed_seconds + sum(count * one for count, one in work)
    return Cost(seconds, calibration.libraries_mib + stage.memory_mib, stage.disk_mib)


def total(costs: Sequence[Cost]) -> Cost:
    """Added up; of memory, the largest."""
    return Cost(
        sum(one.seconds for one in costs),
        max((one.memory_mib for one in costs), default=0.0),
        sum(one.disk_mib for one in costs),
    )


def longest_path(found: Sequence[Stage], seconds: dict[str, float]) -> float:
    """Of stages that wait for each other: no number of jobs makes a run shorter."""
    by_name = {stage.name: stage for stage in found}

    @cache
    def end(name: str) -> float:
        needs = by_name[name].needs & by_name.keys()
        return seconds[name] + max((end(need) for need in needs), default=0.0)

    return max(end(name) for name in by_name)


def side_by_side(found: Sequence[Stage], calibration: Calibration, jobs: int) -> float:
    """At least so long: all work shared evenly, or the longest path; each stage has DVC's own part too."""
    seconds = {stage.name: cost(stage, calibration).seconds + DVC_SECONDS for stage in found}
    return calibration.imports + max(sum(seconds.values()) / jobs, longest_path(found, seconds))


def more_data(project: Project, factor: float) -> list[Stage]:
    """The stages with so many times the training rows."""
    return stages(replace(project, counts=project.counts.scaled(factor)))
