"""Is dvc.lock what the code, the parameters and the data in git would give?

Works on a clone without data: outputs that are missing count as what dvc.lock says they are. `dvc status` and
`dvc repro --dry` print the same but exit with 0.
"""

import argparse
import logging

from pipeline.errors import InputError


def run(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """A finding for each stale stage, and for each stage that is gone."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from pipeline.commands import tidy

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo() as repo, repo.lock:
            stale = sorted(stage.addressing for stage in repo.index.stages if stage.changed(allow_missing=True))
            gone = tidy.gone(repo)
    except DvcException as error:
        raise InputError(f"dvc.yaml: cannot be checked: {error}") from None
    findings = [f"{name}: dvc.lock is older than its code, parameters or data; run `dvc repro`" for name in stale]
    findings += [f"{name}: dvc.lock has it, dvc.yaml has not; run `python -m pipeline tidy`" for name in gone]
    return findings, [] if findings else ["dvc.lock is up to date"]
