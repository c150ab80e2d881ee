"""Gates for CI: a line for each finding.

    python -m pipeline.checks fresh                                        is dvc.lock up to date?
    python -m pipeline.checks params [FILE]                                is every row of params.yaml valid?
    python -m pipeline.checks reproduce [--target STAGE ...] [--jobs N]    does a cold run give what is committed?

Exit codes: 0 fine, 1 findings, 2 could not be checked.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.status import gone, opened
from pipeline.config.base import PARAMS
from pipeline.config.params import check_methods, load_params
from pipeline.errors import InputError, one_line, stage_main


def main(arguments: Sequence[str]) -> None:
    """Run one check and print its findings, and remarks after them."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checks", description="Gates for CI.")
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    checks.add_parser("fresh", help="is dvc.lock up to date?")
    params = checks.add_parser("params", help="is every row of params.yaml valid?")
    params.add_argument("file", nargs="?", type=Path, default=PARAMS, help="another file than params.yaml")
    reproduced = checks.add_parser("reproduce", help="does a cold run give what is committed?")
    reproduced.add_argument("--target", nargs="+", default=[], help="only these stages and what they depend on")
    reproduced.add_argument("--jobs", type=int, help="stages at once, as in `make repro`")
    options = parser.parse_args(arguments)
    findings, remarks = list[str](), list[str]()
    try:
        if options.check == "params":  # it ends at its first finding
            check_methods(load_params(options.file), options.file)
        elif options.check == "fresh":
            findings = fresh()
            remarks = [] if findings else ["dvc.lock is up to date"]
        else:
            from pipeline.checks import reproduce

            findings, remarks = reproduce.run(options.target, options.jobs)
    except (InputError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1 if options.check == "params" else 2) from None
    print("".join(f"{line}\n" for line in [*findings, *remarks]), end="")
    if findings:
        raise SystemExit(1)


def fresh() -> list[str]:
    """What in dvc.lock is not what code, parameters and data in git would give; outputs that are missing do not count.

    `dvc status` and `dvc repro --dry` print the same but exit with 0.
    """
    with opened() as repo:
        stale = sorted(stage.addressing for stage in repo.index.stages if stage.changed(allow_missing=True))
        old = [f"{name}: dvc.lock is older than its code, parameters or data; run `dvc repro`" for name in stale]
        return old + [
            f"{name}: dvc.lock has it, dvc.yaml has not; run `python -m pipeline tidy`" for name in gone(repo)
        ]


if __name__ == "__main__":
    stage_main(main)
