"""Block `paraphrase`: rows on Quora Question Pairs."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.config.base import PARAMS, load_row
from pipeline.config.training import Training
from pipeline.config.training_sets import training_sets
from pipeline.errors import InputError


class Paraphrase(Training):
    """One row of the paraphrase table."""

    train: str  # folder of data/: prepared/paraphrase, or augmented/paraphrase/<a key of training_sets>
    objective: Literal["cross_entropy"]
    pooling: Literal["last", "mean"]  # over the real tokens of the prompt
    head_dropout: float = Field(ge=0, lt=1)


def load_paraphrase(row: str, path: Path = PARAMS) -> Paraphrase:
    """The checked entry of paraphrase.methods; its training set must be in params.yaml too."""
    settings = load_row("paraphrase", "methods", row, Paraphrase, path)
    known = ["prepared/paraphrase", *(f"augmented/paraphrase/{name}" for name in training_sets(path))]
    if settings.train not in known:
        key = f"{path}: paraphrase.methods.{row}.train"
        raise InputError(f"{key}: expected one of {', '.join(known)}, got {settings.train!r}")
    return settings
