"""Blocks of parameters: how params.yaml is read, and how its errors are told.

YAML is read with ruamel (YAML 1.2): PyYAML takes `2e-05`, which is how DVC writes a learning rate, for a string. Values
are checked strictly and unknown keys are refused, because `dvc exp run -S` accepts any type and any key silently.
"""

import importlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML, YAMLError

from pipeline.errors import InputError, listed

PARAMS = Path("params.yaml")
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")  # no period: DVC takes it for the border of two keys
Entry = TypeVar("Entry")
AnyBlock = TypeVar("AnyBlock", bound="Block")


class Block(BaseModel):
    """A block of parameters: unknown keys, wrong types, NaN and infinity are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _file_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ValueError(f"the name {name!r} becomes a file name: use letters, digits, _ and -")
    return name


def _different(items: list[Entry]) -> list[Entry]:
    if repeated := [repr(item) for item, count in Counter(items).items() if count > 1]:
        raise ValueError(f"{listed(repeated)} is named more than once")
    return items


Different = Annotated[list[Entry], AfterValidator(_different)]
Name = Annotated[str, AfterValidator(_file_name)]  # of a row, a set, a system
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what all generators of random numbers take


def parse(path: Path, entries: str = "profile, seed and so on; see profiles/sample.yaml") -> dict[str, Any]:
    """A YAML file with a mapping as plain dictionaries and lists, unchecked; they are shared: do not change them."""
    try:
        params = _parsed(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; run from the project's folder or `make profile NAME=sample`") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(params, dict):
        raise InputError(f"{path}: expected a mapping of {entries}")
    return params


@lru_cache(maxsize=4)
def _parsed(text: str) -> Any:  # noqa: ANN401 - from YAML
    return YAML(typ="safe").load(text)  # a tenth of a second


def check(values: Any, block: type[AnyBlock], key: str, path: Path = PARAMS) -> AnyBlock:  # noqa: ANN401 - from YAML
    """Check `values`, found under `key` of the parameter file (all of it: ""), against `block`."""
    try:
        return block.model_validate(values)
    except ValidationError as error:
        told = [_told(item, key) for item in error.errors()]
        more = [f"and {len(told) - 2} more; see the profile of this name in profiles"] if len(told) > 2 else []
        raise InputError(f"{path}: {'; '.join([*told[:2], *more])}") from None


def _told(error: ErrorDetails, key: str) -> str:
    """Key, what was expected, and what is there."""
    *place, last = [*filter(None, [key]), *error["loc"]] or [""]
    where = ".".join(map(str, place[:-1] if last == "[key]" else [*place, last]))  # [key]: the name itself is wrong
    if error["type"] == "value_error":  # of a validator of ours, which says it all
        return f"{where}: {error['ctx']['error']}".removeprefix(": ")
    wrong = {"extra_forbidden": "unknown key", "model_type": "expected a mapping", "dict_type": "expected a mapping"}
    got = "" if isinstance(error["input"], Mapping) else f", got {error['input']!r}"
    return f"{where}: {wrong.get(error['type'], error['msg'])}{got}"


def entry(table: Mapping[str, Entry], name: str, key: str) -> Entry:
    """The entry `name` of the table that stands under `key` of params.yaml."""
    if name not in table:
        raise InputError(f"{PARAMS}: {key} has no entry {name!r}; it has {listed(table)}")
    return table[name]


def named(items: Sequence[Entry], name: str, key: str) -> Entry:
    """The item of a list of params.yaml that is written `name`, such as a shard or a language."""
    return entry({str(item): item for item in items}, name, key)


@cache
def methods_in(folder: str) -> list[str]:
    """The names that `method` knows: files of pipeline/<folder> with a class Options."""
    files = sorted((Path(__file__).parents[1] / folder).glob("*.py"))
    return [file.stem for file in files if "class Options" in file.read_text(encoding="utf-8")]


def method(folder: str, name: str) -> ModuleType:
    """An objective or a decoder: the module pipeline.<folder>.<name>."""
    return importlib.import_module(f"pipeline.{folder}.{name}")
