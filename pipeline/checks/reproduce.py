"""Does a cold run give what is committed?

    python -m pipeline.checks.reproduce [--target STAGE ...] [--jobs N]

Clones HEAD into a temporary folder, runs its stages there without any cache, and compares its dvc.lock and metrics with
the committed ones. Uncommitted changes are not looked at. A stage that reads the same must write the same:

- data, augmentation from recorded translations, evaluation: bit by bit, on every machine;
- stages that run a model (MODEL_STAGES): bit by bit on the CPU type of the committed run. Another type sums floats in
  another order, so where their outputs differ this is a note, and the metrics that depend on them must agree: inside
  the committed interval where a metric has one, else within TOLERANCES.

Exit codes: 0 reproduced, 1 findings (one line each), 2 could not be checked.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError

from pipeline.errors import InputError, one_line
from pipeline.files import read_json
from pipeline.report.compare import HEADLINES, Metrics, interval

MODEL_STAGES = {
    "backbone",
    "generator",
    "adversarial_search",  # samples from the generator
    "train_sentiment",
    "train_first_stage",
    "train_paraphrase",
    "train_sonnet",
    "generate_sonnets",
}
# Largest difference of a metric without an interval, in its own unit. Of chrF: a single text a prompt may be another
# one altogether, and poems of one system differ by 2 to 2.5 points (the `± sd` of the report), two of them by 3.5.
TOLERANCES = {
    "accuracy": 0.1,
    "macro_f1": 0.1,
    "ap_h_accuracy": 0.15,
    "ap_h_macro_f1": 0.15,
    "chrf_mean": 7.0,
    "chrf_completion_mean": 10.0,
    "acceptance_rate": 0.05,
    "meaning_gate_rate": 0.1,
    "surface_gate_rate": 0.1,
    "both_gates_rate": 0.05,
    "augmented_share": 0.05,
    "label_1": 0.02,
}
Lock = dict[str, dict[str, Any]]  # stages of dvc.lock by name


def main() -> int:
    """Print the findings."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.checks.reproduce")
    parser.add_argument("--target", nargs="+", default=[], help="only these stages and what they depend on")
    parser.add_argument("--jobs", type=int, help="stages at once, as of python -m pipeline.jobs")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
            clone = Path(scratch, "clone")
            old, before = clone_cold(clone)
            run_stages(clone, options.target, options.jobs)
            new, after = read_lock(clone), read_metrics(clone)
    except (InputError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    findings, notes = compared(old, new, before, after)
    print("".join(f"{finding}\n" for finding in findings) + "".join(f"note: {note}\n" for note in notes), end="")
    agree = sum(outputs(entry) == outputs(old.get(name, {})) for name, entry in new.items())
    print(f"{agree} of {len(new)} stages wrote the same bits; {len(findings)} findings")
    return 1 if findings else 0


def clone_cold(clone: Path) -> tuple[Lock, dict[str, Metrics]]:
    """Clone HEAD without its dvc.lock and with a cache of its own; the committed lock and metrics."""
    command = ["git", "clone", "--quiet", "--no-hardlinks", str(Path.cwd()), str(clone)]
    if subprocess.run(command, stdin=subprocess.DEVNULL).returncode:
        raise InputError(f"{Path.cwd()}: cannot be cloned; run from the root of the git repository")
    recorded, metrics = read_lock(clone), read_metrics(clone)
    (clone / "dvc.lock").unlink()  # without it no stage counts as done, and it will hold the stages that ran
    (clone / ".dvc/config.local").write_text("[cache]\n    dir = cache\n", encoding="utf-8")
    return recorded, metrics


def run_stages(clone: Path, targets: list[str], jobs: int | None) -> None:
    """Run all stages, or `targets` and what they depend on."""
    command = [sys.executable, "-m", "pipeline.jobs", *(["--jobs", str(jobs)] if jobs else []), *targets]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    result = subprocess.run(command, cwd=clone, env={**os.environ, "PATH": path}, stdin=subprocess.DEVNULL)
    if result.returncode:
        raise InputError("the run has failed, see above; does it run with `make repro`, and is data.path in git?")


def read_lock(folder: Path) -> Lock:
    """The stages of dvc.lock."""
    path = folder / "dvc.lock"
    try:
        return dict(YAML(typ="safe").load(path.read_text(encoding="utf-8"))["stages"])
    except FileNotFoundError:
        raise InputError("dvc.lock is not committed; run `dvc repro` and commit it") from None
    except (YAMLError, KeyError, TypeError) as error:
        raise InputError(f"dvc.lock: cannot be read: {error}") from None


def read_metrics(folder: Path) -> dict[str, Metrics]:
    """The JSON files below metrics/ by path."""
    return {path.relative_to(folder).as_posix(): read_json(path) for path in sorted(folder.glob("metrics/**/*.json"))}


def compared(
    old: Lock, new: Lock, before: Mapping[str, Metrics], after: Mapping[str, Metrics]
) -> tuple[list[str], list[str]]:
    """Findings and notes, in the order of the new lock: of a stage's outputs, or of its metrics."""
    findings: list[str] = []
    notes: list[str] = []
    differing = {path for name, entry in new.items() for path in differences(old.get(name, {}), entry, "outs")}
    for name, entry in new.items():
        if name not in old:
            findings.append(f"{name}: is not in the committed dvc.lock; run `dvc repro` and commit it")
            continue
        unexplained = [path for path in inputs(old[name], entry) if not any(overlap(path, made) for made in differing)]
        changed = differences(old[name], entry, "outs")
        if unexplained:
            findings.append(f"{name}: dvc.lock was recorded with another {', '.join(unexplained)}; run `dvc repro`")
        elif changed and not inputs(old[name], entry) and name.split("@")[0] not in MODEL_STAGES:
            findings.append(f"{name}: {', '.join(changed)} differ, although all that it reads is the same")
        elif changed:
            if not inputs(old[name], entry):
                notes.append(f"{name}: other bits than committed, as on another CPU type; metrics are compared instead")
            for path in changed:
                if path in before and path in after:
                    findings += [f"{name}: {text}" for text in beyond(path, before[path], after[path])]
    return findings, notes


def inputs(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs in what a stage reads: its command, parameter files, dependencies."""
    named = [key for key in ("cmd", "params") if old.get(key) != new.get(key)]
    return named + differences(old, new, "deps")


def differences(old: Mapping[str, Any], new: Mapping[str, Any], kind: str) -> list[str]:
    """The paths under `deps` or `outs` whose hashes differ, or that only one of the two has."""
    first, second = hashes(old, kind), hashes(new, kind)
    return [path for path in first | second if first.get(path) != second.get(path)]


def outputs(entry: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of a stage's outputs by path."""
    return hashes(entry, "outs")


def hashes(entry: Mapping[str, Any], kind: str) -> dict[str, str]:
    """The hashes under `deps` or `outs` by path."""
    return {item["path"]: item.get("md5", "") for item in entry.get(kind, [])}


def overlap(first: str, second: str) -> bool:
    """Whether one path is the other, or inside it."""
    return Path(first) == Path(second) or Path(first) in Path(second).parents or Path(second) in Path(first).parents


def beyond(path: str, old: Metrics, new: Metrics) -> Iterator[str]:
    """The metrics that differ by more than they may."""
    task = path.split("/")[1]
    headlines = HEADLINES.get(task, list(TOLERANCES))
    for metric in headlines:
        before, after = old.get(metric), new.get(metric)
        if before is None and after is None:
            continue
        if before is None or after is None:
            yield f"{path}: {metric} is {after}, committed is {before}"
            continue
        low, high = interval(old, metric)
        if low is None or high is None:
            low, high = before - TOLERANCES[metric], before + TOLERANCES[metric]
        if not low <= after <= high:
            yield f"{path}: {metric} is {after:.4f}, committed is {before:.4f}, accepted {low:.4f} to {high:.4f}"


if __name__ == "__main__":
    raise SystemExit(main())
