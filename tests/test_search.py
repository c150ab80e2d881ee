"""The hyper-parameter search: real DVC experiments of a stage that is a formula."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from pipeline.__main__ import main
from pipeline.commands.search import Search
from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.files import read_json

pytestmark = pytest.mark.usefixtures("warm")

REPOSITORY = Path(__file__).parents[1]
YAML_FILE = YAML(typ="safe")
YAML_FILE.default_flow_style = False
# A row scores best on select at lr 0.3 and 1 epoch, and best on dev at lr 1. Its evaluations are those of a training.
STAGE = """
import itertools, json, os, pathlib, time
from types import SimpleNamespace
from ruamel.yaml import YAML
from pipeline.errors import InputError, stage_main

def main(arguments):
    kind, block, table, name = arguments
    row = YAML(typ="safe").load(open("params.yaml"))[block][table][name]
    begun = pathlib.Path("checkpoints/begun")
    with open("../../../../runs", "a") as runs:
        runs.write(json.dumps(row | {"resumed": begun.exists()}) + "\\n")
    begun.parent.mkdir(exist_ok=True)
    begun.touch()
    while os.path.exists("../../../../hold"):
        time.sleep(0.1)
    if row.get("lr") == 0.9:
        raise InputError("diverged")
    score = 1 - abs(row.get("lr", row.get("temperature")) - 0.3) - row.get("epochs", 0) / 100
    score = round(score - (0.2 if row["seed"] and row.get("epochs") == 9 else 0.0), 6)  # many epochs: by luck alone
    pathlib.Path("models", name).mkdir(parents=True)
    pathlib.Path("models", name, "score").write_text(str(score))
    curve = [score - 0.4, score - 0.2, score, score - 0.1]
    if table == "methods":
        from pipeline.training.pruning import pruning
        for (callback, (step, value)) in itertools.product(
            pruning(pathlib.Path("checkpoints", kind, name, "0123")), enumerate(curve, 1)
        ):
            state = SimpleNamespace(global_step=5 * step, max_steps=20)
            callback.on_evaluate(None, state, None, metrics={"select_loss": 1.0, "select_chrf": value})
    metrics = pathlib.Path("metrics", kind + ("s" if table == "systems" else ""), name + ".json")
    for path in (metrics, pathlib.Path("plots/curves/sonnet", name, "select_chrf.tsv")):
        path.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps({"accuracy": row.get("lr"), "select_accuracy": score, "select_chrf": score}))
    lines = [f"{5 * step}\\t{value}\\n" for step, value in enumerate(curve, 1)]
    path.write_text("step\\tselect_chrf\\n" + "".join(lines))

stage_main(main)
"""
STAGES = {
    "evaluate_sentiment": ("sentiment", "sentiment", "methods", "metrics/sentiment/${key}.json"),
    "evaluate_paraphrase": ("paraphrase", "paraphrase", "methods", "metrics/paraphrase/${key}.json"),
    "train_sonnet": ("sonnet", "sonnet", "methods", "plots/curves/sonnet/${key}/select_chrf.tsv"),
    "evaluate_sonnets": ("sonnet", "sonnet", "systems", "metrics/sonnets/${key}.json"),
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git and DVC project with a row of each kind, the current folder."""
    params = YAML_FILE.load(REPOSITORY / "profiles/sample.yaml")
    lr = {"low": 0.1, "high": 1.0, "log": True}
    for block, row in (("sentiment", "sst_full"), ("paraphrase", "baseline"), ("sonnet", "full_b8_lr1e5")):
        own = params[block]["methods"][row] | {"lr": 0.5, "epochs": 2, "seed": None}
        search = {"any": {"lr": lr, "epochs": {"choices": [1, 9]}}}
        params[block] |= {"methods": {row: own}, "search": search, "ensembles": {}}
    params["seed"] = 54
    params["sonnet"]["systems"] = {"top_p_tuned": params["sonnet"]["systems"]["top_p_tuned"] | {"seed": None}}
    YAML_FILE.dump(params, tmp_path / "params.yaml")
    (tmp_path / "stage.py").write_text(STAGE)
    stages = {
        stage: {
            "foreach": f"${{{block}.{table}}}",
            "do": {
                "cmd": f"python stage.py {kind} {block} {table} ${{key}}",
                "deps": ["stage.py"],
                "params": [f"{block}.{table}.${{key}}"],
                "outs": [{out: {"cache": False}}, "models/${key}"],
            },
        }
        for stage, (kind, block, table, out) in STAGES.items()
    }
    YAML_FILE.dump({"stages": stages}, tmp_path / "dvc.yaml")
    (tmp_path / ".gitignore").write_text("checkpoints\nsearch\nruns\nmodels\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "add", "."], [*git, "commit", "-qm", "a"]):
        subprocess.run(command, check=True)
    return tmp_path


def started(*arguments: str) -> "subprocess.Popen[str]":
    command, pipe = [sys.executable, "-m", "pipeline", "search", *arguments], subprocess.PIPE
    return subprocess.Popen(command, text=True, stdout=pipe, stderr=pipe)


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, output and errors."""
    output, errors = process.communicate(timeout=600)
    return process.returncode, output, errors


def runs() -> list[dict[str, Any]]:
    """The rows with which the stage was started."""
    return [json.loads(line) for line in Path("runs").read_text().splitlines()] if Path("runs").exists() else []


def experiments() -> set[str]:
    return set(subprocess.check_output(["dvc", "exp", "list", "--name-only"], text=True).split())


def test_a_search_goes_on_and_its_best_are_compared_over_seeds(project: Path) -> None:
    """Two of four trials are pruned; of the others, the one that was better by luck loses."""
    Path("params.yaml").write_text(Path("params.yaml").read_text() + "# not in git\n")
    before = Path("params.yaml").read_bytes()
    Search("paraphrase/baseline").work(["0", "1"])  # a search that was stopped
    code, output, errors = ended(started("paraphrase/baseline", "4"))
    assert code == 0, errors
    assert "baseline-1: epochs" not in output and "baseline-2: epochs" in output
    assert Path("params.yaml").read_bytes() == before and not Path("metrics").exists()
    study = Search("paraphrase/baseline").study
    trials, name = study.trials, "search-paraphrase-baseline"
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "PRUNED", "PRUNED"]
    assert all(len(trial.intermediate_values) == (1 if trial.state.name == "PRUNED" else 4) for trial in trials)
    for number in (2, 3):
        assert f"error: trial {number} is pruned after 25 % of its training: select_chrf" in errors
    assert "Traceback" not in errors
    for trial in trials[:2]:
        score = 1 - abs(trial.params["lr"] - 0.3) - trial.params["epochs"] / 100
        assert trial.value == pytest.approx(score, abs=1e-6)
    assert trials[1].value > trials[0].value and trials[1].params["epochs"] == 9
    assert f"best: {name}-0:" in output and output.endswith(f"take it over: dvc exp apply {name}-0\n")
    assert f"{name}-0: select_accuracy {trials[0].value:.4f} over all seeds" in output
    assert f"{name}-1: select_accuracy {trials[1].value - 0.4 / 3:.4f} over all seeds" in output
    # The row's own `seeds` are 1 and 2: what it learns from them is for the report.
    seeds = [f"{name}-{number}-seed{seed}" for number in (0, 1) for seed in (3, 4)]
    assert experiments() == {f"{name}-0", f"{name}-1", *seeds}
    assert [run["seed"] for run in runs()] == [None] * 4 + [3, 4] * 2
    kept = {path.read_text() for path in Path(".dvc/cache/files").rglob("*") if path.is_file()}
    assert str(trials[0].value) in kept and len([text for text in kept if text.startswith("0.")]) == 3  # none pruned
    page = Path("search/paraphrase-baseline.html").read_text()
    assert page.count("<pre>") == 1 and page.count('class="plotly-graph-div"') == 4 and " src=" not in page
    assert not [path for path in Path(".dvc/tmp/search").iterdir() if path.is_dir()]
    subprocess.run(["git", "checkout", "-q", "params.yaml"], check=True)
    subprocess.run(["dvc", "exp", "apply", f"{name}-0"], check=False)  # it finds that other rows have never run
    row = YAML_FILE.load(Path("params.yaml"))["paraphrase"]["methods"]["baseline"]
    assert trials[0].params.items() <= row.items() and row["seeds"] == [1, 2]
    assert read_json(Path("metrics/paraphrase/baseline.json"))["select_accuracy"] == trials[0].value


@pytest.mark.parametrize("row", ["sentiment/sst_full", "sonnet/full_b8_lr1e5", "system/top_p_tuned"])
def test_rows_of_every_kind(project: Path, row: str) -> None:
    search = Search(row)
    search.work(["0"])
    (trial,) = search.study.trials
    own = trial.params
    expected = 1 - abs(own.get("lr", own.get("temperature")) - 0.3) - own.get("epochs", 0) / 100
    assert trial.value == pytest.approx(expected, abs=1e-6) and own.keys() <= runs()[0].keys()
    assert own.items() <= runs()[0].items() and len(runs()) == 1
    assert experiments() == {f"{search.name}-0"}


def test_a_worker_and_its_child_are_killed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers share two trials, and nothing is lost, done twice or left running."""
    _, others = os.environ["PATH"].split(os.pathsep, 1)
    monkeypatch.setenv("PATH", others)  # whose forks are of another process group than the commands
    Path("hold").touch()  # which the stages wait for
    first = started("system/top_p_tuned", "2")
    wait_for(lambda: len(runs()) == 1)
    (child,) = psutil.Process(first.pid).children()
    child.kill()
    code, _, errors = ended(first)
    assert code == 1 and "search-system-top_p_tuned-0: a process was killed; run the same command again" in errors
    assert "Traceback" not in errors
    wait_for(lambda: working_for(project) == 0)
    first, second = (started("system/top_p_tuned", "2") for _ in range(2))
    wait_for(lambda: len(runs()) == 3)
    assert working_for(project) == 2
    first.kill()
    first.communicate()
    wait_for(lambda: working_for(project) == 1)  # what it had started is gone
    Path("hold").unlink()
    study = Search("system/top_p_tuned").study
    wait_for(lambda: [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2)
    second.terminate()
    second.communicate()
    assert experiments() >= {f"search-system-top_p_tuned-{number}" for number in "01"}
    tried = [(run["temperature"], run["top_p"]) for run in runs()[:4]]
    assert set(tried) == {(trial.params["temperature"], trial.params["top_p"]) for trial in study.trials}
    # A run whose child was killed, and one of a worker that was killed, go on from what they have written.
    assert [run["resumed"] for run in runs()[:4]].count(True) == 2


def test_a_failing_stage(project: Path) -> None:
    """The search stops and says so; the next one goes on with other parameters."""
    params = YAML_FILE.load(Path("params.yaml"))
    params["paraphrase"]["search"] = {"any": {"lr": {"choices": [0.9]}}}
    YAML_FILE.dump(params, Path("params.yaml"))
    code, _, errors = ended(started("paraphrase/baseline", "1"))
    assert code == 1 and "Traceback" not in errors and "error: diverged" in errors
    assert "error: search-paraphrase-baseline-0: `dvc exp run` failed with exit code 255; see above" in errors
    code, _, errors = ended(started("paraphrase/baseline", "1"))
    assert code == 1 and errors.startswith("error: search-paraphrase-baseline: no trial has ended well")


def test_a_page_of_few_trials(project: Path) -> None:
    """What cannot be drawn yet is left out."""
    search = Search("system/top_p_tuned")
    for plots in (0, 3, 4):
        search.write_page(["best: none"])
        page = Path("search/system-top_p_tuned.html").read_text()
        assert page.count('class="plotly-graph-div"') == plots and "best: none" in page
        trial = search.study.ask(search.space)
        if plots:
            trial.report(0.3, 50)
        search.study.tell(trial, 0.5 + plots)


def test_wrong_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(REPOSITORY)
    for words, says in ((["baseline"], "arguments are required: TRIALS"), (["baseline", "many"], "invalid int value")):
        with pytest.raises(SystemExit):
            main(["search", *words])
        assert says in capsys.readouterr().err
    for words, says in (
        (
            ["baseline", "1"],
            "ROW: expected sentiment/<row>, paraphrase/<row>, sonnet/<row>, system/<row>, got 'baseline'",
        ),
        (["paraphrase/nobody", "1"], "no entry 'nobody'"),
        (["system/nobody", "1"], "params.yaml: sonnet.systems has no entry 'nobody'"),
        (["paraphrase/baseline", "0"], "expected a positive number, got 0"),
    ):
        with pytest.raises(InputError, match=says):
            main(["search", *words])


@pytest.mark.parametrize(
    ("block", "table", "entry", "ranges", "wanted"),
    [
        ("paraphrase", "search", "any", {"lr": {"low": 0.0, "high": 1.0, "log": True}},
         r"paraphrase.search.any.lr.\(range\): expected low < high, and low > 0 where log is true$"),
        ("sentiment", "search", "sst_head", {"rate": {"choices": [1]}},
         "sentiment.search.sst_head.rate: sentiment.methods.sst_head has no such key, only lr, epochs"),
        ("sonnet", "search", "any", {"top_p": {"choices": [1]}}, "sonnet.search.any.top_p: sonnet.methods.full_b"),
        ("sonnet", "system_search", "verse", {"beams": {"choices": [1]}}, "sonnet.systems.verse has no such key"),
        ("sonnet", "system_search", "top_p", {"beams": {"choices": [1]}}, "sonnet.system_search.top_p.beams: sonnet."),
    ],
)  # fmt: skip
def test_wrong_ranges(tmp_path: Path, block: str, table: str, entry: str, ranges: object, wanted: str) -> None:
    params = YAML_FILE.load(REPOSITORY / "profiles/sample.yaml")
    params[block][table][entry] = ranges
    YAML_FILE.dump(params, tmp_path / "params.yaml")
    with pytest.raises(InputError, match=wanted):
        load_params(tmp_path / "params.yaml")


def working_for(project: Path) -> int:
    """The trials whose stage is running."""
    folders = {str(process.info["cwd"]) for process in psutil.process_iter(["cwd"])}
    return len({folder for folder in folders if folder.startswith(str(project / ".dvc/tmp/search"))})


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 240
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.1)
