"""The training loop, adapters and what they write with several causal language models of transformers.

Their folders are loaded by transformers' and peft's own classes. A training that is stopped goes on bit by bit.
"""

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import CONFIGS, PROMPTS, config_of, write_backbone
from peft import AutoPeftModelForCausalLM, PeftModel
from tiny import prefix, tiny_training
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from pipeline.config.training import Lora
from pipeline.decoding.running import Reader
from pipeline.errors import InputError
from pipeline.models.adapters import add_adapter, load_language_model
from pipeline.models.backbone import load_backbone, load_weights, save_weights
from pipeline.models.classifier import build_classifier
from pipeline.models.decoder import ROLES
from pipeline.models.mtan import build_mtan, load_mtan
from pipeline.objectives import cross_entropy, language_model, multitask
from pipeline.text.batches import collate
from pipeline.training.loop import Objective, Rows, train

LORA = Lora(kind="lora", r=3, alpha=6, dropout=0.1, targets=list(ROLES), dora=False)
FLAT = prefix(5)


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    folder = tmp_path_factory.mktemp("backbones")
    gc.freeze()  # the Trainer calls the garbage collector, which takes longer than these trainings
    yield {name: write_backbone(name, folder / name) for name in CONFIGS}
    gc.unfreeze()


GPT2, NEOX, PHI3, LLAMA = (
    [["attn.c_attn"], ["attn.c_proj"], ["mlp.c_fc", "mlp.c_proj"]],
    [["attention.query_key_value"], ["attention.dense"], ["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"]],
    [["self_attn.qkv_proj"], ["self_attn.o_proj"], ["mlp.gate_up_proj", "mlp.down_proj"]],
    [[f"self_attn.{part}_proj" for part in "qkv"], ["self_attn.o_proj"],
     [f"mlp.{part}_proj" for part in ("gate", "up", "down")]],
)  # fmt: skip


@pytest.mark.parametrize("name", [*CONFIGS, "phi3"])
def test_an_adapter_is_on_the_matrices_of_its_roles(name: str) -> None:
    expected = {"gpt2": GPT2, "gpt_neox": NEOX, "phi3": PHI3}.get(name, LLAMA)
    for role, parts in zip(ROLES, expected, strict=True):
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config_of(name, num_key_value_heads=2))
            adapted = add_adapter(model, LORA.model_copy(update={"targets": [role]}))
        wrapped = [
            ".".join(name.split(".")[-3:]) for name, module in adapted.named_modules() if hasattr(module, "lora_A")
        ]
        assert sorted(wrapped) == sorted(f"{block}.{part}" for block in (0, 1) for part in parts)


def test_an_adapter_that_cannot_be_is_one_line() -> None:
    experts = AutoModelForCausalLM.from_config(config_of("mixtral"))
    with pytest.raises(
        InputError, match="^params.yaml: targets: mlp: a model of the type 'mixtral' has no such matrices"
    ):
        add_adapter(experts, LORA)
    one_key = AutoModelForCausalLM.from_config(config_of("falcon", max_position_embeddings=64))
    with pytest.raises(InputError, match="^params.yaml: adapter: peft has no prefix for a model of the type 'falcon'"):
        add_adapter(one_key, FLAT)


OBJECTIVES: dict[str, Objective] = {
    "classifier": (labelled := partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0))),
    "prefixed": labelled,
    "mtan": partial(multitask.loss, options=multitask.Options(weighting="equal", temperature=1.0, interval=1)),
}
KINDS = ("full", "lora", "flat", "projected", "classifier", "prefixed", "mtan")
# What is also stopped and goes on: the whole of all architectures, everything else of one.
STOPPED = {
    ("qwen3", "lora"),
    ("gpt_neox", "flat"),
    ("gemma3_text", "projected"),
    ("gemma2", "classifier"),
    ("llama", "prefixed"),
    ("llama", "mtan"),
}
STOPPED |= {(name, "full") for name in CONFIGS}
CASES = [(name, kind) for name in CONFIGS for kind in KINDS if name != "gpt2" or kind in ("full", "prefixed")]
CASES = [case for case in CASES if case not in (("cohere", "classifier"), ("cohere", "prefixed"))]
ROWS = Rows(PROMPTS[:3] * 3, labels=[0, 1, 0] * 3, tasks=[0, 1, 1, 0, 0, 1, 1, 0, 1])


class Stopped(Exception):
    """What ends a training in the middle."""


def new_model(kind: str, backbone: Path) -> Any:  # noqa: ANN401 - plain, of peft or of this project
    torch.manual_seed(5)
    if kind == "mtan":
        return build_mtan(backbone, {"qqp": 2, "sst": 2}, 0.1, 0.1)
    if kind == "prefixed":
        return add_adapter(build_classifier(backbone, 2, "last", 0.1, 0.1), FLAT, heads=["score"])
    if kind == "classifier":
        dora = LORA.model_copy(update={"dora": True})
        return add_adapter(build_classifier(backbone, 2, "last", 0.1, 0.1), dora, heads=["score"])
    model, adapters = load_backbone(backbone, 0.1), {"lora": LORA, "flat": FLAT}
    adapters["projected"] = FLAT.model_copy(update={"projection": True})
    return add_adapter(model, adapters[kind]) if kind in adapters else model


def says(model: Any, kind: str) -> Tensor:  # noqa: ANN401
    """Logits of `PROMPTS`, as this project computes them: of classes or of the next token."""
    return model(**collate(Rows(PROMPTS))) if kind in OBJECTIVES else Reader(model, PROMPTS).logits()


def trained(kind: str, backbone: Path, scratch: Path, stop: int = 0) -> tuple[Any, Path, list[float], Tensor]:
    """The model, the folder of the best one, losses before training and at each evaluation, and what it said last."""
    objective, losses, said, steps = OBJECTIVES.get(kind, language_model.loss), list[float](), list[Tensor](), 0

    def step(model: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ANN401
        nonlocal steps
        steps += 1
        if steps == stop:
            raise Stopped
        return objective(model, batch)

    def evaluate(model: Any) -> dict[str, float]:  # noqa: ANN401
        losses.append(objective(model, collate(ROWS))[0].item())
        said.append(says(model, kind))
        return {"select_loss": losses[-1], "select_score": -losses[-1]}

    model = new_model(kind, backbone)
    with torch.no_grad():
        evaluate(model.eval())
    settings = tiny_training(lr=0.01, epochs=2, batch_size=3, checkpoint_steps=4, schedule="constant")
    (best,) = train(model.train(), ROWS, step, settings, scratch, 3, "portable", evaluate)
    return model, best, losses, said[-1]


def loaded(kind: str, best: Path, backbone: Path) -> Tensor:
    """Logits of `PROMPTS`, one by one, as transformers' and peft's classes load the folder."""
    if kind in ("classifier", "prefixed"):
        base = AutoModelForSequenceClassification.from_pretrained(backbone, num_labels=2, dtype=torch.float64)
        model = PeftModel.from_pretrained(base, best).eval()
        return torch.cat([model(torch.tensor([row])).logits for row in PROMPTS])
    kind_of = AutoModelForCausalLM if kind == "full" else AutoPeftModelForCausalLM
    model = kind_of.from_pretrained(best, dtype=torch.float64).eval()
    return torch.stack([model(input_ids=torch.tensor([row])).logits[0, -1] for row in PROMPTS])


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_training_learns_goes_on_and_writes_what_others_load(
    backbones: dict[str, Path], tmp_path: Path, name: str, kind: str
) -> None:
    torch.set_default_dtype(torch.float64)
    backbone = backbones[name]
    model, best, losses, said = trained(kind, backbone, tmp_path / "straight")
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.02
    if (name, kind) in STOPPED:
        with pytest.raises(Stopped):
            trained(kind, backbone, tmp_path / "stopped", stop=6)
        other, _, few, again = trained(kind, backbone, tmp_path / "stopped")
        assert len(few) < len(losses), "it began anew"
        assert torch.equal(said, again) and all(map(torch.equal, model.parameters(), other.parameters()))
    # What is written of a projected prefix is rounded after the projection, in the evaluation before it.
    close = partial(torch.testing.assert_close, rtol=1e-4, atol=0.02 if kind == "projected" else 1e-5)
    with torch.no_grad():
        if kind == "mtan":
            close(says(load_mtan(best), kind), said)
        else:
            close(loaded(kind, best, backbone), said)
        if kind in OBJECTIVES:  # as a stage that has trained goes back to the best model
            other = new_model(kind, backbone)
            load_weights(other, best)
            close(says(other.eval(), kind), said)
        else:
            ours = load_language_model(best, backbone)
            assert isinstance(ours, PeftModel) == (kind in ("flat", "projected"))  # a LoRA is merged
            close(says(ours, kind), said)


def test_weights_that_transformers_saves_under_other_names_come_back(tmp_path: Path) -> None:
    first, other = (
        build_classifier(write_backbone("mixtral", tmp_path / "backbone"), 2, "last", 0.0, 0.0).eval() for _ in range(2)
    )
    save_weights(first, tmp_path / "saved")
    assert not torch.equal(says(other, "classifier"), says(first, "classifier"))
    load_weights(other, tmp_path / "saved")
    assert torch.equal(says(other, "classifier"), says(first, "classifier"))
