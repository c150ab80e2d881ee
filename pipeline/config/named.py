"""Methods that params.yaml names: an objective or a decoder is a file with `class Options`, found by its name."""

import importlib
from pathlib import Path
from types import ModuleType

from pipeline.config.base import PARAMS
from pipeline.errors import InputError

PACKAGE = Path(__file__).parents[1]


def named_files(folder: Path) -> list[Path]:
    """The files of a folder that hold `class Options`."""
    return [path for path in sorted(folder.glob("*.py")) if "class Options" in path.read_text(encoding="utf-8")]


def load_named(folder: str, name: object, key: str, path: Path = PARAMS) -> ModuleType:
    """The module pipeline.<folder>.<name>; `key` is where the name stands in the parameter file."""
    known = [file.stem for file in named_files(PACKAGE / folder)]
    if name not in known:
        raise InputError(f"{path}: {key}: expected a file of pipeline/{folder} ({', '.join(known)}), got {name!r}")
    return importlib.import_module(f"pipeline.{folder}.{name}")
