"""Objectives on a real classifier: what they run, what gets gradients, and what dropout and order change."""

from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from tiny import tiny_tokenizer, write_backbone
from torch import Tensor

from pipeline.models import classifier as classifier_module
from pipeline.models.classifier import Classifier, build_classifier
from pipeline.objectives import cross_entropy, r_drop, simcse, simcse_joint, simcse_supervised, symmetric
from pipeline.text.batches import collate
from pipeline.text.prepared import Pair
from pipeline.text.prompts import encode_pairs, encode_views

GARDEN, RIVER = "How do I repair the red garden engine?", "What helps to repair the old river camera?"
QUESTIONS = ["Why?", GARDEN, RIVER, "Is it so?"]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("models") / "backbone")


def real_model(backbone: Path, rate: float) -> Classifier:
    torch.manual_seed(1)
    model = build_classifier(backbone, 2, "last", rate, rate).double()
    torch.nn.init.normal_(model.score.weight, std=0.5)
    return model.train()


def real_batch() -> dict[str, Tensor]:
    """Pairs with every view, encoded as in training."""
    pairs = [Pair(str(index), text, QUESTIONS[index - 1], index % 2) for index, text in enumerate(QUESTIONS)]
    views: list[Any] = ["swapped", "first", "second"]
    columns = {"input_ids": encode_pairs(tiny_tokenizer(), pairs, 90), "labels": [pair.label for pair in pairs]}
    columns |= encode_views(tiny_tokenizer(), pairs, views, 90)
    return collate([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


OPTIONS: list[tuple[ModuleType, Any, int]] = [  # how often the trunk runs
    (cross_entropy, cross_entropy.Options(label_smoothing=0.0), 1),
    (r_drop, r_drop.Options(alpha=1.0), 1),
    (symmetric, symmetric.Options(alpha=1.0), 1),
    (simcse, simcse.Options(temperature=0.05, text="question"), 1),
    (simcse, simcse.Options(temperature=0.05, text="prompt"), 1),
    (simcse_supervised, simcse_supervised.Options(temperature=0.05), 1),
    (simcse_joint, simcse_joint.Options(label_smoothing=0.0, weight=1.0, kl_weight=1.0, temperature=0.05,
                                        text="question"), 2),
]  # fmt: skip


@pytest.mark.parametrize(("objective", "options", "calls"), OPTIONS)
def test_the_trunk_runs_once_a_term_and_gets_gradients(
    objective: ModuleType, options: object, calls: int, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, counted = real_model(backbone, 0.1), Mock(wraps=classifier_module.states)
    monkeypatch.setattr(classifier_module, "states", counted)
    batch = real_batch()
    loss, parts = objective.loss(model, batch, options)
    assert counted.call_count == calls
    loss.backward()
    assert all(parts[name].isfinite() for name in parts) and loss.isfinite()
    head = {"score.weight"} if objective in (simcse, simcse_supervised) else set()
    without = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert without == head
    assert set(objective.VIEWS) <= set(batch)


def test_without_dropout_there_is_nothing_to_regularise(backbone: Path) -> None:
    batch = real_batch()
    for rate in (0.0, 0.1):
        model = real_model(backbone, rate)
        divergence = r_drop.loss(model, batch, r_drop.Options(alpha=1.0))[1]["kl"].item()
        # What the report trained as R-Drop had no dropout: the divergence was exactly 0, the loss twice the baseline's.
        assert divergence == 0 if rate == 0 else divergence > 1e-4
        model = real_model(backbone, rate)
        baseline = cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))[0].item()
        twice = r_drop.loss(model, batch, r_drop.Options(alpha=1.0))[0].item()
        assert (abs(twice - 2 * baseline) < 1e-12) == (rate == 0)


def test_the_symmetric_loss_does_not_know_the_order(backbone: Path) -> None:
    model, batch = real_model(backbone, 0.0), real_batch()
    turned = batch | {
        "input_ids": batch["swapped"], "lengths": batch["swapped_lengths"],
        "swapped": batch["input_ids"], "swapped_lengths": batch["lengths"],
    }  # fmt: skip
    found = [symmetric.loss(model, both, symmetric.Options(alpha=3.0)) for both in (batch, turned)]
    assert found[0][0].item() == pytest.approx(found[1][0].item(), abs=1e-12)
    assert found[0][1]["kl"].item() > 1e-4
    assert not torch.equal(model(batch["input_ids"], batch["lengths"]), model(turned["input_ids"], turned["lengths"]))
