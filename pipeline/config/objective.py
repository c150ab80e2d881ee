"""A row's training objective: the file of pipeline/objectives that it names, and its options."""

from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.config.base import PARAMS, Block, check
from pipeline.config.named import load_named


def load_objective(name: object, key: str, path: Path = PARAMS) -> ModuleType:
    """The module pipeline.objectives.<name>; `key` is where the name stands in the parameter file.

    An objective is a file with
        Options   a Block: what a row's `options` must hold
        VIEWS     other encodings of a pair that its batches need: swapped, first, second (pipeline/text/prompts.py)
        loss(model, batch, options) -> (loss, {name: value to log})
        TRAINS_HEAD = False   only where it is: such an objective can be a first stage, not a row
    """
    return load_named("objectives", name, key, path)


def check_options(objective: ModuleType, values: Any, key: str, path: Path = PARAMS) -> Block:  # noqa: ANN401 - from YAML
    """`values`, found under `key`, checked against the objective's Options."""
    options: Block = check(values, objective.Options, key, path)
    return options
