"""Every objective against its formula written out in loops, float64, and InfoNCE against pytorch-metric-learning."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss
from torch import Tensor

from pipeline.objectives import cross_entropy, r_drop, simcse, simcse_joint, simcse_supervised, symmetric
from pipeline.objectives.terms import info_nce, symmetric_kl
from pipeline.text.batches import collate

Rows = np.ndarray
GARDEN, RIVER = "How do I repair the red garden engine?", "What helps to repair the old river camera?"
QUESTIONS = ["Why?", GARDEN, RIVER, "Is it so?"]
SIZES = st.tuples(st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**32 - 1))


def entropy(logits: Rows, labels: Sequence[int], smoothing: float = 0.0) -> float:
    """Mean cross-entropy; the smoothed target is (1 - s) on the label and s / classes on every class."""
    total = 0.0
    for row, label in zip(logits, labels, strict=True):
        partition = sum(math.exp(value) for value in row)
        for place, value in enumerate(row):
            target = (1 - smoothing) * (place == label) + smoothing / len(row)
            total -= target * math.log(math.exp(value) / partition)
    return total / len(logits)


def kl(first: Rows, second: Rows) -> float:
    """Mean KL(p || q) in nats."""
    total = 0.0
    for left, right in zip(first, second, strict=True):
        p = [math.exp(value) / sum(math.exp(other) for other in left) for value in left]
        q = [math.exp(value) / sum(math.exp(other) for other in right) for value in right]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(first)


def cosine(a: Rows, b: Rows) -> float:
    return float(sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(a * a)) / math.sqrt(sum(b * b)))


def contrast(anchors: Rows, candidates: Rows, temperature: float, same: Sequence[Sequence[Any]] | None = None) -> float:
    """Candidates that are the `same` as an anchor, and not its own positive, are left out of the sum."""
    total = 0.0
    for index, anchor in enumerate(anchors):
        scores = [math.exp(cosine(anchor, candidate) / temperature) for candidate in candidates]
        counted = [score for place, score in enumerate(scores) if place == index or not (same and same[index][place])]
        total -= math.log(scores[index] / sum(counted))
    return total / len(anchors)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Given:
    """A model that gives prescribed logits and states, and remembers what it was asked."""

    def __init__(self, logits: Tensor | None = None, states: Tensor | None = None) -> None:
        self.logits, self.states = logits, states
        self.asked: list[tuple[str, list[list[int]]]] = []

    def __call__(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self._answer("logits", ids, lengths)

    def pooled(self, ids: Tensor, lengths: Tensor) -> Tensor:
        return self._answer("states", ids, lengths)

    def _answer(self, kind: str, ids: Tensor, lengths: Tensor) -> Tensor:
        self.asked.append((kind, [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]))
        found: Tensor = getattr(self, kind)
        assert len(found) == len(ids)
        return found


def batch_of(rows: int, classes: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """Prompts, swapped prompts and questions of different lengths; the first two rows have different labels."""
    rng = np.random.default_rng(seed)
    names = ("input_ids", "swapped", "first", "second")
    texts = [{name: rng.integers(1, 50, rng.integers(1, 9)).tolist() for name in names} for _ in range(rows)]
    labels = [*range(2), *rng.integers(classes, size=rows).tolist()]
    return collate([row | {"labels": label} for row, label in zip(texts, labels, strict=False)])


def rows_of(batch: dict[str, Tensor], name: str) -> list[list[int]]:
    lengths = batch["lengths" if name == "input_ids" else f"{name}_lengths"]
    return [row[:length].tolist() for row, length in zip(batch[name], lengths, strict=True)]


@settings(max_examples=40, deadline=None)
@given(SIZES, st.floats(0, 0.9))
def test_cross_entropy_with_smoothing(sizes: tuple[int, int, int], smoothing: float) -> None:
    rows, classes, seed = sizes
    logits, batch = 3 * normal(seed, rows, classes), batch_of(rows, classes, seed)
    loss, parts = cross_entropy.loss(Given(logits), batch, cross_entropy.Options(label_smoothing=smoothing))
    assert loss.item() == pytest.approx(entropy(logits.numpy(), batch["labels"].tolist(), smoothing), abs=1e-10)
    assert parts == {}


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_the_symmetric_divergence(sizes: tuple[int, int, int]) -> None:
    rows, classes, seed = sizes
    first, second = 3 * normal(seed, 2, rows, classes)
    expected = (kl(first.numpy(), second.numpy()) + kl(second.numpy(), first.numpy())) / 2
    assert symmetric_kl(first, second).item() == pytest.approx(expected, abs=1e-10)
    assert symmetric_kl(second, first).item() == pytest.approx(expected, abs=1e-10)
    assert symmetric_kl(first, first).item() == 0


@pytest.mark.parametrize(("objective", "again"), [(r_drop, "input_ids"), (symmetric, "swapped")])
@settings(max_examples=40, deadline=None)
@given(SIZES, st.floats(0, 5))
def test_r_drop_and_symmetric(objective: ModuleType, again: str, sizes: tuple[int, int, int], alpha: float) -> None:
    """Both compare two views of a batch: under two dropout masks, or in two orders."""
    rows, classes, seed = sizes
    logits, batch = 3 * normal(seed, 2 * rows, classes), batch_of(rows, classes, seed)
    model = Given(logits)
    loss, parts = objective.loss(model, batch, objective.Options(alpha=alpha))
    p1, p2, labels = logits[:rows].numpy(), logits[rows:].numpy(), batch["labels"].tolist()
    both = kl(p1, p2) + kl(p2, p1)
    assert loss.item() == pytest.approx(entropy(p1, labels) + entropy(p2, labels) + alpha / 2 * both, abs=1e-9)
    assert parts["kl"].item() == pytest.approx(both / 2, abs=1e-10)
    assert model.asked == [("logits", rows_of(batch, "input_ids") + rows_of(batch, again))]


@settings(max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 4), st.floats(0.05, 2))
def test_info_nce(sizes: tuple[int, int, int], more: int, temperature: float) -> None:
    rows, width, seed = sizes
    anchors, candidates = normal(seed, rows, width), normal(seed + 1, rows + more, width)
    same = normal(seed + 2, rows, rows + more) > 0.5
    found = info_nce(anchors, candidates, temperature, same).item()
    expected = contrast(anchors.numpy(), candidates.numpy(), temperature, same.tolist())
    assert found == pytest.approx(expected, abs=1e-9)
    scaled = info_nce(3 * anchors, 7 * candidates, temperature, same).item()
    assert scaled == pytest.approx(found, abs=1e-9)  # a cosine knows no length


@pytest.mark.parametrize("more", [0, 5])
def test_info_nce_is_nt_xent_of_anchors_against_references(more: int) -> None:
    # NTXentLoss over one set takes every other row for a candidate, the anchors too. Given references, and a label of
    # its own for each, it has one positive an anchor and the other references as negatives, which is InfoNCE.
    anchors, candidates = normal(1, 8, 16).requires_grad_(), normal(2, 8 + more, 16).requires_grad_()
    theirs = NTXentLoss(temperature=0.05)
    expected = theirs(anchors, torch.arange(8), ref_emb=candidates, ref_labels=torch.arange(8 + more))
    ours = info_nce(anchors, candidates, 0.05, torch.zeros(8, 8 + more, dtype=torch.bool))
    assert ours.item() == pytest.approx(expected.item(), abs=1e-9)
    gradients = [torch.autograd.grad(loss, (anchors, candidates)) for loss in (ours, expected)]
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-9)


def test_info_nce_is_not_computed_in_half_precision() -> None:
    anchors, candidates = normal(1, 6, 16).bfloat16(), normal(2, 6, 16).bfloat16()
    found = info_nce(anchors, candidates, 0.05, torch.eye(6, dtype=torch.bool))
    assert found.dtype == torch.float32
    expected = contrast(anchors.double().numpy(), candidates.double().numpy(), 0.05)
    assert found.item() == pytest.approx(expected, abs=1e-4)


COLUMNS = [("question", ["first", "second"]), ("prompt", ["input_ids"])]


def repeating(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch, with both questions of its first pair once more as second questions of other pairs."""
    for place, source in ((3, "first"), (2, "second")):
        ids = batch[source][0, : batch[f"{source}_lengths"][0]]
        width = max(len(ids), batch["second"].shape[1])
        batch["second"] = torch.nn.functional.pad(batch["second"], (0, width - batch["second"].shape[1]))
        batch["second"][place] = torch.nn.functional.pad(ids, (0, width - len(ids)))
        batch["second_lengths"][place] = len(ids)
    return batch


@pytest.mark.parametrize(("text", "columns"), COLUMNS)
def test_simcse(text: str, columns: list[str]) -> None:
    batch = repeating(batch_of(5))
    texts = [ids for column in columns for ids in rows_of(batch, column)]
    states = normal(3, 2 * len(texts), 8)
    model = Given(states=states)
    loss, parts = simcse.loss(model, batch, simcse.Options(temperature=0.1, text=text))
    same = [[one == other for other in texts] for one in texts]
    assert (sum(map(sum, same)) > len(texts)) == (text == "question")
    expected = contrast(states[: len(texts)].numpy(), states[len(texts) :].numpy(), 0.1, same)
    assert loss.item() == parts["info_nce"].item() == pytest.approx(expected, abs=1e-10)
    assert model.asked == [("states", texts * 2)]


@pytest.mark.parametrize("labels", [[1, 0, 0, 1, 0], [1] * 5, [0] * 5, [0, 1, 1, 1, 1]])
def test_supervised_simcse(labels: list[int]) -> None:
    """Loops over anchors: own positive, the positives of the others, and every hard negative of the batch."""
    states, batch = normal(3, 15, 8), repeating(batch_of(5)) | {"labels": torch.tensor(labels)}
    model = Given(states=states)
    loss, _ = simcse_supervised.loss(model, batch, simcse_supervised.Options(temperature=0.1))
    first, again, second = (part.numpy() for part in states.chunk(3))
    questions, others = rows_of(batch, "first"), rows_of(batch, "second")
    total = 0.0
    for anchor in range(5):
        own = [questions[anchor], others[anchor] if labels[anchor] else questions[anchor]]
        positive = math.exp(cosine(first[anchor], (second if labels[anchor] else again)[anchor]) / 0.1)
        denominator = positive
        for other in range(5):
            # A duplicate pair: its second question is a positive, and there is no negative. Else the question itself
            # under another mask is the positive, its second question a hard negative.
            candidates = [(second, others)] if labels[other] == 1 else [(again, questions), (second, others)]
            for place, (found, texts) in enumerate(candidates):
                if texts[other] not in own and (other, place) != (anchor, 0):
                    denominator += math.exp(cosine(first[anchor], found[other]) / 0.1)
        total -= math.log(positive / denominator)
    assert loss.item() == pytest.approx(total / 5, abs=1e-10)
    assert model.asked == [("states", questions * 2 + others)]


@pytest.mark.parametrize("kl_weight", [0.0, 2.5])
@pytest.mark.parametrize(("text", "columns"), COLUMNS)
def test_joint_simcse(kl_weight: float, text: str, columns: list[str]) -> None:
    masks, batch = 2 if kl_weight else 1, batch_of(5)
    texts = [ids for column in columns for ids in rows_of(batch, column)]
    logits, states = normal(4, 5 * masks, 2), normal(5, 2 * len(texts), 8)
    model, labels = Given(logits, states), batch["labels"].tolist()
    options = simcse_joint.Options(label_smoothing=0.1, weight=0.3, kl_weight=kl_weight, temperature=0.05, text=text)
    loss, parts = simcse_joint.loss(model, batch, options)
    views = [part.numpy() for part in logits.chunk(masks)]
    expected = {
        "cross_entropy": sum(entropy(view, labels, 0.1) for view in views) / masks,
        "info_nce": contrast(states[: len(texts)].numpy(), states[len(texts) :].numpy(), 0.05),
    } | ({"kl": (kl(*views) + kl(*reversed(views))) / 2} if kl_weight else {})
    assert {name: value.item() for name, value in parts.items()} == pytest.approx(expected, abs=1e-9)
    total = expected["cross_entropy"] + kl_weight * expected.get("kl", 0) + 0.3 * expected["info_nce"]
    assert loss.item() == pytest.approx(total, abs=1e-9)
    assert model.asked == [("logits", rows_of(batch, "input_ids") * masks), ("states", texts * 2)]
