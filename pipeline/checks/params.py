"""Is params.yaml valid, all of it?

    python -m pipeline.checks params [FILE]

`dvc exp run -S` accepts any key and any type. Exit codes: 0 valid, 1 a finding (one line).
"""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.base import PARAMS
from pipeline.config.params import check_methods, load_params
from pipeline.errors import stage_main


def main(arguments: Sequence[str]) -> None:
    check_file(Path(arguments[0]) if arguments else PARAMS)


def check_file(path: Path) -> None:
    """Raise InputError for what is wrong in a parameter file."""
    check_methods(load_params(path), path)


if __name__ == "__main__":
    stage_main(main)
