"""checks.reproduce: a cold run in a clone of HEAD against what is committed, on small DVC projects."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_project import REPOSITORY

from pipeline.checks import reproduce

# What a stage writes depends on the environment: as another machine, or a change that nobody committed, would do it.
STAGE = """
import json, os, sys
from pathlib import Path
stage = sys.argv[1]
if stage == "prepare":
    Path("data.txt").write_text("data" + os.environ.get("DATA", ""))
elif stage == "train":
    Path("model.txt").write_text(Path("data.txt").read_text() + os.environ.get("CPU", ""))
else:
    Path("metrics/paraphrase").mkdir(parents=True, exist_ok=True)
    accuracy = 0.7 + float(os.environ.get("CPU", 0))
    values = {"accuracy": accuracy, "accuracy_low": 0.65, "accuracy_high": 0.75, "macro_f1": accuracy}
    Path("metrics/paraphrase/baseline.json").write_text(json.dumps(values))
"""
PIPELINE = """
stages:
  prepare:
    cmd: python stage.py prepare
    deps: [stage.py]
    outs: [data.txt]
  train_paraphrase:
    cmd: python stage.py train
    deps: [stage.py, data.txt]
    outs: [model.txt]
  evaluate_paraphrase:
    cmd: python stage.py evaluate
    deps: [stage.py, model.txt]
    metrics:
      - metrics/paraphrase/baseline.json: {cache: false}
"""


def call(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    values = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True)


def commit(folder: Path) -> None:
    for arguments in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "run"]):
        result = call(folder, "git", *arguments)
        assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Iterator[Path]:
    """Three stages, run and committed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        assert call(folder, *command).returncode == 0
    ran = call(folder, "python", "-m", "pipeline.jobs", "--jobs", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    commit(folder)
    yield folder


def check(folder: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that are not those of the run."""
    command = ["python", "-m", "pipeline.checks.reproduce", "--jobs", "1", *arguments]
    result = call(folder, *command, **environment)
    lines = (result.stdout + result.stderr).splitlines()
    return result.returncode, [line for line in lines if "note:" in line or "error:" in line or "paraphrase:" in line
                               or "prepare:" in line or "wrote the same bits" in line]  # fmt: skip


def test_the_same_again(project: Path) -> None:
    assert check(project) == (0, ["3 of 3 stages wrote the same bits; 0 findings"])
    status = call(project, "git", "status", "--porcelain")
    assert status.stdout == ""


def test_a_target_runs_what_it_needs_alone(project: Path) -> None:
    assert check(project, "--target", "train_paraphrase") == (0, ["2 of 2 stages wrote the same bits; 0 findings"])


def test_other_data_is_one_finding(project: Path) -> None:
    code, lines = check(project, DATA=" of tomorrow")
    assert code == 1
    assert lines == [
        "prepare: data.txt differ, although all that it reads is the same",
        "1 of 3 stages wrote the same bits; 1 findings",
    ]


def test_another_model_is_a_note_while_its_metrics_agree(project: Path) -> None:
    code, lines = check(project, CPU="0.04")
    assert code == 0
    assert lines == [
        "note: train_paraphrase: other bits than committed, as on another CPU type; metrics are compared instead",
        "1 of 3 stages wrote the same bits; 0 findings",
    ]
    code, lines = check(project, CPU="0.2")
    assert code == 1
    assert lines[0].endswith("accuracy is 0.9000, committed is 0.7000, accepted 0.6500 to 0.7500")
    assert lines[1].endswith("macro_f1 is 0.9000, committed is 0.7000, accepted 0.6000 to 0.8000")


def test_a_run_that_fails_cannot_be_checked(project: Path, tmp_path: Path) -> None:
    code, lines = check(project, CPU="no number")
    assert code == 2 and "the run has failed" in lines[-1]
    code, lines = check(tmp_path)
    assert code == 2 and "cannot be cloned" in lines[-1]
    code, lines = check(project, "--target", "nothing")
    assert code == 2


Entry = dict[str, Any]


def entry(deps: dict[str, str], outs: dict[str, str], **more: object) -> Entry:
    kinds = {"deps": deps, "outs": outs}
    return more | {kind: [{"path": path, "md5": md5} for path, md5 in items.items()] for kind, items in kinds.items()}


def test_a_lock_of_other_code_is_a_finding() -> None:
    old = {"prepare": entry({"a.py": "1", "raw": "1"}, {"data": "1"})}
    new = {"prepare": entry({"a.py": "2", "raw": "1"}, {"data": "2"}), "more": entry({}, {})}
    findings, notes = reproduce.compared(old, new, {}, {})
    assert findings == [
        "prepare: dvc.lock was recorded with another a.py; run `dvc repro`",
        "more: is not in the committed dvc.lock; run `dvc repro` and commit it",
    ]
    assert notes == []
    old["prepare"]["params"], new["prepare"] = {"params.yaml": {"seed": 1}}, old["prepare"] | {"params": {}}
    assert "recorded with another params" in reproduce.compared(old, new, {}, {})[0][0]


def test_a_change_is_explained_by_the_folder_or_the_file_that_it_came_from() -> None:
    train = "train_paraphrase@baseline"
    old = {
        train: entry({}, {"predictions/paraphrase/baseline": "1"}),
        "report": entry({"predictions": "1"}, {"p": "1"}),
    }
    new = {
        train: entry({}, {"predictions/paraphrase/baseline": "2"}),
        "report": entry({"predictions": "2"}, {"p": "2"}),
    }
    assert reproduce.compared(old, new, {}, {})[0] == []
    for path, explained in (("predictions/paraphrase/baseline/dev.csv", True), ("predictions/paraphrase/base", False)):
        old["report"], new["report"] = entry({path: "1"}, {"p": "1"}), entry({path: "2"}, {"p": "2"})
        assert (reproduce.compared(old, new, {}, {})[0] == []) == explained


def test_tolerances() -> None:
    chrf = {"chrf_mean": 30.0, "chrf_low": 29.0, "chrf_high": 31.0}
    path = "metrics/sonnets/top_p.json"
    assert list(reproduce.beyond(path, chrf, {"chrf_mean": 31.0})) == []
    (line,) = reproduce.beyond(path, chrf, {"chrf_mean": 31.1})
    assert line == f"{path}: chrf_mean is 31.1000, committed is 30.0000, accepted 29.0000 to 31.0000"
    alone = {"chrf_mean": 30.0}
    limit = reproduce.TOLERANCES["chrf_mean"]
    assert list(reproduce.beyond(path, alone, {"chrf_mean": 30.0 - limit})) == []
    assert list(reproduce.beyond(path, alone, {"chrf_mean": 30.1 + limit}))
    assert list(reproduce.beyond(path, alone, {})) == [f"{path}: chrf_mean is None, committed is 30.0"]
    rates = "metrics/augmentation/apt.json"
    assert list(reproduce.beyond(rates, {"both_gates_rate": 0.1, "candidates": 5}, {"both_gates_rate": 0.2}))


def test_every_headline_and_every_model_stage_is_known() -> None:
    from ruamel.yaml import YAML

    from pipeline.report.compare import HEADLINES

    assert {metric for names in HEADLINES.values() for metric in names} <= reproduce.TOLERANCES.keys()
    assert reproduce.MODEL_STAGES <= YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"].keys()
    known = [json.loads(path.read_text()) for path in sorted((REPOSITORY / "metrics").rglob("*.json"))]
    for metric in reproduce.TOLERANCES:
        assert any(metric in metrics for metrics in known), metric
