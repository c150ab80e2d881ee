"""What a GPU needs and a CPU can show: a training step that never asks for a number, and shapes on device meta.

A `.item()`, a mask turned into rows, or an `if` on a tensor makes the host wait for all that a GPU has queued. Each of
them runs one of the operations that `NoSync` refuses.
"""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tiny import TEXT, tiny_model, tiny_tokenizer, tiny_training, write_backbone
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.cuda_graphs import LENGTHS, HostColumns, rounded
from pipeline.compute.reproducible import any_order
from pipeline.models.classifier import build_classifier
from pipeline.models.dropout import use_fast_dropout
from pipeline.models.mtan import build_mtan
from pipeline.objectives import (
    cross_entropy,
    language_model,
    multitask,
    r_drop,
    simcse,
    simcse_joint,
    simcse_supervised,
    symmetric,
)
from pipeline.text.batches import HOST, collate, on_host, training_batch
from pipeline.training.loop import Loop, Rows, trainer_arguments

SYNCS = (
    "_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "unique", "_unique", "_unique2", "unique_dim",
    "unique_consecutive", "equal", "bincount", "repeat_interleave",
)  # fmt: skip
OBJECTIVES: dict[str, tuple[ModuleType, dict[str, Any]]] = {
    "cross_entropy": (cross_entropy, {"label_smoothing": 0.1}),
    "r_drop": (r_drop, {"alpha": 1.0}),
    "symmetric": (symmetric, {"alpha": 1.0}),
    "simcse": (simcse, {"temperature": 0.1, "text": "question"}),
    "simcse_supervised": (simcse_supervised, {"temperature": 0.1}),
    "simcse_joint": (
        simcse_joint,
        {"label_smoothing": 0.0, "weight": 1.0, "kl_weight": 1.0, "temperature": 0.1, "text": "prompt"},
    ),
    "equal": (multitask, {"weighting": "equal", "temperature": 2.0, "interval": 1}),
    "dwa": (multitask, {"weighting": "dwa", "temperature": 2.0, "interval": 1}),
    "uncertainty": (multitask, {"weighting": "uncertainty", "temperature": 2.0, "interval": 1}),
    "language_model": (language_model, {}),
}
ON_HOST = ("simcse_supervised", "equal", "dwa", "uncertainty", "language_model")  # they look up rows there
PROMPTS = [tiny_tokenizer().encode(text[:size]).ids for text in TEXT for size in (20, 35)]


class NoSync(TorchDispatchMode):
    """Refuses what makes the host wait for a GPU; a boolean index is a `nonzero` in disguise."""

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:  # noqa: ANN401
        name = function.__name__.split(".")[0]
        indices = arguments[1] if name in ("index", "index_put", "index_put_", "_index_put_impl_") else []
        masks = any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)
        if name in SYNCS or masks:
            raise AssertionError(f"{name} makes the host wait")
        return function(*arguments, **(named or {}))


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("models") / "backbone")


def model_of(name: str, backbone: Path) -> Any:  # noqa: ANN401 - one of three classes
    torch.manual_seed(3)
    model: Any
    if name == "language_model":
        model = tiny_model(400, 0)
    elif name in ("equal", "dwa", "uncertainty"):
        model = build_mtan(backbone, {"qqp": 2, "sst": 5}, 0.1, 0.1)
    else:
        model = build_classifier(backbone, 2, "mean" if name == "r_drop" else "last", 0.1, 0.1)
    use_fast_dropout(model)
    return model.train()


def rows_of(name: str) -> Rows:
    if name == "language_model":
        return Rows(PROMPTS)
    places = range(len(PROMPTS))
    columns: dict[str, Any] = {"labels": [place % 2 for place in places], "tasks": [place // 2 % 2 for place in places]}
    for view in ("swapped", "first", "second"):
        columns[view] = [PROMPTS[place - 1][:9] for place in places]
    return Rows(PROMPTS, **columns)


def loss_of(name: str) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    objective, options = OBJECTIVES[name]
    if not options:
        return language_model.loss
    return lambda model, batch: objective.loss(model, batch, objective.Options(**options))


def test_the_detector_detects() -> None:
    values = torch.tensor([1.0, 0.0])
    for ask in (values.sum().item, lambda: bool(values[0] > 0), lambda: values[values > 0], values.nonzero):
        with NoSync(), pytest.raises(AssertionError, match="makes the host wait"):
            ask()
    with NoSync():
        values[torch.tensor([1])], values * 2


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_training_step_never_waits_for_a_number(name: str, backbone: Path, tmp_path: Path) -> None:
    """Forward, backward, clipping, optimiser: whatever the Trainer does in a step that does not log."""
    rows = rows_of(name)
    plan = tiny_training(epochs=2, warmup=0.0)
    arguments = trainer_arguments(plan, len(rows), tmp_path, 3, evaluates=False)
    loop = Loop(model_of(name, backbone), rows, loss_of(name), plan, arguments, "fp32", None, [])
    loop.args.logging_strategy, loop.args.save_strategy = "no", "no"
    seen: list[int] = []

    class Watched:
        """Batches come from the host; what is done with them is watched, until the next one is asked for."""

        def __init__(self, batches: Any) -> None:  # noqa: ANN401
            self.batches = batches

        def __len__(self) -> int:
            return len(self.batches)

        def __getattr__(self, name: str) -> Any:  # noqa: ANN401
            return getattr(self.batches, name)

        def __iter__(self) -> Any:  # noqa: ANN401
            for batch in list(self.batches):
                seen.append(len(batch["input_ids"]))
                with NoSync():
                    yield batch

    get = loop.get_train_dataloader
    loop.get_train_dataloader = lambda: Watched(get())  # type: ignore[method-assign]
    loop.train()
    assert sum(seen) == 2 * len(PROMPTS) and loop.state.global_step == 4


@pytest.mark.parametrize("name", OBJECTIVES)
def test_forward_and_backward_on_meta(name: str, backbone: Path) -> None:
    """Nothing depends on values or makes a tensor on the CPU: it would not meet those of the model."""
    model = model_of(name, backbone).to("meta")
    batch = training_batch(rows_of(name))
    moved = {key: value if key == HOST else value.to("meta") for key, value in batch.items()}
    loss, parts = loss_of(name)(model, moved)
    loss.backward()
    assert loss.is_meta and loss.shape == () and loss.dtype == torch.float32
    assert all(value.is_meta and value.shape == () for value in parts.values())
    reached = [weight.grad for weight in model.parameters() if weight.grad is not None]
    assert reached and all(gradient.is_meta and gradient.dtype == torch.float32 for gradient in reached)


def test_a_batch_keeps_its_numbers_on_the_host() -> None:
    rows = rows_of("cross_entropy")
    batch = training_batch(rows)
    assert set(batch) == {*collate(rows), HOST}
    assert set(batch[HOST]) == {"labels", "tasks", "lengths", "swapped_lengths", "first_lengths", "second_lengths"}
    for name, column in batch[HOST].items():
        assert column.tolist() == batch[name].tolist() == on_host(collate(rows), name).tolist()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_steps_that_depend_on_more_than_shapes_are_told_apart(name: str, backbone: Path) -> None:
    """What a CUDA graph repeats must not depend on what the host looked up for one batch."""
    batch = training_batch(rows_of(name))
    columns = HostColumns(batch[HOST])
    loss_of(name)(model_of(name, backbone), batch | {HOST: columns})
    assert columns.asked == (name in ON_HOST)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_more_padding_changes_nothing(name: str, backbone: Path) -> None:
    model, found = model_of(name, backbone).double(), []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for batch in (training_batch(rows_of(name)), rounded(training_batch(rows_of(name)), 96)):
        model.zero_grad()
        loss, _ = loss_of(name)(model, batch)
        loss.backward()
        found.append([loss, *(weight.grad for weight in model.parameters() if weight.grad is not None)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def test_batches_are_padded_to_few_lengths_that_the_model_has() -> None:
    for tokens in range(1, 31):
        ids = torch.ones(3, tokens, dtype=torch.int64)
        batch = rounded({"input_ids": ids, "lengths": torch.full((3,), tokens), HOST: {}}, 30)
        assert batch["input_ids"].shape == (3, min(30, -(-tokens // LENGTHS) * LENGTHS))
        assert batch["input_ids"].sum() == ids.sum() and batch["lengths"].shape == (3,)


def test_the_language_model_forward_of_transformers_agrees() -> None:
    """The sum over rows chosen on the host is the mean that transformers computes from labels."""
    model: GPT2LMHeadModel = tiny_model(400, 0).double()
    batch = training_batch(Rows(PROMPTS))
    real = torch.arange(batch["input_ids"].shape[1]) < batch["lengths"][:, None]
    expected = model(batch["input_ids"], labels=batch["input_ids"].masked_fill(~real, -100)).loss
    assert language_model.loss(model, batch)[0].item() == pytest.approx(expected.item(), abs=1e-6)


def test_any_order_is_put_back() -> None:
    for before in (True, False):
        torch.use_deterministic_algorithms(before)
        with pytest.raises(KeyError), any_order():
            assert not torch.are_deterministic_algorithms_enabled()
            raise KeyError
        assert torch.are_deterministic_algorithms_enabled() == before


def test_one_gpu_a_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With several GPUs and one process, the Trainer would wrap the model in DataParallel."""
    from transformers.training_args import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "n_gpu", property(lambda self: self.__dict__.get("_n_gpu") or 8))
    assert trainer_arguments(tiny_training(), 4, tmp_path, 3, evaluates=False)._n_gpu == 1
