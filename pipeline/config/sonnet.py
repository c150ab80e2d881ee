"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Self

from pydantic import Field

from pipeline.config.adapters import Adapter
from pipeline.config.base import PARAMS, Block, check, check_name, load_row, read_params
from pipeline.config.named import load_named
from pipeline.config.training import Training
from pipeline.errors import InputError


class Sonnet(Training):
    """One fine-tuned sonnet model."""

    adapter: Adapter | None  # null trains all weights
    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class System(Block):
    """What all systems share. All options but the last ban tokens before each choice (decoding/constraints.py).

    A system's `decoder` names a file of pipeline/decoding with
        Options   a System: what an entry of sonnet.systems must hold, `decoder` among it
        write(writer, poems, options) -> Written   (pipeline/decoding/writer.py)
    """

    model: str = Field(min_length=1)  # a folder of models/: `backbone` or `sonnet/<a key of sonnet.methods>`
    exact_lines: bool  # a poem ends with its 14th line, and not before
    line_length: bool  # no line is shorter or longer, in tokens, than all lines of the training sonnets
    no_copy_words: int | None = Field(ge=1)  # no line shares more words in a row with a training line; null: no limit
    max_new_tokens: int | None = Field(ge=1)  # after the prompt, as the report's 128; null: up to the context

    @property
    def module(self) -> ModuleType:
        """The decoder's file."""
        return sys.modules[type(self).__module__]

    def once(self) -> Self:
        """The same system, with one poem a prompt."""
        return self


class Sampler(System):
    """What all samplers share."""

    temperature: float = Field(gt=0)
    draws: int = Field(ge=1)  # independent poems per prompt

    def once(self) -> Self:
        """The same sampler, with its first draw alone."""
        return self.model_copy(update={"draws": 1})


def load_system(name: str, path: Path = PARAMS) -> System:
    """The checked entry of sonnet.systems, completed by sonnet.system_defaults; its model must be a row too."""
    sonnet = read_params(path)["sonnet"]
    systems = sonnet.get("systems") or {}
    if name not in systems:
        raise InputError(f"{path}: sonnet.systems has no entry {name!r}; it has {', '.join(map(str, systems))}")
    check_name(name, "sonnet.systems", path)
    key, defaults = f"sonnet.systems.{name}", sonnet.get("system_defaults")
    if not isinstance(defaults, Mapping) or not isinstance(systems[name], Mapping):
        raise InputError(f"{path}: sonnet.system_defaults and {key} must be mappings of parameters")
    decoder = load_named("decoding", systems[name].get("decoder"), f"{key}.decoder", path)
    system: System = check({**defaults, **systems[name]}, decoder.Options, key, path)
    models = ["backbone", *(f"sonnet/{method}" for method in sonnet.get("methods") or {})]
    if name == "floors":
        raise InputError(f"{path}: {key}: metrics/sonnets/floors.json holds the model-free floors; choose another name")
    if system.model not in models:
        raise InputError(f"{path}: {key}.model: expected one of {', '.join(models)}, got {system.model!r}")
    return system


def load_scorer(path: Path = PARAMS) -> str:
    """The row of sonnet.methods whose model tells the perplexity of every system's poems."""
    sonnet = read_params(path)["sonnet"]
    methods, scorer = sonnet.get("methods") or {}, sonnet.get("scorer")
    if scorer not in methods or load_row("sonnet", "methods", scorer, Sonnet, path).adapter is not None:
        raise InputError(
            f"{path}: sonnet.scorer: expected a row of sonnet.methods without an adapter, one of "
            f"{', '.join(map(str, methods))}; got {scorer!r}"
        )
    return str(scorer)
