"""Blocks `sentiment`, `paraphrase` and `evaluation`: the rows of the tables of two tasks; sonnets are in sonnet.py."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal, NoReturn

from pydantic import Discriminator, Field, Tag, model_validator

from pipeline.config.base import PARAMS, Block, Different, Name, Seed, check, method, methods_in
from pipeline.config.training import Lora, Prefix, Target, Training
from pipeline.errors import InputError, listed

Prompt = Literal["ours", "report"]
CLASSES = {"sst": 5, "cfimdb": 2, "qqp": 2, "etpc": 2}  # labels of each data set


class Range(Block):
    """Numbers from `low` to `high`, drawn evenly on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool

    @model_validator(mode="after")
    def _ordered(self) -> "Range":
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("expected low < high, and low > 0 where log is true")
        return self


class Choices(Block):
    choices: list[bool | int | float | str | None] = Field(min_length=1)


def _range_or_choices(values: Any) -> str:  # noqa: ANN401 - from YAML; a plain union would tell what both of them miss
    return "(choices)" if isinstance(values, Choices | Mapping) and "choices" in dict(values) else "(range)"


Searched = Annotated[
    Annotated[Range, Tag("(range)")] | Annotated[Choices, Tag("(choices)")], Discriminator(_range_or_choices)
]
Ranges = Annotated[dict[str, Searched], Field(min_length=1)]
Search = dict[str, Ranges]  # by row; `any`: of rows without an entry of their own


class Tables(Block):
    """A block with `defaults`, which complete the entries of its tables before these are checked."""

    TABLES: ClassVar[Mapping[str, str]] = {"methods": "defaults"}  # table: its defaults
    RANGES: ClassVar[Mapping[str, str]] = {"methods": "search"}  # table: ranges of its rows, for `make search`

    @model_validator(mode="before")
    @classmethod
    def _completed(cls, values: Any) -> Any:  # noqa: ANN401 - from YAML
        if not isinstance(values, Mapping):
            return values
        done = dict(values)
        for table, defaults in cls.TABLES.items():
            rows, common = values.get(table), values.get(defaults)
            if isinstance(rows, Mapping) and isinstance(common, Mapping):
                sound = {name: row or {} for name, row in rows.items() if isinstance(row, Mapping | None)}
                done[table] = {**rows, **{name: {**common, **row} for name, row in sound.items()}}
        return done

    def ranges(self, table: str, name: str) -> tuple[str, Ranges, Mapping[str, Any]]:
        """What a search may change in a row: whose entry it is (its own, its decoder's or any), the ranges, the row."""
        row, search = getattr(self, table)[name], getattr(self, self.RANGES[table])
        values = row if isinstance(row, Mapping) else row.model_dump()
        found = next((key for key in (name, values.get("decoder", "")) if key in search), "any")
        return found, search.get(found, {}), values

    def range_problems(self, block: str) -> Iterator[str]:
        """Ranges of what a row does not have."""
        for table, search in self.RANGES.items():
            for name in getattr(self, table):
                found, ranges, row = self.ranges(table, name)
                for key in sorted(ranges.keys() - row.keys()):
                    yield f"{block}.{search}.{found}.{key}: {block}.{table}.{name} has no such key, only {listed(row)}"


def unless_one_of(value: object, known: Iterable[str], where: str, what: str = "one of") -> Iterator[str]:
    """The error about a value that is not among the known ones."""
    if value not in (known := list(known)):
        yield f"{where}: expected {what} {listed(known)}, got {value!r}"


class Sentiment(Training):
    dataset: Literal["sst", "cfimdb"]
    mode: Literal["head", "full"] | Prefix  # head: the backbone is frozen (the course's last-linear-layer mode)
    head_dropout: float = Field(ge=0, lt=1)
    seeds: list[Seed]  # further ones, for the spread of a row's scores and for ensembles


class Paraphrase(Training):
    train: str  # folder of data/: prepared/paraphrase, augmented/paraphrase/<set>; in first stages prepared/etpc too
    start: str  # folder of models/: backbone, or first_stage/<a key of first_stages>
    objective: str  # a file of pipeline/objectives
    options: Mapping[str, Any]  # of the objective: see Options in its file
    pooling: Literal["last", "mean"]  # over the real tokens of the prompt
    prompt: Prompt  # report: lower case with `. ? , '` split off, a trailing space, cut at the right
    head: Literal["linear", "cloze"]  # cloze: begins as the language model's rows of " no" and " yes"
    head_dropout: float = Field(ge=0, lt=1)
    exact_match: bool  # mark the tokens that stand in both sentences
    adapter: Literal["lora", "dora"] | Prefix | None
    r: int | None = Field(ge=1)  # of lora and dora
    targets: list[Target] | None = Field(min_length=1)  # of lora and dora
    adapter_dropout: float | None = Field(ge=0, lt=1)  # of the input of lora and dora; null: dropout
    tasks: Different[Literal["etpc", "sst"]]  # learnt beside the paraphrases of `train` by an attention network (MTAN)
    task_share: float = Field(gt=0, lt=0.5)  # of every batch, for each of `tasks`
    fresh_lr: float | None = Field(gt=0, le=1)  # of weights that the backbone did not bring; null: lr
    seeds: list[Seed]  # further ones, for the spread of a row's scores and for ensembles
    select_on: Literal["select", "dev"]  # where the best model is chosen; dev: as the report did
    train_on_select: bool  # once it is chosen, train once more, to the last step, on train and select
    orders: Literal["one", "both"]  # both: predictions average (sentence1, sentence2) and (sentence2, sentence1)

    @model_validator(mode="after")
    def _consistent(self) -> "Paraphrase":
        if len({isinstance(self.adapter, str), self.r is not None, self.targets is not None}) > 1:
            raise ValueError("adapter, r and targets belong together: set all of them or none; a prefix has neither")
        if self.exact_match and (self.tasks or self.adapter):
            raise ValueError("exact_match wants a row of methods with adapter null and no tasks")
        if self.tasks and (self.adapter or self.pooling == "mean" or self.head == "cloze"):
            raise ValueError("tasks want adapter null, pooling last and head linear")
        if bool(self.tasks) != (self.objective == "multitask"):
            raise ValueError("objective multitask and a list of tasks belong together")
        if self.prompt == "report" and (self.exact_match or self.head == "cloze"):
            raise ValueError("exact_match and head cloze want prompt ours")
        if self.soup > 1 and self.train_on_select:
            raise ValueError("train_on_select keeps the last weights of its own training: it wants soup 1")
        if self.quotas()[0] < 1:
            raise ValueError("task_share leaves no row of a batch to the paraphrases; lower it or raise batch_size")
        return self

    def quotas(self) -> list[int]:
        """Rows of the paraphrases and of each of `tasks` in a batch."""
        others = [max(1, round(self.task_share * self.batch_size))] * len(self.tasks)
        return [self.batch_size - sum(others), *others]

    def parameters(self) -> Lora | Prefix | None:
        """The adapter's; alpha is 2 r."""
        if not isinstance(self.adapter, str) or self.r is None or self.targets is None:
            return self.adapter if isinstance(self.adapter, Prefix) else None
        dropout = self.dropout if self.adapter_dropout is None else self.adapter_dropout
        dora = self.adapter == "dora"
        return Lora(kind="lora", r=self.r, alpha=2 * self.r, dropout=dropout, targets=self.targets, dora=dora)


def objective_of(row: Paraphrase, key: str, path: Path = PARAMS) -> tuple[ModuleType, Block]:
    """The row's objective and its checked options; `key` is where the row stands in the parameter file.

    An objective is a file of pipeline/objectives with
        Options   a Block: what a row's `options` must hold
        VIEWS     other encodings of a pair that its batches need: swapped, first, second (pipeline/text/prompts.py)
        loss(model, batch, options) -> (loss, {name: value to log})
        TRAINS_HEAD = False   only where it is: such an objective can be a first stage, not a row
    """
    module = method("objectives", row.objective)
    return module, check(row.options, module.Options, f"{key}.options", path)


class Ensemble(Block):
    members: Different[str] = Field(min_length=2)  # whose probabilities are averaged: rows of methods, or <row>@<seed>
    weights: Literal["equal", "fitted", "greedy"]  # the last two: on `select`, see pipeline/evaluation/ensemble.py


class SentimentTables(Tables):
    defaults: dict[str, Any]
    methods: dict[Name, Sentiment] = Field(min_length=1)
    search: Search
    ensembles: dict[Name, Ensemble]


class ParaphraseTables(Tables):
    TABLES: ClassVar[Mapping[str, str]] = {"methods": "defaults", "first_stages": "defaults"}

    defaults: dict[str, Any]
    methods: dict[Name, Paraphrase] = Field(min_length=1)
    first_stages: dict[Name, Paraphrase]
    search: Search
    ensembles: dict[Name, Ensemble]

    def problems(self, training_sets: Sequence[str]) -> Iterator[str]:
        """What is wrong between its tables, and with those of other blocks."""
        starts = ["backbone", *(f"first_stage/{name}" for name in self.first_stages)]
        sets = ["prepared/paraphrase", *(f"augmented/paraphrase/{name}" for name in training_sets)]
        for name, row in self.methods.items():
            key = f"paraphrase.methods.{name}"
            yield from _problems(row, sets, starts, key)
        for name, row in self.first_stages.items():
            key = f"paraphrase.first_stages.{name}"
            yield from _problems(row, [*sets, "prepared/etpc"], ["backbone"], key)
            if row.tasks or row.adapter or row.exact_match:
                yield f"{key}: a first stage is a backbone: it has no tasks, no adapter and no exact_match"


def member_problems(task: str, tables: SentimentTables | ParaphraseTables, seed: int) -> Iterator[str]:
    """What is wrong with the seeds of rows and with the members of ensembles."""
    rows: dict[str, Sentiment | Paraphrase] = {**tables.methods}
    for name, row in rows.items():
        if len({seed if row.seed is None else row.seed, *row.seeds}) <= len(row.seeds):
            yield f"{task}.methods.{name}.seeds: a seed stands there twice or is `seed`: {row.seeds}"
    for name, ensemble in tables.ensembles.items():
        key = f"{task}.ensembles.{name}"
        if name in rows:
            yield f"{key}: {task}.methods has a row of that name; choose another"
        first = rows.get(ensemble.members[0].partition("@")[0])
        for member in ensemble.members:
            name, at, number = member.partition("@")
            if name not in rows:
                yield f"{key}.members: {name!r} is not a row; expected some of {listed(rows)}"
            elif at and number not in map(str, rows[name].seeds):
                yield f"{key}.members: {member!r}: {name} has `seeds: {rows[name].seeds}`; add the seed or take another"
            elif getattr(rows[name], "dataset", "") != getattr(first, "dataset", ""):
                yield f"{key}.members: {member!r} is of another dataset than the first one; expected rows of one"


def _problems(row: Paraphrase, sets: Sequence[str], starts: Sequence[str], key: str) -> Iterator[str]:
    yield from unless_one_of(row.train, sets, f"{key}.train")
    yield from unless_one_of(row.start, starts, f"{key}.start")
    objectives = methods_in("objectives")
    yield from unless_one_of(row.objective, objectives, f"{key}.objective", "a file of pipeline/objectives: one of")


class Evaluation(Block):
    bootstrap: int = Field(ge=100)  # resamples of the interval of every figure
    confidence: float = Field(gt=0.5, lt=1)


class SeededEvaluation(Evaluation):
    seed: Seed


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {' '.join(self.format_usage().split())}")


def evaluation_arguments(arguments: Sequence[str], *names: str) -> tuple[list[str], SeededEvaluation]:
    """A stage's arguments `<name> ... --seed N --bootstrap N --confidence X`: the names' values, and the rest.

    dvc.yaml puts the values of params.yaml into the command. As `params` of the stage, they would make DVC parse the
    whole file once for each of 64 rows to see that nothing has changed.
    """
    parser = _Parser(allow_abbrev=False, add_help=False)
    for name in names:
        parser.add_argument(name)
    for option, kind in (("seed", int), ("bootstrap", int), ("confidence", float)):
        parser.add_argument(f"--{option}", type=kind, required=True)
    values = vars(parser.parse_args(arguments))
    return [values.pop(name) for name in names], check(values, SeededEvaluation, "evaluation")
