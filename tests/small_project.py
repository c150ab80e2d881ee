"""A project folder with the real params.yaml made small, and its stages run in their own processes."""

import glob
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from course_files import write_course_folder
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).parents[1]
CHECKPOINT_STEPS = 5


def small_params(data: str) -> dict[str, Any]:
    """params.yaml with a tiny backbone, one or two epochs and one row more than nothing of everything."""
    params = YAML(typ="safe").load(REPOSITORY / "profiles/sample.yaml")
    params["data"]["path"] = data
    size = {"vocab_size": 400, "layers": 2, "width": 32, "heads": 2, "context": 512, "block": 32, "batch_size": 4}
    params["backbone"]["scratch"].update(size, tokens=6000, checkpoint_steps=CHECKPOINT_STEPS)
    for group in ("sentiment", "paraphrase", "sonnet"):
        for row in (params[group]["defaults"], *params[group]["methods"].values()):
            row.update(epochs=4, batch_size=4)
        params[group]["defaults"]["checkpoint_steps"] = CHECKPOINT_STEPS
    for stage in params["paraphrase"]["first_stages"].values():
        stage.update(epochs=2, batch_size=4)
    params["sonnet"]["defaults"]["select_draws"] = 1
    for system in (*params["sonnet"]["systems"].values(), *params["sonnet"]["ensembles"].values()):
        system.update({key: 2 for key in ("draws", "samples") if key in system})
    params["evaluation"]["bootstrap"] = 100
    params["compute"]["threads"] = 1
    params["back_translation"]["languages"] = ["es"]
    params["back_translation"]["selection"]["pairs"] = 10
    params["adversarial"]["generator"]["lm"].update(epochs=1, batch_size=4, checkpoint_steps=CHECKPOINT_STEPS)
    params["adversarial"].update(questions=5)
    params["adversarial"]["sampling"].update(candidates=2, retries=1)
    return params


def cut_rows(
    params: dict[str, Any], methods: Mapping[str, list[str]], members: list[str], systems: list[str]
) -> dict[str, Any]:
    """Keep a few rows of each table, one first stage and one ensemble, of paraphrase rows."""
    params["sentiment"]["ensembles"] = {}
    for group, rows in methods.items():
        params[group]["methods"] = {row: params[group]["methods"][row] for row in rows}
    paraphrase = params["paraphrase"]
    paraphrase["first_stages"] = {"simcse": paraphrase["first_stages"]["simcse"]}
    paraphrase["ensembles"] = {"ensemble_weighted": {"members": members, "weights": "fitted"}}
    params["sonnet"]["systems"] = {name: params["sonnet"]["systems"][name] for name in systems}
    params["sonnet"]["ensembles"] = {}
    return params


def write_project(folder: Path) -> Path:
    """Invented course files and small parameters in `folder`."""
    write_course_folder(folder / "course")
    (folder / "profiles").mkdir()
    shutil.copy(REPOSITORY / "profiles/sample.yaml", folder / "profiles/sample.yaml")  # `report` names what differs
    with open(folder / "params.yaml", "w") as file:
        YAML(typ="safe").dump(small_params("course"), file)
    return folder


def start(folder: Path, stage: str, *arguments: str) -> subprocess.Popen[str]:
    """Start `python -m pipeline.stages <stage>` in `folder`, with the `python` of PATH."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"}
    command = ["python", "-m", "pipeline.stages", stage, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT)


def run(folder: Path, stage: str, *arguments: str) -> str:
    """Run a stage to its end; its output."""
    process = start(folder, stage, *arguments)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def kill_when(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    """Kill -9 the process as soon as `happened()`; it must not have ended before."""
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, f"ended before it could be killed:\n{process.communicate()[0]}"
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def complete_checkpoints(folder: Path, task: str = "*") -> list[Path]:
    """The marks of complete checkpoints. glob.glob: Path.glob fails when the run deletes a folder in the meantime."""
    pattern = folder / f"checkpoints/{task}/**/checkpoint-*/complete"
    return [Path(name) for name in glob.glob(str(pattern), recursive=True)]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` by relative name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def copy_project(source: Path, target: Path) -> Path:
    """The project as it stands, to try something else from here."""
    shutil.copytree(source, target)
    return target


def evaluation_words() -> list[str]:
    """What dvc.yaml writes behind a row to evaluate: the seed and the block `evaluation` of params.yaml."""
    params = YAML(typ="safe").load(Path("params.yaml"))
    return [word for key in ("bootstrap", "confidence") for word in (f"--{key}", str(params["evaluation"][key]))] + [
        "--seed",
        str(params["seed"]),
    ]
