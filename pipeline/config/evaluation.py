"""Block `evaluation`, and how a stage gets it."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

from pydantic import Field

from pipeline.config.base import Block, check, check_seed
from pipeline.errors import InputError


class Evaluation(Block):
    """Bootstrap intervals of every table."""

    bootstrap: int = Field(ge=100)  # resamples
    confidence: float = Field(gt=0.5, lt=1)


def evaluation_arguments(arguments: Sequence[str], *names: str) -> tuple[list[str], Evaluation, int]:
    """A stage's arguments `<name> ... --seed N --bootstrap N --confidence X`: the names', the block and the seed.

    dvc.yaml puts the values of params.yaml into the command. As `params` of the stage, they would make DVC parse the
    whole file once for each of 64 rows to see that nothing has changed.
    """
    parser = _Parser(allow_abbrev=False, add_help=False)
    for name in names:
        parser.add_argument(name)
    for option, kind in (("seed", int), ("bootstrap", int), ("confidence", float)):
        parser.add_argument(f"--{option}", type=kind, required=True)
    values = vars(parser.parse_args(arguments))
    seed = check_seed(values.pop("seed"))
    words = [values.pop(name) for name in names]
    return words, check(values, Evaluation, "evaluation"), seed


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {' '.join(self.format_usage().split())}")
