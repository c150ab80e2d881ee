"""All of params.yaml, read and checked once; a stage takes its blocks from here."""

from pathlib import Path

from pydantic import model_validator

from pipeline.config.augmentation import Adversarial, BackTranslation, TrainingSet
from pipeline.config.base import PARAMS, Block, Name, Seed, check, parse
from pipeline.config.data import Backbone, Data, Text
from pipeline.config.sonnet import SonnetTables
from pipeline.config.tasks import Evaluation, ParaphraseTables, SentimentTables, objective_of
from pipeline.config.training import Compute
from pipeline.errors import InputError


class Params(Block):
    profile: str
    seed: Seed
    compute: Compute
    data: Data
    text: Text
    backbone: Backbone
    back_translation: BackTranslation
    adversarial: Adversarial
    training_sets: dict[Name, TrainingSet]
    sentiment: SentimentTables
    paraphrase: ParaphraseTables
    sonnet: SonnetTables
    evaluation: Evaluation

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        if problems := [*self.paraphrase.problems(self.seed, list(self.training_sets)), *self.sonnet.problems()]:
            raise ValueError("; ".join(problems))
        return self


def load_params(path: Path = PARAMS) -> Params:
    """The checked parameter file. Options of objectives and decoders, whose files import torch, are not looked at."""
    return check(parse(path), Params, "", path)


def check_methods(params: Params, path: Path = PARAMS) -> None:
    """Check the options of every objective and decoder, too."""
    for table in ("methods", "first_stages"):
        for name, row in getattr(params.paraphrase, table).items():
            key = f"paraphrase.{table}.{name}"
            objective, _ = objective_of(row, key, path)
            if table == "methods" and not getattr(objective, "TRAINS_HEAD", True):
                raise InputError(f"{path}: {key}.objective: {row.objective} trains no head: use it in first_stages")
    for name in params.sonnet.systems:
        params.sonnet.system(name, path)
