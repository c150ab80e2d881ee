"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.config.base import PARAMS, Block, check, check_name, read_params
from pipeline.config.training import Training
from pipeline.errors import InputError


class Sonnet(Training):
    """One fine-tuned sonnet model."""

    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class System(Block):
    """A model and a decoder."""

    model: str = Field(min_length=1)  # a folder of models/: `backbone` or `sonnet/<a key of sonnet.methods>`
    decoder: Literal["top_p"]
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)
    draws: int = Field(ge=1)  # independent poems per prompt


def load_system(name: str, path: Path = PARAMS) -> System:
    """The checked entry of sonnet.systems; its model must be in params.yaml too."""
    sonnet = read_params(path)["sonnet"]
    systems = sonnet.get("systems") or {}
    if name not in systems:
        raise InputError(f"{path}: sonnet.systems has no entry {name!r}; it has {', '.join(map(str, systems))}")
    check_name(name, "sonnet.systems", path)
    system = check(systems[name], System, f"sonnet.systems.{name}", path)
    models = ["backbone", *(f"sonnet/{method}" for method in sonnet.get("methods") or {})]
    key = f"{path}: sonnet.systems.{name}"
    if name == "floors":
        raise InputError(f"{key}: metrics/sonnets/floors.json holds the model-free floors; choose another name")
    if system.model not in models:
        raise InputError(f"{key}.model: expected one of {', '.join(models)}, got {system.model!r}")
    return system
