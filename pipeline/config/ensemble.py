"""Entries of paraphrase.ensembles: rows that average the predictions of rows of paraphrase.methods."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from pipeline.config.base import PARAMS, Block, check, check_name, read_params
from pipeline.errors import InputError


class Ensemble(Block):
    """Mean of the members' probabilities."""

    members: list[str] = Field(min_length=2)  # keys of paraphrase.methods
    weights: Literal["equal", "fitted"]  # fitted: on `select`, see pipeline/evaluation/ensemble.py


def ensembles(path: Path = PARAMS) -> Mapping[str, Any]:
    """paraphrase.ensembles as it stands, known to be a mapping."""
    found = read_params(path)["paraphrase"].get("ensembles")
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: paraphrase.ensembles: expected a mapping of ensembles, got {found!r}")
    return found


def load_ensemble(name: str, path: Path = PARAMS) -> Ensemble:
    """The checked entry of paraphrase.ensembles; its members must be rows of paraphrase.methods."""
    entries = ensembles(path)
    if name not in entries:
        raise InputError(f"{path}: paraphrase.ensembles has no entry {name!r}; it has {', '.join(map(str, entries))}")
    check_name(name, "paraphrase.ensembles", path)
    key = f"paraphrase.ensembles.{name}"
    ensemble = check(entries[name], Ensemble, key, path)
    methods = read_params(path)["paraphrase"]["methods"]
    if name in methods:
        raise InputError(f"{path}: {key}: paraphrase.methods has a row of that name; choose another")
    for member in ensemble.members:
        if member not in methods:
            raise InputError(f"{path}: {key}.members: {member!r} is not a row; expected some of {', '.join(methods)}")
        if ensemble.members.count(member) > 1:
            raise InputError(f"{path}: {key}.members: {member!r} is named more than once")
    return ensemble
