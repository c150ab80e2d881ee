"""All of params.yaml, read and checked once; a stage takes its blocks from here."""

from pathlib import Path

from pydantic import model_validator

from pipeline.config.augmentation import Adversarial, BackTranslation, TrainingSet
from pipeline.config.base import PARAMS, Block, Name, Seed, check, parse
from pipeline.config.data import Backbone, Data, Text
from pipeline.config.sonnet import SonnetTables
from pipeline.config.tasks import Evaluation, ParaphraseTables, SentimentTables, member_problems, objective_of
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

    def needing(self, corpus: str) -> list[str]:
        """The entries of params.yaml that cannot do without etpc or ap_h, with the rows that begin from them."""
        tables, source = self.paraphrase, f"prepared/{corpus}"
        sets = [name for name, own in self.training_sets.items() if own.source == source]
        trains = {source, *(f"augmented/paraphrase/{name}" for name in sets)}
        rows = {f"first_stages.{name}": row for name, row in tables.first_stages.items()}
        rows |= {f"methods.{name}": row for name, row in tables.methods.items()}
        found = [f"training_sets.{name}" for name in sets]
        for key, row in rows.items():  # first stages first
            start = row.start.replace("first_stage/", "paraphrase.first_stages.")
            if row.train in trains or corpus in row.tasks or start in found:
                found.append(f"paraphrase.{key}")
        lost = {key.removeprefix("paraphrase.methods.") for key in found}
        poorer = [name for name, own in tables.ensembles.items() if lost & {m.partition("@")[0] for m in own.members}]
        return found + [f"paraphrase.ensembles.{name}" for name in poorer]

    @model_validator(mode="after")
    def _consistent(self) -> "Params":
        tasks, rows = ("sentiment", "paraphrase"), self.paraphrase.problems(list(self.training_sets))
        texts, pairs = (member_problems(task, getattr(self, task), self.seed) for task in tasks)
        problems = [*texts, *pairs, *rows, *self.sonnet.problems()]
        for block in ("sentiment", "paraphrase", "sonnet"):
            problems += getattr(self, block).range_problems(block)
        if problems:
            raise ValueError("; ".join([problems[0], *([f"and {len(problems) - 1} more"] if problems[1:] else [])]))
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
    for name in (*params.sonnet.systems, *params.sonnet.ensembles):
        params.sonnet.system(name, path)
