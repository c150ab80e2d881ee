"""Classifier, objectives and prediction against transformers' own classes and against sums written out by hand."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_model, write_backbone
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification

from pipeline.evaluation.predictions import submission
from pipeline.models.classifier import Classifier, Pooling, build_classifier, load_classifier
from pipeline.objectives import cross_entropy, language_model
from pipeline.text import batches as batches_module
from pipeline.text.batches import batches_by_length, collate
from pipeline.training.predict import predict

LABELS = 3
PLAIN = cross_entropy.Options(label_smoothing=0.0)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("models") / "backbone")


def classifier(backbone: Path, pooling: Pooling = "last", dropout: float = 0.1, freeze: bool = False) -> Classifier:
    torch.manual_seed(1)
    model = build_classifier(backbone, LABELS, pooling, dropout, head_dropout=0.5, freeze=freeze)
    nn.init.normal_(model.score.weight, std=0.5)
    return model.eval()


def prompts(count: int = 9, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(1, 300) for _ in range(rng.randrange(1, 40))] for _ in range(count)]


def logits(model: Classifier, rows: list[list[int]]) -> Tensor:
    with torch.no_grad():
        return model(**collate([{"input_ids": row} for row in rows]))


def test_transformers_loads_the_folder_and_gives_the_same_logits(backbone: Path, tmp_path: Path) -> None:
    model = classifier(backbone)
    model.save_pretrained(tmp_path)
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).double().eval()
    assert theirs.num_labels == LABELS
    rows = prompts()
    longest, pad = max(map(len, rows)), theirs.config.pad_token_id
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).logits
    assert expected.std() > 0.1  # the comparison is not one of zeros
    torch.testing.assert_close(logits(model.double(), rows).double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_a_saved_classifier_is_the_same_after_loading(backbone: Path, tmp_path: Path, pooling: Pooling) -> None:
    model = classifier(backbone, pooling)
    model.save_pretrained(tmp_path)
    loaded = load_classifier(tmp_path)
    assert torch.equal(logits(loaded, prompts()), logits(model, prompts()))


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_logits_are_blind_to_padding_and_batch(backbone: Path, pooling: Pooling) -> None:
    model, rows = classifier(backbone, pooling).double(), prompts()
    together = logits(model, rows)
    alone = torch.cat([logits(model, [row]) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-7)
    longest = max(map(len, rows)) + 5
    lengths = torch.tensor([len(row) for row in rows])
    for padding in (7, 299):
        ids = torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
        with torch.no_grad():
            torch.testing.assert_close(model(ids, lengths), alone, rtol=1e-6, atol=1e-7)


def test_mean_pooling_is_the_mean_over_the_real_tokens(backbone: Path) -> None:
    model, rows = classifier(backbone, "mean").double(), prompts()
    with torch.no_grad():
        hidden = [model.transformer(torch.tensor([row])).last_hidden_state[0] for row in rows]
        expected = torch.stack([sum(states) / len(states) @ model.score.weight.T for states in hidden])
    torch.testing.assert_close(logits(model, rows).double(), expected, rtol=1e-6, atol=1e-7)


def backward(model: Classifier) -> set[str]:
    """The parameters that a training step gives a gradient."""
    batch = collate([{"input_ids": row, "labels": index % LABELS} for index, row in enumerate(prompts())])
    cross_entropy.loss(model.train(), batch, PLAIN)[0].backward()
    return {name for name, value in model.named_parameters() if value.grad is not None and bool(value.grad.any())}


def test_a_frozen_backbone_trains_the_head_alone(backbone: Path, tmp_path: Path) -> None:
    model = classifier(backbone, freeze=True)
    assert backward(model) == {"score.weight"}
    assert [name for name, value in model.named_parameters() if value.requires_grad] == ["score.weight"]
    assert not any(module.training for module in model.transformer.modules())
    assert model.training and model.head_dropout.training
    inputs = collate([{"input_ids": row} for row in prompts()])
    states = [model.transformer(inputs["input_ids"]).last_hidden_state for _ in range(2)]
    assert torch.equal(*states)  # no dropout in the backbone
    assert not torch.equal(model(**inputs), model(**inputs))  # dropout in the head
    model.save_pretrained(tmp_path)
    loaded = load_classifier(tmp_path).train()
    assert [name for name, value in loaded.named_parameters() if value.requires_grad] == ["score.weight"]
    assert not loaded.transformer.training


def test_a_full_model_trains_everything_with_dropout(backbone: Path) -> None:
    model = classifier(backbone)
    assert backward(model) == {name for name, _ in model.named_parameters()}
    inputs = collate([{"input_ids": row} for row in prompts()])
    model.head_dropout.eval()
    assert all(module.training for module in model.transformer.modules())
    assert not torch.equal(model(**inputs), model(**inputs))  # dropout in the backbone
    model.eval()
    assert torch.equal(model(**inputs), model(**inputs))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_is_the_one_asked_for(backbone: Path, dropout: float) -> None:
    rates = {module.p for module in classifier(backbone, dropout=dropout).transformer.modules() if _drops(module)}
    assert rates == {dropout}


def _drops(module: nn.Module) -> bool:
    return isinstance(module, nn.Dropout)


def test_cross_entropy_by_hand(backbone: Path) -> None:
    model, rows = classifier(backbone), prompts()
    labels = [index % LABELS for index in range(len(rows))]
    batch = collate([{"input_ids": row, "labels": label} for row, label in zip(rows, labels, strict=True)])
    probabilities = logits(model, rows).double().softmax(-1)
    expected = -np.mean([float(probabilities[index, label].log()) for index, label in enumerate(labels)])
    assert cross_entropy.loss(model, batch, PLAIN)[0].item() == pytest.approx(expected, rel=1e-6)


def test_the_language_model_loss_is_transformers_loss() -> None:
    model = tiny_model(300, end=0, spread=0.2).double()
    texts = [[0, *row, 0] for row in prompts()]  # end-of-text before and after: its padding must not be learnt, it must
    batch = collate([{"input_ids": text} for text in texts])
    ids, lengths = batch["input_ids"], batch["lengths"]
    real = torch.arange(ids.shape[1]) < lengths[:, None]
    with torch.no_grad():
        ours = language_model.loss(model, batch)[0].item()
        labels = ids.masked_fill(~real, -100)
        theirs = model(input_ids=ids, attention_mask=real.long(), labels=labels).loss.item()
        every = [
            nn.functional.cross_entropy(model(torch.tensor([t])).logits[0, :-1], torch.tensor(t[1:])) for t in texts
        ]
        without_end = model(input_ids=ids, labels=labels.masked_fill(ids == 0, -100)).loss.item()
    weights = [len(text) - 1 for text in texts]
    assert ours == pytest.approx(theirs, rel=1e-6)
    assert ours == pytest.approx(np.average(every, weights=weights), rel=1e-6)
    assert abs(ours - without_end) > 1e-3


@pytest.mark.parametrize("tokens", [8192, 60])
def test_predictions_come_back_in_order(backbone: Path, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr(batches_module, "TOKENS_PER_BATCH", tokens)
    model, rows = classifier(backbone).train(), prompts(25, seed=3)
    together = predict(model, rows)
    assert together.shape == (25, LABELS) and together.dtype == np.float64
    np.testing.assert_allclose(together.sum(1), 1, atol=1e-12)
    one_by_one = torch.cat([logits(model.eval(), [row]) for row in rows]).double().softmax(-1).numpy()
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    assert len({round(float(value), 4) for value in together[:, 0]}) > 15  # an order could be told


def test_no_prompts_no_predictions(backbone: Path) -> None:
    assert predict(classifier(backbone), []).shape == (0, LABELS)


def test_batches_hold_every_prompt_once_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "TOKENS_PER_BATCH", 50)
    rows = [*prompts(30), list(range(80))]
    batches = batches_by_length(rows)
    assert sorted(index for batch in batches for index in batch) == list(range(31))
    sizes = [len(batch) * max(len(rows[index]) for index in batch) for batch in batches]
    assert all(size <= 50 or len(batch) == 1 for size, batch in zip(sizes, batches, strict=True))


def test_submission_is_the_courses_format() -> None:
    expected = "id \t Predicted_Is_Paraphrase \na1, 0 \nb2, 1 \n"
    assert submission(["a1", "b2"], [0, 1], "Predicted_Is_Paraphrase") == expected
