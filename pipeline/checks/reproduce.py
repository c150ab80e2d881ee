"""Does a cold run give what is committed?

Clones HEAD into a temporary folder, runs its stages there without any cache, and compares its dvc.lock and the files in
git with the committed ones. Uncommitted changes are not looked at. What is demanded depends on `compute.precision`:

- portable: the same bits of every output of every stage, on every machine.
- fp32, bf16: the same bits of all that depends on no model. Models sum floats in another order on another machine, so
  where the outputs of a stage that runs one differ, this is a note, and of every figure with an interval that depends
  on it, one of the two runs' intervals must hold the other run's figure.

A stage that differs only because an earlier one did is counted, not listed.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipeline.config.base import PARAMS
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import read_json

SHOWN = 3  # metrics of a file that differ; the others are counted
Entry = Mapping[str, Any]  # of a stage in dvc.lock
Metrics = Mapping[str, Any]  # of one file


class Run(NamedTuple):
    """What a run leaves behind: the stages of dvc.lock by name, and the JSON files below metrics/ by path."""

    lock: dict[str, Entry]
    metrics: dict[str, Metrics]


def run(targets: Sequence[str], jobs: int | None) -> tuple[list[str], list[str]]:
    """Findings; then notes and a summary. `targets` stand for themselves and what they depend on; none: all stages."""
    with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
        clone = Path(scratch, "clone")
        old = clone_cold(clone)
        models = model_stages(clone)
        run_stages(clone, targets, jobs)
        new, command = read_run(clone), ["git", "status", "--porcelain", "-z", "--untracked-files=all"]
        status = subprocess.run(command, cwd=clone, capture_output=True, encoding="utf-8", check=True).stdout
    findings, notes = compared(old, new, models, whole=not targets)
    findings += edited(old, new, sorted({line[3:] for line in status.split("\0") if line} - {"dvc.lock"}))
    if models:
        reached = set[str]()  # the files that depend on a model
        for name, entry in new.lock.items():  # in the order in which they ran
            read = recorded(entry, "deps")
            if name.split("@")[0] in models or any(overlap(path, made) for path in read for made in reached):
                reached.update(recorded(entry, "outs"))
        findings += [text for path in sorted(reached & new.metrics.keys()) for text in apart(path, old, new)]
    agree = sum(not differences(old, new, name, "outs") for name in new.lock)
    summary = f"{agree} of {len(new.lock)} stages wrote the same bits; {len(findings)} findings"
    return findings, [*(f"note: {note}" for note in notes), summary]


def clone_cold(clone: Path) -> Run:
    """Clone HEAD without its dvc.lock and with a cache of its own; what is committed."""
    if subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(Path.cwd()), str(clone)]).returncode:
        raise InputError(f"{Path.cwd()}: cannot be cloned; run from the root of the git repository")
    committed = read_run(clone)
    (clone / "dvc.lock").unlink()  # without it no stage counts as done, and it will hold the stages that ran
    (clone / ".dvc/config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
    return committed


def model_stages(folder: Path) -> set[str]:
    """The stages of dvc.yaml that run a model, so that their `params` name `compute`; none if that is portable."""
    if load_params(folder / PARAMS).compute.precision == "portable":
        return set()
    stages = YAML(typ="safe").load(folder / "dvc.yaml")["stages"]
    return {name for name, stage in stages.items() if "compute" in stage.get("do", stage).get("params", [])}


def run_stages(clone: Path, targets: Sequence[str], jobs: int | None) -> None:
    """Run all stages, or `targets` and what they depend on."""
    command = [sys.executable, "-m", "pipeline.parallel", *(["--jobs", str(jobs)] if jobs else []), *targets]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if subprocess.run(command, cwd=clone, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL).returncode:
        raise InputError("the run has failed, see above; does it run with `make repro`, and is data.path in git?")


def read_run(folder: Path) -> Run:
    """Read dvc.lock and the metrics."""
    if not (folder / "dvc.lock").exists():
        raise InputError("dvc.lock is not committed; run `dvc repro` and commit it")
    metrics = {path.relative_to(folder).as_posix(): read_json(path) for path in folder.glob("metrics/**/*.json")}
    return Run(YAML(typ="safe").load(folder / "dvc.lock")["stages"], metrics)


def compared(old: Run, new: Run, models: Collection[str], whole: bool) -> tuple[list[str], list[str]]:
    """Findings and notes about dvc.lock, in the order of the new one; `whole` if all stages were to run."""
    gone = [name for name in old.lock if whole and name not in new.lock]
    findings = [f"{name}: dvc.lock has it, but it did not run; run `python -m pipeline tidy`" for name in gone]
    notes, derived = [], 0
    differing = [path for name in [*new.lock, *gone] for path in differences(old, new, name, "outs")]
    for name in new.lock:
        if name not in old.lock:
            findings.append(f"{name}: is not in the committed dvc.lock; run `dvc repro` and commit it")
            continue
        read, wrote = differences(old, new, name, "deps"), differences(old, new, name, "outs")
        unexplained = differences(old, new, name, "params")
        unexplained += [path for path in read if not any(overlap(path, made) for made in differing)]
        if unexplained:
            findings.append(f"{name}: dvc.lock was recorded with another {', '.join(unexplained)}; run `dvc repro`")
        elif read:
            derived += 1
        elif wrote and name.split("@")[0] in models:
            notes.append(f"{name}: other bits than committed, as on another machine; metrics are compared instead")
        elif wrote:
            shown = ", ".join(path + changes(path, old, new) for path in wrote)
            findings.append(f"{name}: wrote another {shown}, although it read the same; run `dvc repro -sf {name}`")
    return findings, [f"{derived} more stages read what differs; they are not listed", *notes] if derived else notes


def edited(old: Run, new: Run, changed: Collection[str]) -> Iterator[str]:
    """Files in git that are not what the run wrote, where dvc.lock is not to blame."""
    outs = [(name, out) for name, entry in new.lock.items() for out in recorded(entry, "outs")]
    for path in changed:
        owners = [(name, out) for name, out in outs if overlap(path, out)]
        if not owners:
            yield f"{path}: the run has written it, and no stage of dvc.yaml names it; add it there or to .gitignore"
        for name in [name for name, out in owners if out not in differences(old, new, name, "outs")]:
            yield f"{name}: {path} in git is not what dvc.lock says{changes(path, old, new)}; run `dvc repro`"


def changes(path: str, old: Run, new: Run) -> str:
    """Which metrics of a file differ and how, in brackets; nothing where it has none."""
    from dvc.utils.flatten import flatten

    first, second = (flatten(dict(run.metrics.get(path, {}))) for run in (old, new))
    pairs = [(key, first.get(key), second.get(key)) for key in first | second]
    texts = [f"{key} {one} -> {other}" for key, one, other in pairs if one != other]
    texts[SHOWN:] = [f"{len(texts) - SHOWN} more"] if len(texts) > SHOWN else []
    return f" ({', '.join(texts)})" if texts else ""


def apart(path: str, old: Run, new: Run) -> Iterator[str]:
    """Figures of a file that lie outside of each other's interval."""
    first, second = (run.metrics.get(path, {}) for run in (old, new))
    for key in [end.removesuffix("_low") for end in second if end.endswith("_low")]:
        name = key if key in second else f"{key}_mean"
        if {name, f"{key}_low", f"{key}_high"} <= first.keys() & second.keys():
            pairs = ((first, second), (second, first))
            if not any(one[f"{key}_low"] <= other[name] <= one[f"{key}_high"] for one, other in pairs):
                yield f"{path}: {name} {first[name]:.4f} -> {second[name]:.4f}: each is outside of the other's interval"


def differences(old: Run, new: Run, name: str, kind: str) -> list[str]:
    """What a stage has recorded under `kind` in only one of two runs, or differently."""
    first, second = (recorded(run.lock.get(name, {}), kind) for run in (old, new))
    return [key for key in first | second if first.get(key, ...) != second.get(key, ...)]


def recorded(entry: Entry, kind: str) -> dict[str, Any]:
    """The hashes under `deps` or `outs` by path; of `params`, the command and the values of parameters by name."""
    if kind == "params":
        return {"cmd": entry.get("cmd"), **entry.get("params", {}).get(str(PARAMS), {})}
    return {item["path"]: item.get("md5", "") for item in entry.get(kind, [])}


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other, or inside it."""
    return f"{first}/".startswith(f"{second}/") or f"{second}/".startswith(f"{first}/")
