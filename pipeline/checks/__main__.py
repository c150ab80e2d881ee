"""Gates for CI: a line for each finding.

    python -m pipeline.checks fresh                                        is dvc.lock up to date?
    python -m pipeline.checks params [FILE]                                is every row of params.yaml valid?
    python -m pipeline.checks reproduce [--target STAGE ...] [--jobs N]    does a cold run give what is committed?

Exit codes: 0 fine, 1 findings, 2 could not be checked.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipeline.config.base import PARAMS
from pipeline.errors import InputError, one_line, stage_main


def main(arguments: Sequence[str]) -> None:
    """Run one check: its `run(options)` gives findings, and remarks to print after them."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checks", description="Gates for CI.")
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    checks.add_parser("fresh", help="is dvc.lock up to date?")
    params = checks.add_parser("params", help="is every row of params.yaml valid?")
    params.add_argument("file", nargs="?", type=Path, default=PARAMS, help="another file than params.yaml")
    reproduce = checks.add_parser("reproduce", help="does a cold run give what is committed?")
    reproduce.add_argument("--target", nargs="+", default=[], help="only these stages and what they depend on")
    reproduce.add_argument("--jobs", type=int, help="stages at once, as in `make repro`")
    options = parser.parse_args(arguments)
    try:
        findings, remarks = import_module(f"pipeline.checks.{options.check}").run(options)
    except (InputError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        raise SystemExit(1 if options.check == "params" else 2) from None  # params ends at its first finding
    print("".join(f"{line}\n" for line in [*findings, *remarks]), end="")
    if findings:
        raise SystemExit(1)


if __name__ == "__main__":
    stage_main(main)
