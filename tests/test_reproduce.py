"""checks.reproduce: a cold run in a clone of HEAD against what is committed, on small DVC projects."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from small_project import REPOSITORY

from pipeline.checks import reproduce

# What a stage writes depends on the environment: as another machine, or a change that nobody committed, would do it.
STAGE = """
import json, os, sys
from pathlib import Path
def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)
stage = sys.argv[1]
if stage == "prepare":
    seed = Path("params.yaml").read_text().split("seed: ")[1].split()[0]
    write("data/prepared.txt", seed + os.environ.get("DATA", ""))
elif stage == "train":
    accuracy = 0.7 + float(os.environ.get("CPU", 0))
    write("predictions/paraphrase/baseline.txt", str(accuracy))
    write("plots/curves/baseline.csv", "loss")
elif stage == "evaluate":
    accuracy = float(Path("predictions/paraphrase/baseline.txt").read_text())
    metrics = {"accuracy": accuracy, "accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.1, "rows": 400}
    write("metrics/paraphrase/baseline.json", json.dumps(metrics))
else:
    write("metrics/summary.md", Path("metrics/paraphrase/baseline.json").read_text())
"""
PIPELINE = """
stages:
  prepare:
    cmd: python stage.py prepare
    deps: [stage.py]
    params: [seed]
    outs: [data/prepared.txt]
  train_paraphrase:
    foreach: [baseline]
    do:
      cmd: python stage.py train
      deps: [stage.py, data/prepared.txt]
      params: [seed, text]
      outs:
        - predictions/paraphrase/${item}.txt
        - plots/curves: {cache: false}
  evaluate_paraphrase:
    cmd: python stage.py evaluate
    deps: [stage.py, predictions/paraphrase]
    metrics:
      - metrics/paraphrase/baseline.json: {cache: false}
  report:
    cmd: python stage.py report
    deps: [stage.py, metrics/paraphrase]
    params:
      - params.yaml: null
    outs:
      - metrics/summary.md: {cache: false}
"""
METRICS, PREDICTIONS = "metrics/paraphrase/baseline.json", "predictions/paraphrase/baseline.txt"


def call(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    values = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(command, cwd=folder, env=values, capture_output=True, text=True)


def commit(folder: Path) -> None:
    for arguments in (["add", "-A"], ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "run"]):
        result = call(folder, "git", *arguments)
        assert result.returncode == 0, result.stderr


def run(folder: Path) -> None:
    ran = call(folder, "python", "-m", "pipeline.parallel", "--jobs", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Iterator[Path]:
    """Four stages of a portable profile, run and committed."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(PIPELINE)
    compute = {"precision": "portable", "threads": 1, "processes": 1}
    with open(folder / "params.yaml", "w") as file:
        YAML(typ="safe").dump(YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml") | {"compute": compute}, file)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        assert call(folder, *command).returncode == 0
    run(folder)
    commit(folder)
    yield folder


@pytest.fixture
def project(committed: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(committed, tmp_path / "copy"))


@pytest.fixture(scope="module")
def fp32(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a profile whose bits depend on the machine."""
    folder = Path(shutil.copytree(committed, tmp_path_factory.mktemp("fp32") / "copy"))
    replace(folder / "params.yaml", "portable", "fp32")
    replace(
        folder / "dvc.yaml", "[seed, text]", "[seed, compute]"
    )  # only here: the runner imports torch for such a stage
    run(folder)
    commit(folder)
    return folder


def check(folder: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Exit code, and the lines that are not those of the run."""
    command = ["python", "-m", "pipeline.checks", "reproduce", "--jobs", "1", *arguments]
    result = call(folder, *command, **environment)
    lines = (result.stdout + result.stderr).splitlines()
    ours = ("note: ", "error: ", "prepare: ", "train_paraphrase@baseline: ", "evaluate_paraphrase: ", "report: ",
            "gone: ", "metrics/")  # fmt: skip
    return result.returncode, [line for line in lines if line.startswith(ours) or "wrote the same bits" in line]


def test_the_same_again(committed: Path) -> None:
    assert check(committed) == (0, ["4 of 4 stages wrote the same bits; 0 findings"])
    assert call(committed, "git", "status", "--porcelain").stdout == ""


def test_of_a_portable_run_one_other_bit_is_a_finding_where_it_begins(committed: Path) -> None:
    code, lines = check(committed, CPU="1e-16")  # the last bit of 0.7
    assert code == 1
    assert lines == [
        f"train_paraphrase@baseline: wrote another {PREDICTIONS}, although it read the same; "
        "run `dvc repro -sf train_paraphrase@baseline`",
        "note: 2 more stages read what differs; they are not listed",
        "1 of 4 stages wrote the same bits; 1 findings",
    ]


def test_a_stage_that_is_gone_is_a_finding_and_so_are_files_in_git_that_the_run_does_not_give(project: Path) -> None:
    replace(project / METRICS, '"accuracy": 0.7', '"accuracy": 0.9')
    replace(project / "plots/curves/baseline.csv", "loss", "less")
    assert call(project, "git", "rm", "--cached", "-q", "metrics/summary.md").returncode == 0
    replace(project / ".git/info/exclude", "#", "metrics/summary.md\n#")  # `git add -A` leaves it out
    replace(project / "dvc.lock", "\nstages:\n", "\nstages:\n  gone:\n    cmd: python gone.py\n")
    commit(project)
    assert check(project) == (
        1,
        [
            "gone: dvc.lock has it, but it did not run; run `python -m pipeline tidy`",
            f"evaluate_paraphrase: {METRICS} in git is not what dvc.lock says (accuracy 0.9 -> 0.7); run `dvc repro`",
            "report: metrics/summary.md in git is not what dvc.lock says; run `dvc repro`",
            "train_paraphrase@baseline: plots/curves/baseline.csv in git is not what dvc.lock says; run `dvc repro`",
            "4 of 4 stages wrote the same bits; 4 findings",
        ],
    )
    assert check(project, "--target", "prepare") == (0, ["1 of 1 stages wrote the same bits; 0 findings"])


def test_an_edited_prediction_that_was_recorded_in_dvc_lock_is_a_finding(project: Path) -> None:
    (project / PREDICTIONS).unlink()  # it may be a link into the cache
    (project / PREDICTIONS).write_text("0.9")
    assert call(project, "dvc", "commit", "-f", "train_paraphrase").returncode == 0
    run(project)
    assert json.loads((project / METRICS).read_text())["accuracy"] == 0.9
    commit(project)
    code, lines = check(project)
    assert code == 1
    assert lines[0].startswith(f"train_paraphrase@baseline: wrote another {PREDICTIONS}, although it read the same")
    assert lines[1:] == [
        "note: 2 more stages read what differs; they are not listed",
        "1 of 4 stages wrote the same bits; 1 findings",
    ]


def test_a_run_with_another_seed_or_other_code_is_a_finding_in_every_stage_that_takes_it(project: Path) -> None:
    replace(project / "dvc.lock", "seed: 1", "seed: 2")
    replace(project / "stage.py", "import json", "import  json")
    replace(project / "dvc.yaml", "stage.py evaluate", "./stage.py evaluate")
    commit(project)
    code, lines = check(project)
    assert code == 1
    changed = {"prepare": "seed", "train_paraphrase@baseline": "seed", "evaluate_paraphrase": "cmd", "report": "seed"}
    assert lines == [
        *(
            f"{stage}: dvc.lock was recorded with another {what}, stage.py; run `dvc repro`"
            for stage, what in changed.items()
        ),
        "4 of 4 stages wrote the same bits; 4 findings",
    ]


def test_of_fp32_another_model_is_a_note_while_its_metrics_stay_within_their_intervals(fp32: Path) -> None:
    remark = "other bits than committed, as on another machine; metrics are compared instead"
    note = f"note: train_paraphrase@baseline: {remark}"
    code, lines = check(fp32, CPU="-0.05")
    assert code == 0
    assert note in lines and lines[-1] == "1 of 4 stages wrote the same bits; 0 findings"
    code, lines = check(fp32, CPU="-0.2")
    assert code == 1
    assert lines[0] == f"{METRICS}: accuracy 0.7000 -> 0.5000: each is outside of the other's interval"
    assert note in lines and lines[-1] == "1 of 4 stages wrote the same bits; 1 findings"


def test_of_fp32_what_no_model_wrote_has_the_same_bits(fp32: Path) -> None:
    code, lines = check(fp32, "--target", "prepare", DATA=" of tomorrow")
    assert code == 1
    assert lines[0].startswith("prepare: wrote another data/prepared.txt, although it read the same")


def test_a_run_that_fails_cannot_be_checked(project: Path, tmp_path: Path) -> None:
    code, lines = check(project, CPU="no number")
    assert code == 2 and "the run has failed" in lines[-1]
    code, lines = check(tmp_path)
    assert code == 2 and "cannot be cloned" in lines[-1]
    assert check(project, "--target", "nothing")[0] == 2
    replace(project / "params.yaml", "portable", "fp64")
    commit(project)
    code, lines = check(project)
    assert code == 2 and "compute.precision" in lines[-1]


def test_which_stages_run_a_model_is_derived_from_their_parameters(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    text = (REPOSITORY / "profiles/sample.yaml").read_text()
    params = YAML(typ="safe").load(text)
    params["compute"]["precision"] = "bf16"
    with open(tmp_path / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    models = reproduce.model_stages(tmp_path)
    assert {"backbone", "translate", "adversarial_search", "train_paraphrase", "generate_sonnets"} <= models
    assert not models & {"code", "download", "prepare", "ensemble", "evaluate_sonnets", "evaluate_floors", "report"}
    params["compute"]["precision"] = "portable"
    with open(tmp_path / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    assert reproduce.model_stages(tmp_path) == set()
