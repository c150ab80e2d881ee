"""What changed in metrics/ against a commit.

    python -m pipeline compare main

Every row whose headline metrics changed, with the old and the new figure. `outside` marks a new figure that lies
outside the old one's interval; the interval is about the rows of dev, not about seeds. Figures are read with git, as
they are committed there: nothing is computed.
"""

import argparse
import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML

from pipeline.commands.terminal import print_table
from pipeline.config.base import PARAMS
from pipeline.errors import InputError
from pipeline.evaluation.predictions import METRICS
from pipeline.files import read_json

# Folders of metrics/, and the blocks and tables of params.yaml whose rows they have.
TABLES = (
    ("sentiment", "sentiment", "methods"), ("sentiment", "sentiment", "ensembles"), ("sonnets", "sonnet", "systems"),
    ("sonnets", "sonnet", "ensembles"),
    ("paraphrase", "paraphrase", "methods"), ("paraphrase", "paraphrase", "ensembles"),
)  # fmt: skip
HEADLINES = ["accuracy", "macro_f1", "ap_h_accuracy", "ap_h_macro_f1", "chrf_mean", "chrf_completion_mean"]
Metrics = dict[str, Any]  # of one file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("base", help="a commit, branch or tag")


def run(options: argparse.Namespace) -> None:
    """Print what changed since the commit `base`."""
    base, old = options.base, dict[str, Metrics]()
    try:
        commit = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{base}^{{commit}}").strip()
    except InputError:
        raise InputError(f"{base!r} is not a commit, branch or tag of this repository; see `git log`") from None
    for path in git("ls-tree", "-r", "-z", "--name-only", commit, "--", f"{METRICS}/").split("\0"):
        try:
            old |= {path: json.loads(git("show", f"{commit}:./{path}"))} if path.endswith(".json") else {}
        except ValueError:
            raise InputError(f"{path} of {commit[:10]} is not valid JSON; compare with another commit") from None
    new = {path.as_posix(): read_json(path) for path in METRICS.rglob("*.json")}
    before = rows_of(old, git("show", f"{commit}:./{PARAMS}"))
    after = rows_of(new, PARAMS.read_text(encoding="utf-8"))
    if changed := list(changes(before, after)):
        print_table(["Row", "Metric", base, "Now", "Difference", "Old interval", ""], changed)
    for title, names in (("added", after.keys() - before.keys()), ("removed", before.keys() - after.keys())):
        if names:
            print(f"{title}: {', '.join(sorted(names))}")
    same = before.keys() & after.keys() - {row for row, *_ in changed}
    print(f"{len(same)} rows have the same headline metrics")
    rows = {f"{METRICS}/{row}.json" for row in before.keys() | after.keys()}
    others = sorted(path for path in (old.keys() | new.keys()) - rows if old.get(path) != new.get(path))
    if others:
        print(f"also changed: {', '.join(others)}")


def git(*arguments: str) -> str:
    """What git prints."""
    result = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    if result.returncode:
        raise InputError(f"git {arguments[0]}: {result.stderr.strip() or 'failed'}")
    return result.stdout


def rows_of(files: Mapping[str, Metrics], params: str) -> dict[str, Metrics]:
    """The metrics of every row, by <task>/<row>; files of rows that `params` has no longer are left out."""
    values = YAML(typ="safe").load(params)
    rows = [f"{task}/{row}" for task, block, table in TABLES for row in values.get(block, {}).get(table) or {}]
    return {row: files[path] for row in rows if (path := f"{METRICS}/{row}.json") in files}


def changes(old: Mapping[str, Metrics], new: Mapping[str, Metrics]) -> Iterator[list[str]]:
    """The cells of every headline metric that changed, of the rows that are in both."""
    for row in sorted(old.keys() & new.keys()):
        for metric in HEADLINES:
            before, after, name = old[row].get(metric), new[row].get(metric), metric.removesuffix("_mean")
            low, high = old[row].get(f"{name}_low"), old[row].get(f"{name}_high")
            if before != after:
                figures = ["–" if value is None else f"{value:.4f}" for value in (before, after)]
                difference = "–" if before is None or after is None else f"{after - before:+.4f}"
                span = "–" if low is None else f"{low:.4f} to {high:.4f}"
                verdict = "" if low is None or after is None else "inside" if low <= after <= high else "outside"
                yield [row, metric, *figures, difference, span, verdict]
