"""Delete the models, predictions, metrics and plots of rows that are in params.yaml no more.

python -m pipeline tidy

`make repro` does this by itself. Only what a removed stage wrote is deleted, as dvc.lock says; DVC's cache keeps it.
"""

import argparse

from pipeline.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a line for each stage whose files were deleted."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from pipeline.jobs import leftovers

    try:
        lines = list(leftovers.remove(Repo(_wait_for_lock=True)))
    except DvcException as error:
        raise InputError(f"dvc.yaml: {error}") from None
    print("\n".join(lines) or "nothing to remove")
