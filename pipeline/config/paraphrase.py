"""Block `paraphrase`: rows on Quora Question Pairs, and the first stages that some of them start from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.config.adapters import Lora
from pipeline.config.augmentation import training_sets
from pipeline.config.base import PARAMS, load_row, load_seed, read_params
from pipeline.config.objective import check_options, load_objective
from pipeline.config.training import Training
from pipeline.errors import InputError

Table = Literal["methods", "first_stages"]


class Paraphrase(Training):
    """One row of the paraphrase table, or a first stage."""

    train: (
        str  # folder of data/: prepared/paraphrase, augmented/paraphrase/<training set>; in first stages prepared/etpc
    )
    start: str  # folder of models/: backbone, or first_stage/<a key of first_stages>
    objective: str  # a file of pipeline/objectives
    options: Mapping[str, Any]  # of the objective: see Options in its file
    pooling: Literal["last", "mean"]  # over the real tokens of the prompt
    head: Literal["linear", "cloze"]  # cloze: begins as the language model's rows of " no" and " yes"
    head_dropout: float = Field(ge=0, lt=1)
    exact_match: bool  # mark the tokens that stand in both sentences
    adapter: Literal["lora", "dora"] | None
    r: int | None = Field(ge=1)  # of the adapter
    targets: list[Literal["c_attn", "c_proj", "c_fc"]] | None = Field(min_length=1)  # of the adapter
    tasks: list[Literal["etpc", "sst"]]  # learnt beside the paraphrases of `train` by an attention network (MTAN)
    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]]  # further ones, for the spread of a row's scores
    orders: Literal["one", "both"]  # both: predictions average (sentence1, sentence2) and (sentence2, sentence1)

    def lora(self) -> Lora | None:
        """The adapter's parameters: alpha is 2 r, dropout that of the backbone."""
        if self.adapter is None or self.r is None or self.targets is None:
            return None
        return Lora(
            kind="lora",
            r=self.r,
            alpha=2 * self.r,
            dropout=self.dropout,
            targets=self.targets,
            dora=self.adapter == "dora",
        )


def load_paraphrase(row: str, table: Table = "methods", path: Path = PARAMS) -> Paraphrase:
    """The checked entry of paraphrase.<table>, with everything that it names."""
    settings, key = load_row("paraphrase", table, row, Paraphrase, path), f"paraphrase.{table}.{row}"
    first = table == "first_stages"
    sets = ["prepared/paraphrase", *(f"augmented/paraphrase/{name}" for name in training_sets(path))]
    _one_of(settings.train, [*sets, "prepared/etpc"] if first else sets, f"{path}: {key}.train")
    stages = {} if first else first_stages(path)
    _one_of(settings.start, ["backbone", *(f"first_stage/{name}" for name in stages)], f"{path}: {key}.start")
    if (settings.adapter is None) != (settings.r is None) or (settings.adapter is None) != (settings.targets is None):
        raise InputError(f"{path}: {key}: adapter, r and targets belong together: set all of them or none")
    if first and (settings.tasks or settings.adapter):
        raise InputError(f"{path}: {key}: a first stage is a backbone: it has neither tasks nor an adapter")
    if settings.exact_match and (first or settings.tasks or settings.adapter):
        raise InputError(f"{path}: {key}: exact_match wants a row of methods with adapter null and no tasks")
    if settings.tasks and (settings.adapter or settings.pooling == "mean" or settings.head == "cloze"):
        raise InputError(f"{path}: {key}: tasks want adapter null, pooling last and head linear")
    if len(set(settings.tasks)) < len(settings.tasks):
        raise InputError(f"{path}: {key}.tasks: a task is named twice: {', '.join(settings.tasks)}")
    if len({load_seed(path), *settings.seeds}) <= len(settings.seeds):
        raise InputError(f"{path}: {key}.seeds: a seed stands there twice or is `seed`: {settings.seeds}")
    objective = load_objective(settings.objective, f"{key}.objective", path)
    if not first and not getattr(objective, "TRAINS_HEAD", True):
        raise InputError(f"{path}: {key}.objective: {settings.objective} trains no head: make it one of first_stages")
    if bool(settings.tasks) != (settings.objective == "multitask"):
        raise InputError(f"{path}: {key}: objective multitask and a list of tasks belong together")
    check_options(objective, settings.options, f"{key}.options", path)
    return settings


def first_stages(path: Path = PARAMS) -> Mapping[str, Any]:
    """paraphrase.first_stages as it stands, known to be a mapping."""
    found = read_params(path)["paraphrase"].get("first_stages")
    if not isinstance(found, Mapping):
        raise InputError(f"{path}: paraphrase.first_stages: expected a mapping of first stages, got {found!r}")
    return found


def _one_of(value: str, known: list[str], where: str) -> None:
    if value not in known:
        raise InputError(f"{where}: expected one of {', '.join(known)}, got {value!r}")
