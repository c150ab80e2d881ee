"""Block `training_sets`: the training pairs with augmented pairs mixed in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.config.base import PARAMS, Block, check, check_name, read_params
from pipeline.errors import InputError

Source = Literal["augmented/back_translation", "augmented/adversarial", "prepared/ap_h"]  # folders of data/


class TrainingSet(Block):
    """All training pairs, and augmented ones."""

    source: Source
    share: float = Field(gt=0, lt=1)  # at most so much of all updates is augmented
    texts: Literal["augmented", "original"]  # original: each augmented pair is the pair it was made of (the control)
    labels: Literal["balanced", "positive"]  # balanced: as the training pairs; positive: duplicates only, as reported


def training_sets(path: Path = PARAMS) -> Mapping[str, Any]:
    """The block as it stands, known to be a mapping."""
    sets = read_params(path)["training_sets"]
    if not isinstance(sets, Mapping):
        raise InputError(f"{path}: training_sets: expected a mapping of training sets, got {sets!r}")
    return sets


def load_training_set(name: str, path: Path = PARAMS) -> TrainingSet:
    """The checked entry `name` of training_sets."""
    sets = training_sets(path)
    if name not in sets:
        raise InputError(f"{path}: training_sets has no entry {name!r}; it has {', '.join(map(str, sets))}")
    check_name(name, "training_sets", path)
    training_set = check(sets[name], TrainingSet, f"training_sets.{name}", path)
    if training_set.texts == "original" and training_set.source != "augmented/back_translation":
        raise InputError(f"{path}: training_sets.{name}.texts: only back-translated pairs have an original pair")
    return training_set
