"""Averaged weights: the moving average of a training and the mean of its best models, against plain references."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors.numpy import load_file
from small_project import REPOSITORY
from test_fine_tune import LABELS, PROMPTS, Killed
from tiny import tiny_training, write_backbone, write_prepared
from torch import Tensor, nn
from transformers.trainer_callback import TrainerCallback

from pipeline.compute.reproducible import make_deterministic, on_grid
from pipeline.config.training import Compute, Lora
from pipeline.files import read_json
from pipeline.models.adapters import add_adapter, load_language_model
from pipeline.models.backbone import load_weights
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy
from pipeline.stages import train_sonnet
from pipeline.training import loop
from pipeline.training.loop import Rows, train

LORA = Lora(kind="lora", r=2, alpha=4, dropout=0.1, targets=["attention"], dora=False)
State = dict[str, Tensor]


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_backbone(Path("models/backbone"))


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[State]:
    """What is trained, after every step of the trainings that follow."""
    found: list[State] = []

    class Recorder(TrainerCallback):
        def on_step_end(self, *_: object, **given: Any) -> None:  # noqa: ANN401
            found.append(trained(given["model"]))

    monkeypatch.setattr(loop, "Progress", Recorder)
    return found


def trained(model: nn.Module) -> State:
    return {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}


def new_model(backbone: Path, lora: bool = False, precision: str = "portable") -> Any:  # noqa: ANN401 - peft's or ours
    make_deterministic(7, Compute.model_validate({"precision": precision, "threads": 1, "processes": 1}))
    model = build_classifier(backbone, 2, "last", 0.1, 0.1)
    return add_adapter(model, LORA, heads=["score"]) if lora else model


def run(
    model: nn.Module, scratch: str, evaluate: Callable[..., dict[str, float]] | None, keep: int = 1, killed_at: int = 0,
    precision: str = "portable", **changes: object,
) -> list[Path]:  # fmt: skip
    """Train on the tiny prompts with dropout."""
    done = iter(range(1, 10**6))

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        if next(done) == killed_at:
            raise Killed
        return cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))

    plan = tiny_training(epochs=3, checkpoint_steps=2, **changes)
    return train(
        model, Rows(PROMPTS, labels=LABELS), objective, plan, Path(scratch), 1, precision, evaluate, keep  # type: ignore
    )  # fmt: skip


def averages(steps: list[State], decay: float) -> Iterator[State]:
    """By hand, after every step."""
    average = steps[0]
    for weights in steps:
        average = {name: decay * average[name] + (1 - decay) * weight for name, weight in weights.items()}
        yield average


@pytest.mark.parametrize("lora", [False, True], ids=["all", "lora"])
def test_a_moving_average_is_that_of_a_plain_loop(backbone: Path, steps: list[State], lora: bool) -> None:
    run(new_model(backbone, lora), "raw", None)
    raw = [*steps]
    steps.clear()
    seen: list[State] = []

    def evaluate(model: nn.Module) -> dict[str, float]:
        seen.append(trained(model))
        return {"score": len(seen)}

    model = new_model(backbone, lora)
    (kept,) = run(model, "ema", evaluate, ema=0.8)
    assert all(torch.equal(a[name], b[name]) for a, b in zip(raw, steps, strict=True) for name in a), "as without it"
    by_hand = list(averages(steps, 0.8))
    every = len(by_hand) // 3
    for average, weights in zip(by_hand[every - 1 :: every], seen, strict=True):
        for name, weight in weights.items():  # models are evaluated, and kept, as they are written
            assert torch.equal(weight, on_grid(average[name])) and not torch.equal(average[name], steps[-1][name])
    for name, weight in trained(model).items():  # the last model is the result where none is chosen
        torch.testing.assert_close(weight, by_hand[-1][name], rtol=0, atol=1e-12)
    other = new_model(backbone, lora)
    load_weights(other, kept)
    assert all(torch.equal(weight, seen[-1][name]) for name, weight in trained(other).items())


@pytest.mark.parametrize("lora", [False, True], ids=["all", "lora"])
def test_a_killed_training_goes_on_with_its_moving_average(backbone: Path, lora: bool) -> None:
    def score(model: nn.Module) -> dict[str, float]:
        return {"score": float(model.score.weight.double().sum())}  # type: ignore

    whole, halves = new_model(backbone, lora), new_model(backbone, lora)
    expected = run(whole, "whole", score, ema=0.9)
    with pytest.raises(Killed):
        run(halves, "killed", score, ema=0.9, killed_at=6)
    halves = new_model(backbone, lora)
    found = run(halves, "killed", score, ema=0.9)
    assert (expected[0] / "score.json").read_text() == (found[0] / "score.json").read_text()
    assert all(torch.equal(weight, trained(halves)[name]) for name, weight in trained(whole).items())


def mean_of(folders: list[Path]) -> dict[str, np.ndarray]:
    (name,) = (file.name for file in folders[0].glob("*.safetensors"))
    models = [load_file(folder / name) for folder in folders]
    return {key: np.mean([model[key].astype(np.float64) for model in models], axis=0) for key in models[0]}


@pytest.mark.parametrize("precision", ["portable", "fp32"])
@pytest.mark.parametrize("lora", [False, True], ids=["all", "lora"])
def test_a_soup_is_the_mean_of_the_best_models(backbone: Path, precision: str, lora: bool) -> None:
    def scores() -> Iterator[float]:
        yield from (0.5, 0.7, 0.6)

    def with_scores(soup: int, keep: int, scratch: str) -> list[Path]:
        given, model = scores(), new_model(backbone, lora, precision)
        return run(
            model, scratch, lambda _: {"loss": 1.0, "score": next(given)}, keep, precision=precision, soup=soup
        )  # fmt: skip

    best, second = with_scores(1, 2, "alone")
    kept = with_scores(2, 2, "soup")
    assert kept[0].name == "soup" and kept[1].name == second.name
    for one, other in ((best, Path("soup/kept", best.name)), (second, kept[1])):  # trained and kept as without it
        assert all(file.read_bytes() == (other / file.name).read_bytes() for file in one.glob("*.safetensors"))
    expected = mean_of([best, second])
    (file,) = kept[0].glob("*.safetensors")
    found = load_file(file)
    for name, weight in found.items():
        mean = torch.from_numpy(expected[name])
        assert weight.dtype == np.float32
        assert torch.equal(torch.from_numpy(weight), (on_grid(mean) if precision == "portable" else mean).float())
    text = (kept[0] / "score.json").read_text()
    assert text == f'{{\n  "score, step {best.name}": 0.7,\n  "score, step {second.name}": 0.6\n}}\n'
    model = new_model(backbone, lora, precision)
    load_weights(model, kept[0])
    head = next(weight for name, weight in found.items() if "score" in name)
    assert any(torch.equal(weight.float(), torch.from_numpy(head)) for weight in trained(model).values())
    assert [folder.name for folder in with_scores(9, 1, "all")] == ["soup"], "fewer were evaluated"
    assert len(read_json(Path("all/soup/score.json"))) == 3


PREFIX = {
    "kind": "prefix", "tokens": 3, "projection": True, "hidden": None, "layers": None, "init": None, "parts": 1,
}  # fmt: skip


@pytest.mark.parametrize("adapter", [None, PREFIX], ids=["all", "prefix"])
def test_a_sonnet_row_is_the_mean_and_its_further_models_stay(backbone: Path, adapter: object) -> None:
    write_prepared(Path("data/prepared"), rows=6)
    params = YAML(typ="safe").load(REPOSITORY / "params.yaml")
    row = {"epochs": 3, "adapter": adapter, "keep": 3, "select_draws": 1, "max_length": 60, "batch_size": 2}
    folder = Path("models/sonnet/full_b32_lr1e6")
    for soup in (1, 2):
        params["sonnet"]["methods"]["full_b32_lr1e6"].update(row, soup=soup)
        YAML().dump(params, Path("params.yaml"))
        train_sonnet.main("full_b32_lr1e6")
        if soup == 1:
            alone = folder.rename("alone")
    further = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.safetensors")) if path.parent != folder]
    assert len(further) == 2
    assert all((folder / name).read_bytes() == (alone / name).read_bytes() for name in further)
    mean, (file,) = mean_of([alone, alone / "second"]), folder.glob("*.safetensors")
    for name, weight in load_file(file).items():
        assert torch.equal(torch.from_numpy(weight), on_grid(torch.from_numpy(mean[name])).float())
    load_language_model(folder, Path("models/backbone"))
    params["sonnet"]["methods"]["full_b32_lr1e6"]["keep"] = 1
    YAML().dump(params, Path("params.yaml"))
    whole = file.read_bytes()
    train_sonnet.main("full_b32_lr1e6")
    assert not (folder / "second").exists() and file.read_bytes() == whole
