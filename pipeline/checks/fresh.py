"""Is dvc.lock what the code, the parameters and the data in git would give?

    python -m pipeline.checks.fresh

Works on a clone without data: outputs that are missing count as what dvc.lock says they are. `dvc status` and
`dvc repro --dry` print the same but exit with 0.
Exit codes: 0 fresh, 1 stale stages (one line each), 2 cannot be checked.
"""

import logging
import sys
from collections.abc import Sequence

from pipeline.errors import stage_main


def main(arguments: Sequence[str]) -> None:
    """Print the stale stages."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    from pipeline.commands import tidy

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo() as repo, repo.lock:
            stale = sorted(stage.addressing for stage in repo.index.stages if stage.changed(allow_missing=True))
            gone = tidy.gone(repo)
    except DvcException as error:
        print(f"dvc.yaml: cannot be checked: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    findings = [f"{name}: dvc.lock is older than its code, parameters or data; run `dvc repro`" for name in stale]
    findings += [f"{name}: dvc.lock has it, dvc.yaml has not; run `python -m pipeline tidy`" for name in gone]
    print("\n".join(findings) or "dvc.lock is up to date")
    raise SystemExit(1 if findings else 0)


if __name__ == "__main__":
    stage_main(main)
