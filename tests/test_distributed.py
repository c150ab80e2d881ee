"""Two processes (gloo, on the CPU) against one: the same training, the same poems, one message, and resume.

Tolerances: what is written has the same bits; without dropout, weights and metrics of training agree to 1e-6, since
gradients are added up in another order. With dropout the masks are others.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
import two_processes
from ruamel.yaml import YAML
from small_project import REPOSITORY, complete_checkpoints, contents, small_params, start
from tiny import write_backbone, write_prepared

from pipeline.compute.processes import in_processes
from pipeline.config.training import SEARCH_TRIAL
from pipeline.errors import InputError
from pipeline.text.prepared import read_pairs, read_sentences, write_pairs, write_sentences
from pipeline.training.pruning import HALVING

TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: a tiny backbone, prepared data and params.yaml with two processes."""
    folder, before = tmp_path_factory.mktemp("processes"), Path.cwd()
    os.chdir(folder)
    write_backbone(Path("models/backbone"))
    write_prepared(Path("data/prepared"))
    write_pairs(Path("data/prepared/few/train.csv"), read_pairs(Path("data/prepared/paraphrase/train.csv"))[:9])
    sentences = Path("data/prepared/sst/train.csv")
    write_sentences(sentences, read_sentences(sentences)[:4])
    shutil.copytree("data/prepared/paraphrase", "data/prepared/ap_h")
    params = small_params("course")
    params["compute"]["processes"] = 2
    params["paraphrase"]["methods"]["baseline"].update(epochs=3, max_length=90)
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    yield folder
    os.chdir(before)


def begin(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY}/tests"}
    command = [sys.executable, "-m", "two_processes", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error."""
    process = begin(*arguments)
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


@pytest.fixture(scope="module")
def two(project: Path) -> dict[str, Any]:
    code, errors = run("train")
    assert code == 0, errors
    assert "Traceback" not in errors and "error" not in errors.lower()
    found: dict[str, Any] = torch.load(two_processes.OUT, weights_only=False)
    assert found["places"] == [0, 1]
    return found


@pytest.fixture(scope="module")
def one(project: Path) -> dict[str, Any]:
    return {"trained": two_processes.trained(Path("one")), "written": two_processes.written()}


@pytest.mark.parametrize("row", [*two_processes.ROWS, "sonnet", "prefix"])
def test_training_is_that_of_one_process(one: dict[str, Any], two: dict[str, Any], row: str) -> None:
    expected, found = one["trained"][row], two["trained"][row]
    assert found["weights"].keys() == expected["weights"].keys()
    for name, value in expected["weights"].items():
        torch.testing.assert_close(found["weights"][name], value, rtol=0, atol=TOLERANCE)
    assert found["metrics"] == pytest.approx(expected["metrics"], abs=TOLERANCE)
    assert found["best"] == expected["best"]
    if "probabilities" in expected:
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], rtol=0, atol=TOLERANCE)
    assert found["curves"].keys() == expected["curves"].keys()
    for name, table in expected["curves"].items():  # losses are those of whole batches, written once
        tables = [np.loadtxt(text.splitlines(), skiprows=1) for text in (found["curves"][name], table)]
        np.testing.assert_allclose(tables[0], tables[1], rtol=0, atol=2e-6)


def test_poems_and_predictions_are_those_of_one_process(one: dict[str, Any], two: dict[str, Any]) -> None:
    assert two["written"] == one["written"]
    assert len(two["written"]["predicted"]) == 300, "several batches"
    assert len(two["written"]["top_p"][0]) == 15 and two["written"]["beam_mbr"][1]


def test_an_error_is_said_once(project: Path) -> None:
    assert run("fail") == (1, "error: something is wrong\n")


def test_an_interruption_is_said_once_and_ends_all(project: Path) -> None:
    process, marks = begin("wait"), [Path(f"waiting_{rank}") for rank in range(2)]
    while not all(mark.exists() for mark in marks):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)  # it waits for the others, which would sleep for longer
    assert (process.returncode, errors) == (130, "error: interrupted; run the same command again to go on\n")


def test_parameters_must_say_what_is_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match="compute.processes is 2, but 4 were started: set it to 4"):
        in_processes(lambda: None)()


def process_of(rank: int, folder: Path) -> int:
    """The process of that number that works in `folder`: the first one, as it may have started others."""
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            if f"RANK={rank}".encode() in (path / "environ").read_bytes().split(b"\0"):
                if (path / "cwd").resolve() == folder.resolve():
                    return int(path.name)
        except OSError:  # it ended, or belongs to somebody else
            continue
    raise AssertionError(f"no process {rank} in {folder}")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds the process in /proc")
@pytest.mark.usefixtures("warm")
def test_a_killed_process_ends_the_stage_which_then_goes_on(project: Path) -> None:
    whole = start(project, "train_paraphrase", "baseline")  # with dropout, of which each process has its own
    output, _ = whole.communicate(timeout=300)
    assert whole.returncode == 0, output
    tops = ("models/paraphrase", "predictions", "plots")
    expected = [contents(Path(top)) for top in tops]
    for top in tops:
        shutil.rmtree(top)

    killed = start(project, "train_paraphrase", "baseline")
    deadline = time.monotonic() + 120
    while not complete_checkpoints(project):
        assert killed.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process_of(1, project), signal.SIGKILL)
    output, _ = killed.communicate(timeout=120)
    assert killed.returncode == 1
    lines = output.replace("\r", "\n").splitlines()
    assert lines[-1] == "error: process 1 of 2 was ended by SIGKILL; run the same command again to go on"
    assert "Traceback" not in output and output.lower().count("error") == 1
    assert output.count("LOAD REPORT") <= 1, "the second process speaks, too"
    assert not Path("models/paraphrase").exists()

    again = start(project, "train_paraphrase", "baseline")
    output, _ = again.communicate(timeout=300)
    assert again.returncode == 0, output
    steps = re.findall(r"(\d+)/\d+ \[[^]]*step/s", output)
    assert int(steps[0]) > 0, "it started from the beginning"
    assert [contents(Path(top)) for top in tops] == expected
    assert not list(project.glob("checkpoints/*/*/*"))


@pytest.mark.usefixtures("warm")
def test_a_trial_is_pruned_in_all_processes_and_else_writes_the_same(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tops = ("models/paraphrase", "predictions", "plots")
    if not Path("models/paraphrase").exists():  # as the test before has left it
        start(project, "train_paraphrase", "baseline").communicate(timeout=300)
    expected = contents(Path("models/paraphrase"))
    storage = f"sqlite:///{project}/study.db"
    pruner = optuna.pruners.SuccessiveHalvingPruner(**HALVING)
    study = optuna.create_study(storage=storage, study_name="a", direction="maximize", pruner=pruner)
    for other, code in ((-1.0, 0), (2.0, 1)):  # accuracy of another trial, which is worse or better than any
        for top in tops:
            shutil.rmtree(top, ignore_errors=True)
        trial = study.ask()
        trial.report(other, 33)
        trial.should_prune()
        study.tell(trial, other)
        number = study.ask().number
        known = {"run": "paraphrase/baseline", "study": "a", "storage": storage, "number": number}
        monkeypatch.setenv(SEARCH_TRIAL, json.dumps(known))
        process = start(project, "train_paraphrase", "baseline")
        output, _ = process.communicate(timeout=300)
        assert process.returncode == code and "Traceback" not in output, output
        assert list(study.trials[number].intermediate_values) == [33, 67, 100][: 1 if code else 3]
        assert output.count(f"error: trial {number} is pruned after 33 % of its training: select_accuracy") == code
        assert (contents(Path("models/paraphrase")) if Path("models/paraphrase").exists() else {}) == (
            {} if code else expected
        )
    assert study.trials[number].state.name == "PRUNED"
