"""The hyper-parameter search: real DVC experiments of a stage that is a formula."""

import os
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.__main__ import main
from pipeline.config.params import load_params
from pipeline.config.tasks import Choices, Range
from pipeline.errors import InputError

pytestmark = pytest.mark.usefixtures("warm")

REPOSITORY = Path(__file__).parents[1]
YAML_FILE = YAML(typ="safe")
YAML_FILE.default_flow_style = False
STAGE = """
import json, pathlib, ruamel.yaml
row = ruamel.yaml.YAML(typ="safe").load(open("params.yaml"))["paraphrase"]["methods"]["baseline"]
path = pathlib.Path("metrics/paraphrase/baseline.json")
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text(json.dumps({"accuracy": row["lr"], "select_accuracy": 1 - abs(row["lr"] - 0.3) - row["epochs"] / 100}))
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A git and DVC project whose row scores best on select at lr 0.3 and 1 epoch, and best on dev at lr 1."""
    params = YAML_FILE.load(REPOSITORY / "profiles/sample.yaml")
    baseline = params["paraphrase"]["methods"]["baseline"] | {"lr": 0.5, "epochs": 2}
    params["paraphrase"] |= {"methods": {"baseline": baseline}, "ensembles": {}}
    params["paraphrase"]["search"] = {
        "any": {"lr": {"low": 0.1, "high": 1.0, "log": True}, "epochs": {"choices": [1, 9]}}
    }
    YAML_FILE.dump(params, tmp_path / "params.yaml")
    (tmp_path / "stage.py").write_text(STAGE)
    pipeline = {
        "evaluate_paraphrase": {
            "foreach": "${paraphrase.methods}",
            "do": {
                "cmd": "python stage.py",
                "deps": ["stage.py"],
                "params": ["paraphrase.methods.${key}"],
                "metrics": [{"metrics/paraphrase/${key}.json": {"cache": False}}],
            },
        }
    }
    YAML_FILE.dump({"stages": pipeline}, tmp_path / "dvc.yaml")
    (tmp_path / ".gitignore").write_text("checkpoints\n")
    (tmp_path / "metrics/paraphrase").mkdir(parents=True)
    (tmp_path / "metrics/paraphrase/baseline.json").write_text("{}")  # in git, as the project's metrics are
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b")
    for command in (
        ["git", "init", "-q"],
        ["dvc", "init", "-q"],
        ["git", "add", "."],
        [*git, "commit", "-qm", "start"],
    ):
        subprocess.run(command, cwd=tmp_path, check=True, env=environment())
    return tmp_path


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def search(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["python", "-m", "pipeline", "search", *arguments]
    return subprocess.run(command, cwd=project, env=environment(), text=True, capture_output=True, check=False)


def test_trials_are_experiments_and_a_second_run_goes_on(project: Path) -> None:
    before = (project / "params.yaml").read_bytes()
    first = search(project, "baseline", "1")
    assert first.returncode == 0, first.stderr
    assert "[1/1] search-baseline-0" in first.stdout
    second = search(project, "baseline", "2")
    assert second.returncode == 0, second.stderr
    assert "[2/2] search-baseline-1" in second.stdout and "[1/" not in second.stdout
    assert (project / "params.yaml").read_bytes() == before
    assert (project / "metrics/paraphrase/baseline.json").read_text() == "{}"
    names = subprocess.run(
        ["dvc", "exp", "list", "--name-only"],
        cwd=project,
        env=environment(),
        text=True,
        capture_output=True,
        check=True,
    ).stdout.split()
    assert set(names) == {"search-baseline-0", "search-baseline-1"}
    best = next(line for line in second.stdout.splitlines() if line.startswith("best: ")).split(",")[0].split()[-1]
    subprocess.run(["dvc", "exp", "apply", best], cwd=project, env=environment(), check=True, capture_output=True)
    row = YAML_FILE.load(project / "params.yaml")["paraphrase"]["methods"]["baseline"]
    found = 1 - abs(row["lr"] - 0.3) - row["epochs"] / 100
    shown = [float(line.split()[1].rstrip(",")) for line in second.stdout.splitlines() if "best so far" in line]
    assert f"select_accuracy {found:.4f}" in second.stdout and found >= max(shown) - 1e-4


def test_wrong_arguments(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(REPOSITORY)
    for words, says in ((["baseline"], "arguments are required: TRIALS"), (["baseline", "many"], "invalid int value")):
        with pytest.raises(SystemExit):
            main(["search", *words])
        assert says in capsys.readouterr().err
    for words, says in (
        (["nobody", "1"], "no entry 'nobody'"),
        (["baseline", "0"], "expected a positive number, got 0"),
    ):
        with pytest.raises(InputError, match=says):
            main(["search", *words])


def test_ranges_of_the_profiles() -> None:
    for name in ("sample", "laptop", "gpt2"):
        found = load_params(REPOSITORY / f"profiles/{name}.yaml").paraphrase.search
        assert isinstance(found["any"]["lr"], Range) and found["any"]["lr"].log
        assert isinstance(found["any"]["epochs"], Choices)
        assert found["lora_r8"].keys() == {"lr", "r"}


def test_a_range_upside_down(tmp_path: Path) -> None:
    params = YAML_FILE.load(REPOSITORY / "profiles/sample.yaml")
    params["paraphrase"]["search"]["any"]["lr"] = {"low": 0.0, "high": 1.0, "log": True}
    path = tmp_path / "params.yaml"
    YAML_FILE.dump(params, path)
    wanted = r"paraphrase.search.any.lr.\(range\): expected low < high, and low > 0 where log is true$"
    with pytest.raises(InputError, match=wanted):
        load_params(path)
