"""Training that is killed goes on from its last checkpoint and ends with the same bits."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ruamel.yaml import YAML
from small_project import complete_checkpoints, contents, copy_project, kill_when, run, start, write_project

from pipeline.training.run import scratch_folder

OUTPUTS = ("models", "predictions", "plots")
pytestmark = pytest.mark.usefixtures("warm")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("resume") / "project")
    run(folder, "download")
    run(folder, "prepare")
    return folder


@pytest.fixture(scope="module")
def with_backbone(prepared: Path) -> Path:
    folder = copy_project(prepared, prepared.parent / "with_backbone")
    run(folder, "backbone")
    return folder


def checkpoints(folder: Path) -> set[int]:
    """Steps of the complete checkpoints."""
    return {int(path.parent.name.split("-")[1]) for path in complete_checkpoints(folder)}


def killed_twice(folder: Path, stage: str, *arguments: str) -> None:
    """Kill the stage at its first checkpoint, then at a later one, then let it finish."""
    process = start(folder, stage, *arguments)
    kill_when(process, lambda: bool(checkpoints(folder)))
    first = max(checkpoints(folder))
    process = start(folder, stage, *arguments)
    kill_when(process, lambda: max(checkpoints(folder), default=0) > first)
    output = run(folder, stage, *arguments)
    assert f" {max(first, 1)}/" not in output.split("step/s")[0], "the last run started from the beginning"


def outputs(folder: Path) -> dict[str, bytes]:
    return {f"{top}/{name}": data for top in OUTPUTS if (folder / top).exists()
            for name, data in contents(folder / top).items()}  # fmt: skip


def test_a_killed_backbone_is_bit_equal(prepared: Path, with_backbone: Path) -> None:
    folder = copy_project(prepared, prepared.parent / "killed_backbone")
    killed_twice(folder, "backbone")
    assert outputs(folder) == outputs(with_backbone)
    assert not list(folder.glob("checkpoints/backbone/*/*")), "scratch is deleted on success"


@pytest.mark.parametrize(
    ("stage", "row"),
    [
        ("train_paraphrase", "mtan"),  # buffers of dynamic weight averaging, a curve for every task
        ("train_paraphrase", "ema"),  # a moving average of the weights
        ("train_sonnet", "prefix"),  # a peft model
    ],
    ids=str,
)
def test_a_killed_row_is_bit_equal(with_backbone: Path, stage: str, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = copy_project(with_backbone, with_backbone.parent / f"whole_{row}")
    run(whole, stage, row)
    folder = copy_project(with_backbone, with_backbone.parent / f"killed_{row}")
    killed_twice(folder, stage, row)
    assert outputs(folder) == outputs(whole)
    assert not list(folder.glob("checkpoints/*/*/*")) or not checkpoints(folder)
    if row == "prefix":
        card = (folder / "models/sonnet/prefix/README.md").read_text()
        monkeypatch.chdir(folder)
        names: dict[str, Any] = {}
        exec(card.split("```python")[1].split("```")[0], names)  # the model loads as its card says
        assert names["model"].peft_config["default"].peft_type == "PREFIX_TUNING"


def test_a_half_written_checkpoint_is_not_used(with_backbone: Path) -> None:
    folder = copy_project(with_backbone, with_backbone.parent / "half")
    process = start(folder, "train_paraphrase", "baseline")
    kill_when(process, lambda: bool(checkpoints(folder)))
    (newest,) = (path for path in folder.rglob("checkpoint-*") if (path / "complete").exists())
    (newest / "complete").unlink()
    (newest / "model.safetensors").write_bytes(b"half")
    run(folder, "train_paraphrase", "baseline")
    assert (folder / "models/paraphrase/baseline/model.safetensors").stat().st_size > 1000


def test_another_parameter_starts_anew(with_backbone: Path) -> None:
    folder = copy_project(with_backbone, with_backbone.parent / "changed")
    process = start(folder, "train_paraphrase", "baseline")
    kill_when(process, lambda: bool(checkpoints(folder)))
    (before,) = folder.glob("checkpoints/paraphrase/baseline/*")
    params = YAML(typ="safe").load(folder / "params.yaml")
    params["paraphrase"]["methods"]["baseline"]["lr"] /= 2
    with open(folder / "params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    process = start(folder, "train_paraphrase", "baseline")
    kill_when(process, lambda: bool(checkpoints(folder)) and not before.exists())
    (after,) = folder.glob("checkpoints/paraphrase/baseline/*")
    assert after.name != before.name


def test_an_edit_starts_anew_and_a_comment_does_not(
    tmp_path: Path, prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of a run that has imported a module, whose text then changes."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("pipeline.edited")
    module.__file__ = str(tmp_path / "edited.py")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def folder(text: str) -> Path:
        Path("edited.py").write_text(text)
        return scratch_folder("paraphrase/baseline", {"lr": 1}, [prepared / "data/prepared/paraphrase"])

    first = folder("x = 1\n")
    assert folder('"""What x is."""\n\nx = 1  # one\n') == first
    assert folder("x = 2\n") != first
