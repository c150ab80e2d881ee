"""The estimate beside a real run: what pipeline.parallel wrote into times.tsv."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import InputError

TIMES = Path(".dvc/tmp/jobs/times.tsv")


def measured(path: Path) -> dict[str, float]:
    """Seconds of every stage that ran to its end."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; `make repro` writes {TIMES}")
    with open(path, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        if not {"stage", "result", "seconds"} <= set(rows.fieldnames or ()):
            raise InputError(f"{path}: expected the columns stage, result and seconds, as `make repro` writes them")
        found = {row["stage"]: float(row["seconds"]) for row in rows if row["result"] == "done"}
    if not found:
        raise InputError(f"{path}: no stage in it ran to its end; give the times of a run that had something to do")
    return found


def compared(estimated: Mapping[str, float], real: Mapping[str, float]) -> list[tuple[str, int, float, float]]:
    """Kind, stages, estimated and real seconds of what is in both, added up by kind and in all."""
    both = [name for name in estimated if name in real]
    groups: dict[str, list[str]] = {}
    for name in both:
        groups.setdefault(name.partition("@")[0], []).append(name)
    return [_line(kind, names, estimated, real) for kind, names in {**groups, "all": both}.items()]


def _line(
    kind: str, names: Sequence[str], estimated: Mapping[str, float], real: Mapping[str, float]
) -> tuple[str, int, float, float]:
    return kind, len(names), sum(estimated[name] for name in names), sum(real[name] for name in names)
