"""Multi-task attention: the trunk stays the trunk, every module learns, the weightings are their formulas."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tiny import write_backbone
from torch import Tensor, nn
from transformers.models.gpt2.modeling_gpt2 import GPT2Model

from pipeline.models import mtan
from pipeline.models.backbone import load_weights
from pipeline.models.mtan import MtanClassifier, build_mtan, load_mtan
from pipeline.models.trunk import states
from pipeline.objectives import multitask
from pipeline.text.batches import collate

TASKS = {"qqp": 2, "sst": 5, "etpc": 3}  # not in the order of the alphabet, and no two have as many classes


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_backbone(tmp_path_factory.mktemp("models") / "backbone")


def new_model(backbone: Path, dropout: float = 0.0) -> MtanClassifier:
    torch.manual_seed(2)
    return build_mtan(backbone, TASKS, dropout, dropout).double()


def some_batch(tasks: Sequence[int] = (0, 2, 1, 0, 2, 0, 1)) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    rows = [torch.randint(1, 300, (4 + 3 * index,), generator=generator).tolist() for index in range(len(tasks))]
    return collate([{"input_ids": row, "labels": index % 2, "tasks": task}
                    for index, (row, task) in enumerate(zip(rows, tasks, strict=True))])  # fmt: skip


def options(weighting: str, temperature: float = 2.0, interval: int = 3) -> multitask.Options:
    return multitask.Options(weighting=weighting, temperature=temperature, interval=interval)


def inputs(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: batch[name] for name in ("input_ids", "lengths")}


def test_the_modules_read_the_trunk_and_never_write_into_it(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, seen = new_model(backbone).eval(), some_batch(), []
    plain = GPT2Model.from_pretrained(backbone, dtype=torch.float64).eval()

    def remember(*arguments: object, **named: object) -> list[Tensor]:
        seen.append(states(*arguments, **named))
        return seen[-1]

    monkeypatch.setattr(mtan, "states", remember)
    model.task_logits(**inputs(batch), rows=multitask.rows_of_tasks(batch))
    loss = sum(
        logits.sum() for logits in model.task_logits(**inputs(batch), rows=multitask.rows_of_tasks(batch)).values()
    )
    (0.0 * loss).backward()  # a backward pass of nothing, and a step with it
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    model(**inputs(batch))
    expected = states(plain, batch["input_ids"], read=batch["lengths"] - 1)
    assert len(seen) == 3
    for found in seen:
        assert len(found) == len(expected) == 3
        assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))


def test_the_attention_is_that_of_the_paper(backbone: Path) -> None:
    """Row by row and block by block, with the matrices written out."""
    model, batch = new_model(backbone).eval(), some_batch()
    for module in model.branches.modules():
        if isinstance(module, nn.LayerNorm | nn.Linear):
            nn.init.normal_(module.weight, std=0.3), nn.init.normal_(module.bias, std=0.3)
    found = model.task_logits(**inputs(batch), rows=multitask.rows_of_tasks(batch))

    def layer(block: nn.Sequential, values: Tensor) -> Tensor:
        linear, norm = block[0], block[1]
        values = linear.weight @ values + linear.bias
        spread = ((values - values.mean()) ** 2).mean() + norm.eps
        return (norm.weight * (values - values.mean()) / spread.sqrt() + norm.bias).clamp(min=0)

    place = dict.fromkeys(range(3), 0)
    for row, (task, length) in enumerate(zip(batch["tasks"].tolist(), batch["lengths"].tolist(), strict=True)):
        ids = batch["input_ids"][row : row + 1, :length]
        output = model.transformer(ids, output_hidden_states=True).hidden_states
        branch = None
        for block, module in enumerate(model.branches[task]):
            u, p = output[block][0, -1], output[block + 1][0, -1]
            given = u if branch is None else torch.cat([u, layer(module.f, branch)])
            mask = 1 / (1 + torch.exp(-(module.h.weight @ layer(module.g, given) + module.h.bias)))
            branch = mask * p
        expected = model.heads[task].weight @ branch
        torch.testing.assert_close(found[task][place[task]].double(), expected, rtol=1e-5, atol=1e-6)
        place[task] += 1
    assert [len(found[task]) for task in range(3)] == list(place.values()) == [3, 2, 2]


@pytest.mark.parametrize("weighting", ["equal", "dwa", "uncertainty"])
def test_gradients_reach_every_module(backbone: Path, weighting: str) -> None:
    model = new_model(backbone, dropout=0.1)
    multitask.loss(model, some_batch(), options(weighting))[0].backward()
    dead = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert dead == (set() if weighting == "uncertainty" else {"log_variances"})
    names = {name.rsplit(".", 2)[0] for name, _ in model.named_parameters() if name.startswith("branches")}
    expected = {f"branches.{task}.{block}" for task in range(3) for block in range(2)}
    assert {name.rsplit(".", 1)[0] if name[-1] in "fg" else name for name in names} == expected


def test_a_task_without_rows_is_left_alone(backbone: Path) -> None:
    model = new_model(backbone)
    loss, parts = multitask.loss(model, some_batch([0, 1, 0]), options("equal"))
    loss.backward()
    assert "loss_etpc" not in parts and {"loss_qqp", "loss_sst"} <= set(parts)
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert not any(name.startswith(("branches.2", "heads.2")) for name in reached)
    assert any(name.startswith("branches.1") for name in reached) and "transformer.wte.weight" in reached


def test_logits_of_a_task_depend_on_its_rows_alone(backbone: Path) -> None:
    model, batch = new_model(backbone).eval(), some_batch()
    together = model.task_logits(**inputs(batch), rows=multitask.rows_of_tasks(batch))
    assert {task: logits.shape for task, logits in together.items()} == {0: (3, 2), 1: (2, 5), 2: (2, 3)}
    for task in range(3):
        rows = (batch["tasks"] == task).nonzero()[:, 0]
        ids, lengths = batch["input_ids"][rows], batch["lengths"][rows]
        ids = ids[:, : int(lengths.max())]
        alone = model.task_logits(ids, lengths, {task: torch.arange(len(rows))})
        assert list(alone) == [task]
        torch.testing.assert_close(alone[task], together[task], rtol=1e-6, atol=1e-7)
    other = batch["input_ids"].clone()
    other[batch["tasks"] != 1] = 9
    changed = model.task_logits(other, batch["lengths"], multitask.rows_of_tasks(batch))
    torch.testing.assert_close(changed[1], together[1], rtol=1e-6, atol=1e-7)
    assert not torch.allclose(changed[0], together[0], atol=1e-3)


def test_forward_is_the_first_task(backbone: Path) -> None:
    model, batch = new_model(backbone).eval(), some_batch()
    assert model.config.num_labels == TASKS["qqp"]
    first = model.task_logits(**inputs(batch), rows={0: torch.arange(len(batch["tasks"]))})
    assert torch.equal(model(**inputs(batch)), first[0]) and model(**inputs(batch)).dtype == torch.float64


def test_the_weightings_begin_with_nothing_learnt(backbone: Path) -> None:
    junk = [torch.full((size,), 7.0) for size in (3, 15) for _ in range(200)]  # memory that was used before
    del junk
    model = build_mtan(backbone, TASKS, 0.1, 0.1)
    assert torch.equal(model.losses, torch.zeros(5, 3)) and torch.equal(model.log_variances, torch.zeros(3))
    assert torch.equal(multitask.dynamic_weights(model.losses, 2.0), torch.ones(3))


def test_dynamic_weights_are_those_of_the_paper() -> None:
    """Liu et al. 2019, equation 7, over four intervals of two steps with losses written down by hand."""
    steps = [
        [(0.6, 1.0, 3.0), (0.8, 2.0, 1.0)],  # means 0.7, 1.5, 2.0
        [(0.5, 1.6, 1.5), (0.3, 1.4, 0.5)],  # means 0.4, 1.5, 1.0
        [(0.2, 3.0, 1.0), (0.2, 3.0, 1.0)],  # means 0.2, 3.0, 1.0
        [(0.9, 0.9, 0.9), (0.9, 0.9, 0.9)],
    ]
    history = torch.zeros(5, 3, dtype=torch.float64)
    seen = []
    for interval in steps:
        for losses in interval:
            seen.append(multitask.dynamic_weights(history, 2.0).tolist())
            multitask.record(history, dict(enumerate(torch.tensor(losses, dtype=torch.float64))), 2)
    assert seen[:4] == [[1.0, 1.0, 1.0]] * 4  # before two intervals are over

    def weights(*rates: float) -> list[float]:
        total = sum(math.exp(rate / 2) for rate in rates)
        return [3 * math.exp(rate / 2) / total for rate in rates]

    third, fourth = weights(0.4 / 0.7, 1.5 / 1.5, 1.0 / 2.0), weights(0.2 / 0.4, 3.0 / 1.5, 1.0 / 1.0)
    assert third == pytest.approx([0.93636, 1.16013, 0.90351], abs=1e-5)
    assert fourth == pytest.approx([0.68166, 1.44307, 0.87527], abs=1e-5)
    assert seen[4] == seen[5] == pytest.approx(third, abs=1e-12)
    assert seen[6] == seen[7] == pytest.approx(fourth, abs=1e-12)
    assert sum(seen[6]) == pytest.approx(3)


def test_an_interval_waits_for_every_task() -> None:
    history = torch.zeros(5, 2)
    one, two = torch.tensor(1.0), torch.tensor(2.0)
    for _ in range(4):
        multitask.record(history, {0: one}, 2)
    assert history[0].tolist() == [0, 0]
    multitask.record(history, {0: torch.tensor(6.0), 1: two}, 2)
    assert history[0].tolist() == [2.0, 2.0]  # the means over (1, 1, 1, 1, 6) and (2)
    assert history[1:].count_nonzero() == 0


def test_dynamic_weighting_over_training_steps(backbone: Path) -> None:
    """The loss of each step is the sum of the tasks' losses under the weights of the intervals before."""
    model, batch = new_model(backbone), some_batch()
    means: list[list[float]] = []
    previous = [0.0] * 3
    for step in range(7):
        loss, parts = multitask.loss(model, batch, options("dwa", temperature=0.5, interval=2))
        losses = [parts[f"loss_{task}"].item() for task in TASKS]
        weights = [1.0] * 3
        if len(means) >= 2:
            scores = [math.exp(last / before / 0.5) for last, before in zip(means[-1], means[-2], strict=True)]
            weights = [3 * score / sum(scores) for score in scores]
        assert [parts[f"weight_{task}"].item() for task in TASKS] == pytest.approx(weights, abs=1e-6)
        assert loss.item() == pytest.approx(sum(a * b for a, b in zip(weights, losses, strict=True)), abs=1e-6)
        if step % 2:
            means.append([(a + b) / 2 for a, b in zip(previous, losses, strict=True)])
        previous = losses
        loss.backward()
        with torch.no_grad():
            for weight in model.heads.parameters():  # so that the losses change
                weight -= 0.5 * weight.grad
        model.zero_grad()
    assert max(weights) - min(weights) > 1e-3 and not model.losses.requires_grad


def test_uncertainty_weighting_is_its_formula(backbone: Path) -> None:
    model, batch = new_model(backbone), some_batch()
    with torch.no_grad():
        model.log_variances.copy_(torch.tensor([0.4, -0.3, 1.1]))
    loss, parts = multitask.loss(model, batch, options("uncertainty"))
    expected, learnt = 0.0, (0.4, -0.3, 1.1)
    for task, s in zip(TASKS, learnt, strict=True):
        sigma = math.exp(s) ** 0.5
        expected += parts[f"loss_{task}"].item() / sigma**2 + math.log(sigma)
        assert parts[f"weight_{task}"].item() == pytest.approx(1 / sigma**2, abs=1e-6)
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    loss.backward()
    slopes = [0.5 - math.exp(-s) * parts[f"loss_{task}"].item() for task, s in zip(TASKS, learnt, strict=True)]
    assert model.log_variances.grad.tolist() == pytest.approx(slopes, abs=1e-5)


def test_the_losses_are_cross_entropies_and_equal_weights_add_them(backbone: Path) -> None:
    model, batch = new_model(backbone), some_batch()
    loss, parts = multitask.loss(model, batch, options("equal"))
    logits = model.task_logits(**inputs(batch), rows=multitask.rows_of_tasks(batch))
    total = 0.0
    for number, task in enumerate(TASKS):
        labels = batch["labels"][batch["tasks"] == number].tolist()
        chances = logits[number].detach().double().softmax(-1)
        expected = -sum(math.log(chances[row, label]) for row, label in enumerate(labels)) / len(labels)
        assert parts[f"loss_{task}"].item() == pytest.approx(expected, abs=1e-6)
        total += expected
    assert loss.item() == pytest.approx(total, abs=1e-5)


def test_what_was_learnt_is_saved(backbone: Path, tmp_path: Path) -> None:
    model, batch = new_model(backbone).float(), some_batch()
    for _ in range(7):
        multitask.loss(model, batch, options("dwa", interval=2))
    with torch.no_grad():
        model.log_variances += 0.25
    assert model.losses[:2].all() and model.losses[4, 0] == 1
    model.save_pretrained(tmp_path)
    loaded = load_mtan(tmp_path)
    filled = new_model(backbone).float()
    load_weights(filled, tmp_path)
    for other in (loaded, filled):
        found = other.state_dict()
        assert set(found) == set(model.state_dict())
        assert all(torch.equal(found[name], value) for name, value in model.state_dict().items())
        assert torch.equal(other.eval()(**inputs(batch)), model.eval()(**inputs(batch)))
    assert loaded.tasks == list(TASKS)
