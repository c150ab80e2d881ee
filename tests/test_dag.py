"""The DAG itself: what depends on what, what runs again when, and that it gives the same twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from small_project import REPOSITORY, complete_checkpoints, cut_rows, write_project

from pipeline.stages.code import listings

STAGES = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]
PARAMS = YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml")

pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def test_every_stage_depends_on_the_list_of_its_code() -> None:
    lists = listings()
    for name, stage in STAGES.items():
        stage = stage.get("do", stage)
        module = re.match(r"python -m pipeline\.stages (\w+)", stage["cmd"])
        assert module, name
        assert f"code/stages/{module[1]}.txt" in stage["deps"] or name == "code"
        assert Path(f"stages/{module[1]}.txt") in lists, name
    for name in ("train_paraphrase", "train_first_stage"):  # whose rows name an objective
        assert "code/objectives/${item.objective}.txt" in STAGES[name]["do"]["deps"]
    for name in ("generate_sonnets", "generate_sonnet_ensemble"):  # a decoder
        assert "code/decoding/${item.decoder}.txt" in STAGES[name]["do"]["deps"]


def test_every_stage_says_what_it_does() -> None:
    assert [name for name, stage in STAGES.items() if not stage.get("do", stage).get("desc")] == []


def test_no_row_is_named_by_the_plots() -> None:
    # They are drawn from tables of `report` that hold every row, so that a new row needs no line in dvc.yaml.
    plots = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["plots"]
    sources = [source for plot in plots for figure in plot.values() for source in figure["y"]]
    assert len(sources) == len(set(sources)) == len(plots)
    assert {str(Path(source).parent) for source in sources} == {"plots/tables"}
    assert [name for name, stage in STAGES.items() if "plots" in stage.get("do", stage)] == []  # one figure a file


def project(folder: Path) -> Path:
    """A DVC project with the real code and DAG, invented data and small parameters, some rows left out."""
    write_project(folder)
    params = YAML(typ="safe").load(folder / "params.yaml")
    rows = {
        "sentiment": ["sst_head"],
        "paraphrase": ["baseline", "back_translation", "lora_r8"],
        "sonnet": ["full_b8_lr1e5"],
    }
    cut_rows(params, rows, ["baseline", "lora_r8"], ["top_p_untuned", "line_mbr"])
    params["sentiment"]["methods"]["sst_head"]["seeds"] = [1]
    params["sentiment"]["ensembles"] = {"sst_ensemble": {"members": ["sst_head", "sst_head@1"], "weights": "equal"}}
    pooled = {"decoder": "pool_mbr", "systems": {"top_p_untuned": 1.0, "line_mbr": 1.0}}
    params["sonnet"]["ensembles"] = {"pooled": pooled}
    params["training_sets"] = {"back_translation": params["training_sets"]["back_translation"]}
    with open(folder / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    shutil.copytree(REPOSITORY / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, folder / name)
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "-A"]):
        call(folder, *command)
    call(folder, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "project")
    return folder


def call(folder: Path, *command: str) -> str:
    """Run a command in the project; its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stages_run(output: str) -> set[str]:
    return set(re.findall(r"Running stage '([^']+)'", output))


def edit_row(folder: Path, group: str, row: str, **values: float) -> None:
    """Change parameters of one row."""
    yaml = YAML(typ="safe")
    params = yaml.load(folder / "params.yaml")
    params[group]["methods"][row].update(values)
    with open(folder / "params.yaml", "w") as file:
        yaml.dump(params, file)


def kill_repro_in_training(folder: Path) -> None:
    """Start `dvc repro` of a paraphrase row and kill -9 it, with the stage it runs, at the row's first checkpoint.

    All in interpreters of their own: what they leave is compared with what forks leave.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        ["dvc", "repro", "train_paraphrase@baseline"], cwd=folder, env={**os.environ, "PATH": path},
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not complete_checkpoints(folder, "paraphrase"):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


TOY = """
from pydantic import Field
from torch import nn

from pipeline.config.base import Block

VIEWS = ("second",)


class Options(Block):
    margin: float = Field(gt=0)


def loss(model, batch, options):
    logits = model(batch["input_ids"], batch["lengths"])
    second = model(batch["second"], batch["second_lengths"])
    toy = nn.functional.multi_margin_loss(logits, batch["labels"], margin=options.margin) + 0 * second.sum()
    return toy, {"toy": toy}
"""


def test_a_new_objective_is_one_file_and_one_row(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    (folder / "pipeline/objectives/toy.py").write_text(TOY)
    params = YAML(typ="safe").load(folder / "params.yaml")
    toy = {"train": "prepared/paraphrase", "start": "backbone", "objective": "toy", "options": {"margin": 1.0}}
    params["paraphrase"]["methods"]["toy"] = {**toy, "epochs": 1, "batch_size": 4}
    with open(folder / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    assert call(folder, "git", "status", "--short") == " M params.yaml\n?? pipeline/objectives/toy.py\n"
    call(folder, "python", "-m", "pipeline.checks", "params")
    needed = {"code", "download", "prepare", "backbone"}
    assert stages_run(call(folder, "dvc", "repro", "train_paraphrase@toy")) == needed | {"train_paraphrase@toy"}
    assert (folder / "predictions/paraphrase/toy/dev.csv").exists()
    steps = (folder / "plots/curves/paraphrase/toy/toy.tsv").read_text().splitlines()
    assert steps[0] == "step\ttoy" and len(steps) > 1
    # The row depends on the objective's code: a comment runs nothing again, a change the row alone.
    (folder / "pipeline/objectives/toy.py").write_text(TOY.replace("def loss", "# What a toy costs.\n\ndef loss"))
    assert stages_run(call(folder, "dvc", "repro", "train_paraphrase@toy")) == {"code"}
    (folder / "pipeline/objectives/toy.py").write_text(TOY.replace("0 * second", "0.5 * second"))
    assert stages_run(call(folder, "dvc", "repro", "train_paraphrase@toy")) == {"code", "train_paraphrase@toy"}


def test_cold_runs_agree_even_when_killed_and_a_changed_row_runs_alone(tmp_path: Path) -> None:
    first, second = project(tmp_path / "first"), project(tmp_path / "second")
    call(second, "python", "-m", "pipeline.parallel", "--jobs", "2")
    assert stages_run(call(second, "dvc", "repro")) == set()

    # Killed and started again, it does what was not done, and no stage that was. The same hash for every output as in
    # the other cold run, whose stages ran side by side: no absolute path, no clock, nothing of the interruption or of
    # the company is in any of them.
    kill_repro_in_training(first)
    rest = stages_run(call(first, "dvc", "repro"))
    assert "backbone" not in rest and "report" in rest
    assert rest <= set(call(first, "dvc", "stage", "list", "--name-only").split())
    locks = [YAML(typ="safe").load(folder / "dvc.lock") for folder in (first, second)]
    assert locks[0] == locks[1]

    # Nothing to do, and CI's gate agrees, here and on a clone that has no data.
    assert stages_run(call(first, "dvc", "repro")) == set()
    call(first, "git", "add", "-A")
    call(first, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "results")
    call(tmp_path, "git", "clone", "-q", str(first), str(tmp_path / "clone"))
    assert "up to date" in call(tmp_path / "clone", "python", "-m", "pipeline.checks", "fresh")

    # One parameter of one row: that row, its evaluation, the ensemble it is a member of and the report.
    edit_row(first, "paraphrase", "lora_r8", lr=0.003)
    unless_equal = {"evaluate_ensemble_paraphrase@ensemble_weighted"}  # its weight may be nothing, before and after
    assert stages_run(call(first, "dvc", "repro")) - unless_equal == {
        "train_paraphrase@lora_r8",
        "evaluate_paraphrase@lora_r8",
        "ensemble_paraphrase@ensemble_weighted",
        "report",
    }
    metrics = json.loads((first / "metrics/paraphrase/baseline.json").read_text())
    assert metrics == json.loads((second / "metrics/paraphrase/baseline.json").read_text())

    # Another setting of a system's decoder: that system, what is made of several, and the report.
    params = YAML(typ="safe").load(first / "params.yaml")
    params["sonnet"]["systems"]["line_mbr"]["samples"] = 3
    with open(first / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    assert stages_run(call(first, "dvc", "repro")) == {
        "generate_sonnets@line_mbr",
        "evaluate_sonnets@line_mbr",
        "generate_sonnet_ensemble@pooled",
        "evaluate_sonnet_ensemble@pooled",
        "report",
    }

    # Other intervals: all that is evaluated, and what shows it.
    params = YAML(typ="safe").load(first / "params.yaml")
    params["evaluation"]["confidence"] = 0.9
    with open(first / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    ran = stages_run(call(first, "dvc", "repro"))
    assert {stage.split("@")[0] for stage in ran} == {
        *(f"evaluate_{what}" for what in ("sentiment", "paraphrase", "sonnets", "floors")), "report",
        *(f"evaluate_ensemble_{task}" for task in ("sentiment", "paraphrase")),
        "evaluate_sonnet_ensemble",
    }  # fmt: skip
    assert len(ran) == 1 + 3 + 2 + 2 + 1 + 1 + 1

    # Other weights of an ensemble: that ensemble alone.
    params["sentiment"]["ensembles"]["sst_ensemble"]["weights"] = "greedy"
    with open(first / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    ran = stages_run(call(first, "dvc", "repro"))
    assert ran == {"ensemble_sentiment@sst_ensemble", "evaluate_ensemble_sentiment@sst_ensemble", "report"}

    # Another language is translated alone.
    params = YAML(typ="safe").load(first / "params.yaml")
    params["back_translation"]["languages"].append("gl")
    with open(first / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    ran = stages_run(call(first, "dvc", "repro", "back_translate@es", "back_translate@gl"))
    assert ran == {"translate@gl-0", "back_translate@gl"}
    assert "adversarial" in call(first, "dvc", "status", "--no-updates")  # its candidates are wanted further down

    # The gate notices on the clone, with exit code 1 and one line a stage.
    edit_row(tmp_path / "clone", "sentiment", "sst_head", lr=0.004)
    stale = subprocess.run(
        ["python", "-m", "pipeline.checks", "fresh"], cwd=tmp_path / "clone", capture_output=True, text=True
    )
    assert stale.returncode == 1
    assert "train_sentiment@sst_head: dvc.lock is older" in stale.stdout
