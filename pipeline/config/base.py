"""Read params.yaml and check it, one block at a time.

YAML is read with ruamel (YAML 1.2): PyYAML takes `2e-05`, which is how DVC writes a learning rate, for a string. Values
are checked strictly and unknown keys are refused, because `dvc exp run -S` accepts any type and any key silently.
"""

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML, YAMLError

from pipeline.errors import InputError

PARAMS = Path("params.yaml")
ROW_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
TOP_LEVEL = (
    "profile",
    "seed",
    "compute",
    "data",
    "text",
    "backbone",
    "back_translation",
    "adversarial",
    "training_sets",
    "sentiment",
    "paraphrase",
    "sonnet",
    "evaluation",
)


class Block(BaseModel):
    """A block of parameters: unknown keys, wrong types, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


AnyBlock = TypeVar("AnyBlock", bound=Block)


def read_params(path: Path = PARAMS) -> dict[str, Any]:
    """The whole parameter file as plain dictionaries; only the top-level keys are checked here."""
    try:
        params = deepcopy(_parsed(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run from the project's folder or `make profile NAME=sample`") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(params, Mapping):
        raise InputError(f"{path}: expected a mapping of {', '.join(TOP_LEVEL)}")
    unknown = sorted(set(params) - set(TOP_LEVEL), key=str)
    missing = [key for key in TOP_LEVEL if key not in params]
    if unknown or missing:
        problems = [f"unknown key {key}" for key in unknown] + [f"missing key {key}" for key in missing]
        raise InputError(f"{path}: {', '.join(problems)}; the top-level keys are {', '.join(TOP_LEVEL)}")
    return dict(params)


@lru_cache(maxsize=2)
def _parsed(text: str) -> Any:  # noqa: ANN401 - from YAML
    return YAML(typ="safe").load(text)  # a tenth of a second, and a stage reads several blocks


def check(values: Any, block: type[AnyBlock], key: str, path: Path = PARAMS) -> AnyBlock:  # noqa: ANN401 - from YAML
    """Check `values`, found under `key` of the parameter file, against `block`."""
    if not isinstance(values, Mapping):
        raise InputError(f"{path}: {key}: expected a mapping, got {values!r}")
    try:
        return block.model_validate(dict(values))
    except ValidationError as error:
        problems = (
            f"{'.'.join([key, *map(str, item['loc'])])}: {item['msg']}, got {item['input']!r}"
            for item in error.errors()
        )
        raise InputError(f"{path}: {'; '.join(problems)}") from None


def load_block(key: str, block: type[AnyBlock], path: Path = PARAMS) -> AnyBlock:
    """The checked top-level block `key`."""
    return check(read_params(path)[key], block, key, path)


def load_row(group: str, table: str, row: str, block: type[AnyBlock], path: Path = PARAMS) -> AnyBlock:
    """Entry `row` of `<group>.<table>`, completed by `<group>.defaults` and checked against `block`.

    `group.table` is, for example, `paraphrase.methods`; an entry holds only what differs from the defaults.
    """
    values = read_params(path)[group]
    rows = values.get(table) if isinstance(values, Mapping) else None
    if not isinstance(rows, Mapping) or row not in rows:
        known = ", ".join(map(str, rows)) if isinstance(rows, Mapping) else "none"
        raise InputError(f"{path}: {group}.{table} has no entry {row!r}; it has {known}")
    check_name(row, f"{group}.{table}", path)
    own = rows[row] if rows[row] is not None else {}
    defaults = values.get("defaults")
    if not isinstance(defaults, Mapping) or not isinstance(own, Mapping):
        raise InputError(f"{path}: {group}.defaults and {group}.{table}.{row} must be mappings of parameters")
    return check({**defaults, **own}, block, f"{group}.{table}.{row}", path)


def check_name(name: object, key: str, path: Path = PARAMS) -> None:
    """A row's name becomes a file name."""
    if not isinstance(name, str) or not ROW_NAME.fullmatch(name):
        raise InputError(f"{path}: {key}: the name {name!r} becomes a file name: use letters, digits, _, -, .")


def load_seed(path: Path = PARAMS) -> int:
    """The seed of every stage."""
    return check_seed(read_params(path)["seed"], path)


def check_seed(seed: object, path: Path = PARAMS) -> int:
    """A seed that all generators of random numbers take."""
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise InputError(f"{path}: seed: expected an integer from 0 to {2**32 - 1}, got {seed!r}")
    return seed
