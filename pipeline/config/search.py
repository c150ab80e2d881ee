"""Ranges of a hyper-parameter search: paraphrase.search."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from pipeline.config.base import PARAMS, Block, check, read_params
from pipeline.errors import InputError


class Range(Block):
    """Numbers from `low` to `high`, drawn evenly on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool


class Choices(Block):
    """One of several values."""

    choices: list[int | float | str] = Field(min_length=1)


def load_search(row: str, path: Path = PARAMS) -> dict[str, Range | Choices]:
    """The ranges of a row's parameters: its own entry of paraphrase.search, or that of `any`."""
    paraphrase = read_params(path)["paraphrase"]
    table = paraphrase.get("search")
    if not isinstance(table, Mapping):
        raise InputError(f"{path}: paraphrase.search: expected a mapping of rows, got {table!r}")
    if row not in paraphrase["methods"]:
        raise InputError(f"{path}: paraphrase.methods has no row {row!r}; it has {', '.join(paraphrase['methods'])}")
    name = row if row in table else "any"
    entry = table.get(name)
    if not isinstance(entry, Mapping) or not entry:
        raise InputError(f"{path}: paraphrase.search.{name}: expected parameters with their ranges, got {entry!r}")
    found: dict[str, Range | Choices] = {}
    for parameter, values in entry.items():
        key = f"paraphrase.search.{name}.{parameter}"
        if isinstance(values, Mapping) and "choices" in values:
            found[str(parameter)] = check(values, Choices, key, path)
            continue
        ranged = check(values, Range, key, path)
        if ranged.low >= ranged.high or (ranged.log and ranged.low <= 0):
            raise InputError(f"{path}: {key}: expected low < high, and low > 0 where log is true")
        found[str(parameter)] = ranged
    return found
