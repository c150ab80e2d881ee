"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Self

from pydantic import Field

from pipeline.config.base import PARAMS, Block, Name, Seed, check, entry, method, methods_in
from pipeline.config.tasks import Search, Tables, unless_one_of
from pipeline.config.training import Adapter, Training


class Sonnet(Training):
    adapter: Adapter | None  # null trains all weights
    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class System(Block):
    """What all systems share. All options but the last two ban tokens before each choice (decoding/constraints.py).

    A system's `decoder` names a file of pipeline/decoding with
        Options   a System: what an entry of sonnet.systems must hold, `decoder` among it
        write(writer, poems, options) -> Written   (pipeline/decoding/writer.py)
    """

    model: str = Field(min_length=1)  # a folder of models/: `backbone` or `sonnet/<a key of sonnet.methods>`
    exact_lines: bool  # a poem ends with its 14th line, and not before
    line_length: bool  # no line is shorter or longer, in tokens, than all lines of the training sonnets
    no_copy_words: int | None = Field(ge=1)  # no line shares more words in a row with a training line; null: no limit
    max_new_tokens: int | None = Field(ge=1)  # after the prompt, as the report's 128; null: up to the context
    seed: Seed | None  # of what it draws; null: that of params.yaml

    @property
    def module(self) -> ModuleType:
        """The decoder's file."""
        return sys.modules[type(self).__module__]

    def once(self) -> Self:
        """The same system, with one poem a prompt."""
        return self


class Sampler(System):
    temperature: float = Field(gt=0)
    draws: int = Field(ge=1)  # independent poems per prompt

    def once(self) -> Self:
        return self.model_copy(update={"draws": 1})


class SonnetTables(Tables):
    TABLES: ClassVar[Mapping[str, str]] = {"methods": "defaults", "systems": "system_defaults"}
    RANGES: ClassVar[Mapping[str, str]] = {"methods": "search", "systems": "system_search"}

    defaults: dict[str, Any]
    methods: dict[Name, Sonnet] = Field(min_length=1)
    search: Search
    scorer: str  # the row of methods whose model tells the perplexity of every system's poems
    system_defaults: dict[str, Any]
    systems: dict[Name, dict[str, Any]] = Field(min_length=1)
    system_search: Search  # of systems and decoders

    def problems(self) -> Iterator[str]:
        """What is wrong between its tables."""
        scorers = [name for name, row in self.methods.items() if row.adapter is None]
        yield from unless_one_of(self.scorer, scorers, "sonnet.scorer", "a row without an adapter: one of")
        models = ["backbone", *(f"sonnet/{name}" for name in self.methods)]
        for name, system in self.systems.items():
            key = f"sonnet.systems.{name}"
            if name == "floors":
                yield f"{key}: metrics/sonnets/floors.json holds the model-free floors; choose another name"
            yield from unless_one_of(system.get("model"), models, f"{key}.model")
            decoders, what = methods_in("decoding"), "a file of pipeline/decoding: one of"
            yield from unless_one_of(system.get("decoder"), decoders, f"{key}.decoder", what)

    def system(self, name: str, path: Path = PARAMS) -> System:
        """The entry of `systems`, checked against the Options of its decoder."""
        values = entry(self.systems, name, "sonnet.systems")
        options = method("decoding", values["decoder"]).Options
        system: System = check(values, options, f"sonnet.systems.{name}", path)
        return system
