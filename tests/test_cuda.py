"""On a GPU, and skipped where there is none: the same numbers as on the CPU, recorded steps, resuming, no waiting."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_gpu import OBJECTIVES, ON_HOST, PROMPTS, loss_of, model_of, rows_of
from tiny import options, tiny_model, tiny_training, write_backbone
from torch import Tensor, nn
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.training import Compute, Lora
from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.contrastive_search import contrastive_search
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.models.adapters import add_adapter
from pipeline.models.classifier import build_classifier
from pipeline.models.dropout import use_fast_dropout
from pipeline.text.batches import HOST, training_batch
from pipeline.training.loop import Loop, train, trainer_arguments
from pipeline.training.predict import predict

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
STEPS = 24  # twelve epochs of two shapes


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("models") / "backbone")


@pytest.fixture(autouse=True)
def deterministic() -> None:
    make_deterministic(3, Compute(precision="fp32", threads=1, processes=1))


def fresh(name: str, backbone: Path) -> Any:  # noqa: ANN401 - one of several classes
    torch.manual_seed(3)
    if name == "exact_match":
        made = build_classifier(backbone, 2, "last", 0.1, 0.1, template=[[3], [4], [5]]).train()
        use_fast_dropout(made)
        return made
    if name == "lora":
        lora = Lora(kind="lora", r=4, alpha=8, dropout=0.1, targets=["attention"], dora=False)
        made = add_adapter(model_of("cross_entropy", backbone), lora, ["score"])
        use_fast_dropout(made)
        return made
    return model_of(name, backbone)


def objective_of(name: str) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    return loss_of(name if name in OBJECTIVES else "cross_entropy")


def loop_of(name: str, backbone: Path, folder: Path, precision: str, callbacks: list[TrainerCallback]) -> Loop:
    rows, plan = rows_of(name), tiny_training(epochs=STEPS // 2)
    arguments = trainer_arguments(plan, len(rows), folder, 3, evaluates=False)
    loop = Loop(fresh(name, backbone), rows, objective_of(name), plan, arguments, precision, None, callbacks)
    loop.args.logging_strategy, loop.args.save_strategy = "no", "no"
    return loop


def same_bits(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", [*OBJECTIVES, "exact_match", "lora"])
def test_recorded_steps_give_the_bits_of_kernels_started_one_by_one(
    name: str, precision: str, backbone: Path, tmp_path: Path
) -> None:
    before = fresh(name, backbone)
    recorded = loop_of(name, backbone, tmp_path, precision, [])
    recorded.train()
    plain = loop_of(name, backbone, tmp_path, precision, [])
    assert recorded.graphs and plain.graphs
    plain.graphs.differs = True  # so that nothing is recorded
    plain.train()
    assert not plain.graphs.recorded
    assert bool(recorded.graphs.recorded) == (name not in ON_HOST) != recorded.graphs.differs
    alike, moved = same_bits(recorded.model, plain.model), not same_bits(recorded.model.cpu(), before)
    assert alike and moved


@pytest.mark.parametrize(
    ("name", "compiled"), [("cross_entropy", False), ("language_model", False), ("cross_entropy", True)]
)
def test_an_interrupted_run_ends_with_the_same_bits(
    name: str, compiled: bool, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiled:
        monkeypatch.setattr("pipeline.training.loop.WORTH_COMPILING", 0)
    settings = tiny_training(epochs=STEPS // 2, checkpoint_steps=5)

    def run(folder: Path, evaluations: int) -> nn.Module:
        done: list[int] = []

        def evaluate(_: object) -> dict[str, float]:
            if len(done) == evaluations:
                raise KeyboardInterrupt
            done.append(1)
            return {"select_loss": 1.0, "select_accuracy": 1.0}

        make_deterministic(3, Compute(precision="fp32", threads=1, processes=1))
        model: nn.Module = fresh(name, backbone)
        train(model, rows_of(name), objective_of(name), settings, folder, 3, "bf16", evaluate)  # type: ignore[arg-type]
        return model

    whole = run(tmp_path / "whole", 99)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", 2)
    assert list((tmp_path / "stopped").glob("checkpoint-*"))
    assert same_bits(run(tmp_path / "stopped", 99), whole)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_step_makes_the_host_wait(name: str, backbone: Path, tmp_path: Path) -> None:
    watched: list[int] = []

    class Watch(TrainerCallback):
        """After the shapes were recorded, which does wait."""

        def on_step_begin(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
        ) -> None:
            if state.global_step >= STEPS // 2:
                watched.append(state.global_step)
                torch.cuda.set_sync_debug_mode("error")

        def on_step_end(
            self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
        ) -> None:
            torch.cuda.set_sync_debug_mode("default")

    try:
        loop_of(name, backbone, tmp_path, "bf16", [Watch()]).train()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(watched) == STEPS // 2


@pytest.mark.parametrize("name", [*OBJECTIVES, "exact_match"])
def test_loss_and_gradients_are_those_of_the_cpu(name: str, backbone: Path) -> None:
    batch, found = training_batch(rows_of(name)), []
    for device in ("cpu", "cuda"):
        model = fresh(name, backbone).to(device)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        moved = {key: value if key == HOST else value.to(device) for key, value in batch.items()}
        loss, _ = objective_of(name)(model, moved)
        loss.backward()
        gradients = [weight.grad.cpu() for weight in model.parameters() if weight.grad is not None]
        found.append([loss.detach().cpu(), *gradients])
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-5)


def test_probabilities_are_those_of_the_cpu(backbone: Path) -> None:
    model = fresh("exact_match", backbone)
    expected = predict(model, PROMPTS)
    np.testing.assert_allclose(predict(model.to("cuda"), PROMPTS), expected, atol=1e-5)
    np.testing.assert_allclose(predict(model, PROMPTS, "bf16"), expected, atol=0.03)
    assert np.ptp(expected[:, 0]) > 0.01


def test_texts_are_those_of_the_cpu() -> None:
    prompts, limits = [[5, 6, 7], [8, 9], [1, 2, 3, 4, 5]], Limits([0] * 90)
    writers: list[Callable[..., object]] = [
        partial(sample, choose=partial(top_p, p=0.9, temperature=1.1), seeds=[1, 2, 3]),
        partial(contrastive_search, options=options("contrastive_search")),
        partial(beam_search, options=options("beam_search", beams=5)),
    ]
    for write in writers:
        texts = [
            write(tiny_model(90, 0, 40, spread=0.3).to(device), prompts, limits=limits) for device in ("cpu", "cuda")
        ]
        assert texts[0] == texts[1]
