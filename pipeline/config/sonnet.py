"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from pipeline.config.base import PARAMS, Block, Name, Seed, check, entry, method, methods_in
from pipeline.config.tasks import Search, Tables, unless_one_of
from pipeline.config.training import Adapter, Training

# Folders of a row's best models, below its own.
CHECKPOINTS = ("", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")

Weight = Annotated[float, Field(gt=0)]


class Sonnet(Training):
    adapter: Adapter | None  # null trains all weights
    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class Decoding(Block):
    """An entry of sonnet.systems or sonnet.ensembles, whose `decoder` names a file of pipeline/decoding with

    Options   a Decoding: what the entry must hold, `decoder` among it
    write(writer, poems, options) -> Written   (pipeline/decoding/writer.py)
    """

    @property
    def module(self) -> ModuleType:
        """The decoder's file."""
        return sys.modules[type(self).__module__]

    def once(self) -> Self:
        """The same, with one poem a prompt."""
        return self


class System(Decoding):
    """What writes with a model. Most options ban tokens before each choice (decoding/constraints.py)."""

    # A folder of models/: `backbone` or `sonnet/<row>`; in sonnet.ensembles `sonnet/<row>/second` (CHECKPOINTS), too,
    # or a mixture (models/output.py) of several with weights, which are divided by their sum.
    model: str | dict[str, Weight]
    exact_lines: bool  # a poem ends with its 14th line, and not before
    line_length: bool  # no line is shorter or longer, in tokens, than all lines of the training sonnets
    no_copy_words: int | None = Field(ge=1)  # no line shares more words in a row with a training line; null: no limit
    max_new_tokens: int | None = Field(ge=1)  # after the prompt, as the report's 128; null: up to the context
    seed: Seed | None  # of what it draws; null: that of params.yaml


class Pools(Decoding):
    """What chooses among the candidates of systems: their pools, or their poems where they choose from none."""

    systems: dict[str, Weight] = Field(min_length=1)  # how much each candidate counts as a reference


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
    scorer: str  # the model that tells the perplexity of every system's poems
    system_defaults: dict[str, Any]
    systems: dict[Name, dict[str, Any]] = Field(min_length=1)
    system_search: Search  # of systems and decoders
    ensembles: dict[Name, dict[str, Any]]  # of several models or systems

    def problems(self) -> Iterator[str]:
        """What is wrong between its tables."""
        models = ["backbone", *(f"sonnet/{name}" for name in self.methods)]
        scorers = ["backbone", *(f"sonnet/{name}" for name, row in self.methods.items() if row.adapter is None)]
        yield from unless_one_of(self.scorer, scorers, "sonnet.scorer", "a model without an adapter: one of")
        kept = [f"sonnet/{name}/{place}" for name, row in self.methods.items() for place in CHECKPOINTS[1 : row.keep]]
        decoders, what = methods_in("decoding"), "a file of pipeline/decoding: one of"
        for name, own in {**self.systems, **self.ensembles}.items():
            table = "ensembles" if name in self.ensembles else "systems"
            key = f"sonnet.{table}.{name}"
            if name == "floors":
                yield f"{key}: metrics/sonnets/floors.json holds the model-free floors; choose another name"
            yield from unless_one_of(own.get("decoder"), decoders, f"{key}.decoder", what)
            if table == "systems":
                yield from unless_one_of(own.get("model"), models, f"{key}.model")
                yield from unless_one_of(own.get("amateur", "backbone"), ["backbone"], f"{key}.amateur")
                continue
            if name in self.systems:
                yield f"{key}: sonnet.systems has an entry of that name; choose another"
            for part, known in {"model": models + kept, "amateur": models + kept, "systems": [*self.systems]}.items():
                named = own.get(part, known[0])
                for member in named if isinstance(named, Mapping) else [named]:
                    yield from unless_one_of(member, known, f"{key}.{part}")

    def system(self, name: str, path: Path = PARAMS) -> Decoding:
        """The entry of `systems` or `ensembles`, checked against the Options of its decoder."""
        table = "ensembles" if name in self.ensembles else "systems"
        values = entry(getattr(self, table), name, f"sonnet.{table}")
        options = method("decoding", values["decoder"]).Options
        defaults = {key: value for key, value in self.system_defaults.items() if key in options.model_fields}
        system: Decoding = check(defaults | values, options, f"sonnet.{table}.{name}", path)
        return system
