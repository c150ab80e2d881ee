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
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipeline.commands.terminal import print_table
from pipeline.config.base import PARAMS
from pipeline.errors import InputError
from pipeline.evaluation.predictions import METRICS
from pipeline.files import read_json

HEADLINES = {
    "sentiment": ["accuracy", "macro_f1"],
    "paraphrase": ["accuracy", "macro_f1", "ap_h_accuracy", "ap_h_macro_f1"],
    "sonnets": ["chrf_mean", "chrf_completion_mean"],
}
# The tables of params.yaml whose rows have metrics in metrics/<task>.
TABLES = {
    "sentiment": [("sentiment", "methods")],
    "paraphrase": [("paraphrase", "methods"), ("paraphrase", "ensembles")],
    "sonnets": [("sonnet", "systems")],
}
Metrics = dict[str, Any]  # of one file


class Change(NamedTuple):
    """A headline metric of one row, before and after; None where it is missing. `outside` of the old interval."""

    row: str
    metric: str
    old: float | None
    new: float | None
    low: float | None
    high: float | None

    @property
    def outside(self) -> bool:
        """Whether the new value lies outside the old interval; without an interval, no."""
        if self.new is None or self.low is None or self.high is None:
            return False
        return not self.low <= self.new <= self.high


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commit to compare with."""
    parser.add_argument("base", help="a commit, branch or tag")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print what changed since the commit `base`."""
    base: str = options.base
    commit = commit_of(base)
    old, new = metrics_at(commit), metrics_here()
    before = rows_of(old, git("show", f"{commit}:./{PARAMS}"))
    after = rows_of(new, PARAMS.read_text(encoding="utf-8"))
    changed = [change for change in changes(before, after) if change.old != change.new]
    if changed:
        print_table(["Row", "Metric", base, "Now", "Difference", "Old interval", ""], [cells(item) for item in changed])
    for title, names in (("added", after.keys() - before.keys()), ("removed", before.keys() - after.keys())):
        if names:
            print(f"{title}: {', '.join(sorted(names))}")
    same = len(before.keys() & after.keys() - {change.row for change in changed})
    print(f"{same} rows have the same headline metrics")
    rows = {f"{METRICS}/{row}.json" for row in before.keys() | after.keys()}
    others = sorted(path for path in old.keys() | new.keys() if path not in rows and old.get(path) != new.get(path))
    if others:
        print(f"also changed: {', '.join(others)}")


def commit_of(name: str) -> str:
    """The commit that a branch, a tag or a beginning of its hash names."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except InputError:
        raise InputError(f"{name!r} is not a commit, branch or tag of this repository; see `git log`") from None


def metrics_at(commit: str) -> dict[str, Metrics]:
    """The JSON files below metrics/ in a commit, by path."""
    paths = git("ls-tree", "-r", "-z", "--name-only", commit, "--", f"{METRICS}/").split("\0")
    return {path: parsed(commit, path) for path in paths if path.endswith(".json")}


def metrics_here() -> dict[str, Metrics]:
    """The JSON files below metrics/ in the working tree, by path."""
    return {path.as_posix(): read_json(path) for path in sorted(METRICS.rglob("*.json"))}


def git(*arguments: str) -> str:
    """What git prints."""
    result = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    if result.returncode:
        raise InputError(f"git {arguments[0]}: {result.stderr.strip() or 'failed'}")
    return result.stdout


def parsed(commit: str, path: str) -> Metrics:
    """A committed JSON file."""
    try:
        metrics: Metrics = json.loads(git("show", f"{commit}:./{path}"))
    except ValueError:
        raise InputError(f"{path} of {commit[:10]} is not valid JSON; compare with another commit") from None
    return metrics


def rows_of(files: Mapping[str, Metrics], params: str) -> dict[str, Metrics]:
    """The metrics of every row, by <task>/<row>; files of rows that `params` has no longer are left out."""
    tables = YAML(typ="safe").load(params)
    names = [
        f"{task}/{name}"
        for task, places in TABLES.items()
        for group, table in places
        for name in tables.get(group, {}).get(table) or {}
    ]
    return {name: files[path] for name in names if (path := f"{METRICS}/{name}.json") in files}


def changes(old: Mapping[str, Metrics], new: Mapping[str, Metrics]) -> Iterator[Change]:
    """The headline metrics of the rows that are in both."""
    for row in sorted(old.keys() & new.keys()):
        for metric in HEADLINES[row.split("/")[0]]:
            before, after = old[row].get(metric), new[row].get(metric)
            if before is not None or after is not None:
                yield Change(row, metric, before, after, *interval(old[row], metric))


def interval(metrics: Metrics, metric: str) -> tuple[float | None, float | None]:
    """The ends of a metric's interval: <metric>_low and _high, of a mean without `_mean`."""
    name = metric.removesuffix("_mean")
    return metrics.get(f"{name}_low"), metrics.get(f"{name}_high")


def cells(change: Change) -> list[str]:
    """The cells of a change."""
    difference = None if change.old is None or change.new is None else change.new - change.old
    span = "–" if change.low is None else f"{change.low:.4f} to {change.high:.4f}"
    verdict = "outside" if change.outside else "inside" if change.low is not None and change.new is not None else ""
    return [change.row, change.metric, figure(change.old), figure(change.new), figure(difference, "+"), span, verdict]


def figure(value: float | None, sign: str = "") -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else f"{value:{sign}.4f}"
