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
# Where params.yaml has the rows of metrics/<task>: a block and its tables.
TABLES = {
    "sentiment": ("sentiment", "methods"),
    "paraphrase": ("paraphrase", "methods", "ensembles"),
    "sonnets": ("sonnet", "systems"),
}
Metrics = dict[str, Any]  # of one file


class Change(NamedTuple):
    """A headline metric of one row, before and after; None where it is missing. low and high: the old interval."""

    row: str
    metric: str
    old: float | None
    new: float | None
    low: float | None
    high: float | None

    @property
    def outside(self) -> bool:
        """Whether the new value lies outside the old interval; without an interval, no."""
        known = self.new is not None and self.low is not None and self.high is not None
        return known and not self.low <= self.new <= self.high

    def cells(self) -> list[str]:
        """The change as it is printed."""
        difference = None if self.old is None or self.new is None else self.new - self.old
        span = "–" if self.low is None else f"{self.low:.4f} to {self.high:.4f}"
        verdict = "outside" if self.outside else "inside" if self.low is not None and self.new is not None else ""
        figures = ["–" if value is None else f"{value:.4f}" for value in (self.old, self.new)]
        return [self.row, self.metric, *figures, "–" if difference is None else f"{difference:+.4f}", span, verdict]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commit to compare with."""
    parser.add_argument("base", help="a commit, branch or tag")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print what changed since the commit `base`."""
    commit = commit_of(options.base)
    paths = git("ls-tree", "-r", "-z", "--name-only", commit, "--", f"{METRICS}/").split("\0")
    old = {path: committed(commit, path) for path in paths if path.endswith(".json")}
    new = {path.as_posix(): read_json(path) for path in sorted(METRICS.rglob("*.json"))}
    before = rows_of(old, git("show", f"{commit}:./{PARAMS}"))
    after = rows_of(new, PARAMS.read_text(encoding="utf-8"))
    changed = [change for change in changes(before, after) if change.old != change.new]
    if changed:
        header = ["Row", "Metric", options.base, "Now", "Difference", "Old interval", ""]
        print_table(header, [change.cells() for change in changed])
    for title, names in (("added", after.keys() - before.keys()), ("removed", before.keys() - after.keys())):
        if names:
            print(f"{title}: {', '.join(sorted(names))}")
    print(
        f"{len(before.keys() & after.keys() - {change.row for change in changed})} rows have the same headline metrics"
    )
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


def git(*arguments: str) -> str:
    """What git prints."""
    result = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8")
    if result.returncode:
        raise InputError(f"git {arguments[0]}: {result.stderr.strip() or 'failed'}")
    return result.stdout


def committed(commit: str, path: str) -> Metrics:
    """A JSON file as it is in a commit."""
    try:
        return dict(json.loads(git("show", f"{commit}:./{path}")))
    except ValueError:
        raise InputError(f"{path} of {commit[:10]} is not valid JSON; compare with another commit") from None


def rows_of(files: Mapping[str, Metrics], params: str) -> dict[str, Metrics]:
    """The metrics of every row, by <task>/<row>; files of rows that `params` has no longer are left out."""
    values = YAML(typ="safe").load(params)
    names = [f"{task}/{name}" for task, (group, *tables) in TABLES.items() for table in tables
             for name in values.get(group, {}).get(table) or {}]  # fmt: skip
    return {name: files[path] for name in names if (path := f"{METRICS}/{name}.json") in files}


def changes(old: Mapping[str, Metrics], new: Mapping[str, Metrics]) -> Iterator[Change]:
    """The headline metrics of the rows that are in both; the interval of a mean is that without `_mean`."""
    for row in sorted(old.keys() & new.keys()):
        for metric in HEADLINES[row.split("/")[0]]:
            before, after, name = old[row].get(metric), new[row].get(metric), metric.removesuffix("_mean")
            if before is not None or after is not None:
                yield Change(row, metric, before, after, old[row].get(f"{name}_low"), old[row].get(f"{name}_high"))
