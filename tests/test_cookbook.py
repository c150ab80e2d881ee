"""The cookbook of docs/experiments.md, as a DVC user types it, in copies of a small project with the real DAG.

Every command is a string given to `Copy.run`: a test compares these strings with the cookbook.
"""

import ast
import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from project_user import Copy, ran
from ruamel.yaml import YAML
from small_project import REPOSITORY, cut_rows, write_project

ROWS = {"sentiment": ["sst_head"], "paraphrase": ["baseline", "simcse", "lora_r8"], "sonnet": ["full_b8_lr1e5"]}
LORA = {"train_paraphrase@lora_r8", "evaluate_paraphrase@lora_r8", "ensemble_paraphrase@ensemble_weighted", "report"}
# It has nothing to do where the ensemble gives what it gave before.
MAYBE = {"evaluate_ensemble_paraphrase@ensemble_weighted"}


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Copy:
    """The project, run and committed on main, with a folder as DVC remote to which it was pushed."""
    folder = tmp_path_factory.mktemp("cookbook") / "origin"
    write_project(folder)
    params = cut_rows(YAML(typ="safe").load(folder / "params.yaml"), ROWS, ["baseline", "lora_r8"], ["top_p_untuned"])
    params["training_sets"] = {}
    for group in ("sentiment", "paraphrase", "sonnet"):
        for row in params[group]["methods"].values():
            row["epochs"] = 1
            row.pop("seeds", None)
    shutil.copytree(REPOSITORY / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(REPOSITORY / ".dvc/plots", folder / ".dvc/plots")
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore", "Makefile"):
        shutil.copy(REPOSITORY / name, folder / name)
    (folder / "requirements.txt").touch()
    (folder / ".venv").mkdir()
    (folder / ".venv/.installed").touch()  # so that make installs nothing
    project = Copy(folder)
    project.write(params)
    project.call("git", "init", "-q", "-b", "main")
    project.run("make repro JOBS=2")
    project.run("dvc remote add --default storage ../storage")
    project.commit()
    project.run("dvc push")
    assert project.call("git", "status", "--porcelain") == ""
    return project


@pytest.fixture
def project(origin: Copy, tmp_path: Path) -> Copy:
    return origin.duplicate(tmp_path / "project")


def cells(table: str) -> list[list[str]]:
    """The rows of a table that DVC printed, without its lines."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip(" ─")]


def test_a_changed_parameter_and_what_it_changes(project: Copy) -> None:
    assert "stages are up to date" in project.run("make repro")
    project.edit("paraphrase", "simcse", lr=0.004)
    assert "train_paraphrase@simcse:" in project.run("dvc status")
    assert ran(project.run("dvc repro train_paraphrase@simcse")) == {"train_paraphrase@simcse"}
    rest = {"evaluate_paraphrase@simcse", "ensemble_paraphrase@ensemble_weighted", "report"}
    assert ran(project.run("dvc repro")) - MAYBE == rest
    assert ran(project.run("dvc repro")) == set()
    assert cells(project.run("dvc params diff"))[1:] == [
        ["params.yaml", "paraphrase.methods.simcse.lr", "0.002", "0.004"]
    ]
    changed = cells(project.run("dvc metrics diff main"))
    assert changed[0] == ["Path", "Metric", "main", "workspace", "Change"]
    assert {row[0] for row in changed[1:]} == {"metrics/paraphrase/simcse.json"}
    assert "rows have the same headline metrics" in project.run("make compare BASE=main")
    project.run("dvc plots diff main")
    page = (project.folder / "dvc_plots/index.html").read_text()
    assert "vegaEmbed" in page and '"rev": "main"' in page and '"rev": "workspace"' in page
    assert "metrics/paraphrase/simcse.json" in project.run("dvc metrics show")
    needed = project.run("dvc dag train_paraphrase@simcse")
    assert set(re.findall(r"[a-z_]+(?:@\w+)?", needed)) == {
        "code", "download", "prepare", "backbone", "train_first_stage@simcse", "train_paraphrase@simcse"
    }  # fmt: skip


def test_changed_code_and_whom_it_concerns(project: Copy) -> None:
    # A comment: nobody. Before the stage `code` has run, DVC cannot tell, but `make repro` and `rows` can.
    training = project.folder / "pipeline/training/loop.py"
    training.write_text(training.read_text() + "\n# A note.\n")
    assert "code: dvc.lock is older" in project.call("python", "-m", "pipeline.checks", "fresh", code=1)
    assert stale_rows(project) == set()
    assert re.findall(r"\] (\S+) done", project.run("make repro")) == ["code"]
    assert "stages are up to date" in project.run("make repro")

    # An objective: the rows that train with it, and those that start from them.
    objective = project.folder / "pipeline/objectives/simcse.py"
    objective.write_text(objective.read_text() + "\nUNUSED = 1\n")
    assert stale_rows(project) == {"simcse", "ensemble_weighted"}
    assert ran(project.run("dvc repro code")) == {"code"}
    status = project.run("dvc status")
    assert "train_first_stage@simcse:" in status and "code/objectives/simcse.txt" in status and "baseline" not in status
    assert stale_rows(project) == {"simcse", "ensemble_weighted"}


def stale_rows(project: Copy) -> set[str]:
    """The rows that `python -m pipeline rows` calls stale."""
    table = project.call("python", "-m", "pipeline", "rows")
    return {line.split()[0] for line in table.splitlines() if "stale" in line}


def test_an_experiment_and_a_sweep(project: Copy) -> None:
    output = project.run("dvc exp run -S paraphrase.methods.lora_r8.r=16 --name rank16")
    assert ran(output) - MAYBE == LORA
    assert project.params()["paraphrase"]["methods"]["lora_r8"]["r"] == 16
    project.call("git", "checkout", "-q", ".")
    project.run("dvc checkout")

    queued = project.run(
        "dvc exp run --queue -S 'paraphrase.methods.lora_r8.lr=1e-4,2e-4,5e-4' evaluate_paraphrase@lora_r8"
    )
    assert queued.count("Queued experiment") == 3
    project.run("dvc queue start")
    deadline = time.monotonic() + 500
    finished = "refs/exps/[0-9a-f][0-9a-f]/*/*"  # asking DVC again and again takes more time than the trainings
    while project.call("git", "for-each-ref", finished).count("\n") < 4:
        assert time.monotonic() < deadline, project.run("dvc queue status")
        time.sleep(1)
    while (status := project.run("dvc queue status")).count("Success") < 3:
        assert time.monotonic() < deadline, status
        time.sleep(2)
    assert project.call("git", "status", "--porcelain") == ""

    shown = cells(project.run("dvc exp show --drop '.*' --keep 'Exp|.*lora_r8.*(:(select_)?accuracy|[.]lr|[.]r)$'"))
    assert shown[0] == [
        "Experiment",
        "metrics/paraphrase/lora_r8.json:accuracy",
        "metrics/paraphrase/lora_r8.json:select_accuracy",
        "paraphrase.methods.lora_r8.lr",
        "paraphrase.methods.lora_r8.r",
    ]
    by_name = {re.sub(r".*\[|\].*", "", row[0]): row[1:] for row in shown[1:]}
    assert set(by_name) >= {"workspace", "main", "rank16"} and len(by_name) == 6
    tried = {(row[2], row[3]) for name, row in by_name.items() if name not in ("workspace", "main")}
    assert tried == {("0.002", "16"), ("0.0001", "8"), ("0.0002", "8"), ("0.0005", "8")}

    project.run("dvc exp apply rank16")
    assert project.params()["paraphrase"]["methods"]["lora_r8"]["r"] == 16
    assert ran(project.run("dvc repro")) == set()
    accuracy = json.loads((project.folder / "metrics/paraphrase/lora_r8.json").read_text())["accuracy"]
    assert float(by_name["rank16"][0]) == pytest.approx(accuracy, rel=1e-4)


def test_results_are_shared_through_a_remote(origin: Copy) -> None:
    whole, part = (Copy(origin.folder.parent / name) for name in ("whole", "part"))
    for clone in (whole, part):
        origin.call("git", "clone", "-q", ".", str(clone.folder))
    whole.run("dvc pull")
    assert whole.named("report.html")
    assert ran(whole.run("dvc repro")) == set()
    assert whole.call("git", "status", "--porcelain") == ""

    # One row, with no more files than it needs.
    output = part.run(
        "dvc exp run --pull --allow-missing -S paraphrase.methods.lora_r8.r=4 evaluate_paraphrase@lora_r8"
    )
    assert ran(output) == {"train_paraphrase@lora_r8", "evaluate_paraphrase@lora_r8"}
    assert {path.name for path in (part.folder / "models").iterdir()} == {"backbone", "paraphrase"}
    assert [path.name for path in (part.folder / "models/paraphrase").iterdir()] == ["lora_r8"]


def test_two_targets_at_once(project: Copy) -> None:
    project.edit("paraphrase", "baseline", lr=0.003)
    project.edit("paraphrase", "lora_r8", lr=0.004)
    with ThreadPoolExecutor() as pool:
        one = pool.submit(lambda: project.run("dvc --wait-for-lock repro --single-item train_paraphrase@baseline"))
        other = pool.submit(lambda: project.run("dvc --wait-for-lock repro --single-item train_paraphrase@lora_r8"))
    assert ran(one.result()) == {"train_paraphrase@baseline"} and ran(other.result()) == {"train_paraphrase@lora_r8"}
    lines = project.run("dvc status").splitlines()
    assert not [line for line in lines if line.startswith("train")]  # both entries are in dvc.lock


def test_a_removed_and_a_renamed_row_leave_nothing_behind(project: Copy) -> None:
    params = project.params()
    methods = params["paraphrase"]["methods"]
    methods["renamed"] = methods.pop("lora_r8")
    del methods["simcse"]
    del params["paraphrase"]["search"]["lora_r8"]  # the page shows params.yaml
    params["paraphrase"]["first_stages"] = {}
    params["paraphrase"]["ensembles"]["ensemble_weighted"]["members"] = ["baseline", "renamed"]
    project.call("git", "switch", "-qc", "branch")
    project.write(params)

    # DVC leaves the files in place, and shows none of them; the gate tells.
    assert {"train_paraphrase@renamed", "evaluate_paraphrase@renamed", "report"} <= ran(project.run("dvc repro"))
    assert project.named("simcse") and project.named("lora_r8")
    shown = [project.run("dvc metrics show"), project.run("dvc exp show")]
    for path in ("metrics/summary.md", "plots/report.html", *map(str, (project.folder / "plots/tables").iterdir())):
        shown.append((project.folder / path).read_text())
    assert not [text for text in shown if re.search("simcse/|lora_r8|simcse.json", text)]
    findings = project.run("python -m pipeline.checks fresh", code=1)
    assert "train_paraphrase@simcse: dvc.lock has it, dvc.yaml has not; run `python -m pipeline tidy`" in findings

    # What somebody else wrote there stays.
    own, changed = project.folder / "predictions/notes.txt", project.folder / "metrics/paraphrase/simcse.json"
    own.write_text("mine")
    changed.write_text("changed")
    output = project.run("make repro")
    assert "train_paraphrase@lora_r8 is gone: removed models/paraphrase/lora_r8" in output
    assert "evaluate_paraphrase@simcse is gone: kept metrics/paraphrase/simcse.json, changed" in output
    assert project.named("lora_r8") == set() and own.exists()
    assert project.named("simcse") - project.named("simcse_") == {str(changed.relative_to(project.folder))}
    assert "ensemble_paraphrase@ensemble_weighted done" in output  # it reads another folder now
    own.unlink()
    changed.unlink()
    assert project.run("python -m pipeline tidy") == "nothing to remove\n"
    assert ran(project.run("dvc repro")) == {"report"}
    project.run("python -m pipeline.checks fresh")
    project.commit()

    # To another branch and back.
    project.run("git switch main && dvc checkout")
    assert project.named("lora_r8") and not project.named("renamed")
    assert "up to date" in project.run("dvc status")
    project.run("git switch branch && dvc checkout")
    assert project.named("renamed") and not project.named("lora_r8")
    assert "up to date" in project.run("dvc status")


def cookbook() -> list[str]:
    """The commands of the section `Every day` for DVC, git and make."""
    section = (REPOSITORY / "docs/experiments.md").read_text().split("\n## Every day\n")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"```\n(.*?)```", section, re.DOTALL) for line in block.splitlines()]
    commands = [line.split("   #")[0].strip() for line in lines]
    return [command for command in commands if command.startswith(("dvc ", "git ", "make "))]


def test_every_command_of_the_cookbook_is_run_here() -> None:
    calls = [node for node in ast.walk(ast.parse(Path(__file__).read_text())) if isinstance(node, ast.Call)]
    given = [node.args[0] for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "run"]
    run_here = {node.value for node in given if isinstance(node, ast.Constant)}
    assert len(cookbook()) > 15
    assert [command for command in cookbook() if command not in run_here] == []
