"""The training loop: which rows stand together in which order, what trains at which rate, dropout that must act."""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_fine_tune import LABELS, PROMPTS
from tiny import tiny_training, write_backbone
from torch import Tensor, nn

from pipeline.config.params import load_params
from pipeline.config.tasks import Paraphrase
from pipeline.models.adapters import add_adapter
from pipeline.models.classifier import build_classifier
from pipeline.models.mtan import build_mtan
from pipeline.objectives import cross_entropy, r_drop
from pipeline.training import callbacks
from pipeline.training.loop import Loop, Rows, train, trainer_arguments
from pipeline.training.samplers import ByLength, Quotas

ROOT = Path(__file__).parents[1]
LENGTHS = st.lists(st.integers(1, 60), min_size=1, max_size=400)


def row(**changes: Any) -> Paraphrase:  # noqa: ANN401 - values of params.yaml
    baseline = load_params(ROOT / "profiles/sample.yaml").paraphrase.methods["baseline"]
    return Paraphrase.model_validate(baseline.model_dump() | {"batch_size": 4, "epochs": 1, "seeds": []} | changes)


def batches(sampler: ByLength) -> list[Sequence[int]]:
    rows = list(sampler)
    return [rows[start : start + sampler.batch_size] for start in range(0, len(rows), sampler.batch_size)]


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_an_epoch_has_every_row_once(lengths: list[int], size: int, seed: int) -> None:
    sampler = ByLength(lengths, size, seed)
    orders = []
    for epoch in (0, 1, 0):
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
        assert sorted(orders[-1]) == list(range(len(lengths)))
    assert orders[0] == orders[2]


def test_batches_have_similar_lengths_and_come_in_no_order_of_length() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 20 * 3200).tolist()
    spreads, means = [], []
    for rows in batches(ByLength(lengths, 32, 1)):
        own = [lengths[place] for place in rows]
        spreads.append(max(own) - min(own))
        means.append(np.mean(own))
    assert np.mean(spreads) < 4  # of 95
    # Batches after each other are as unlike as any two: transformers' own order has .98 here.
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.1


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.data())
def test_every_batch_has_the_quota_of_every_task(lengths: list[int], data: st.DataObject) -> None:
    quotas = data.draw(st.lists(st.integers(1, 12), min_size=2, max_size=3))
    lengths += [7] * len(quotas)
    tasks = [place % len(quotas) for place in range(len(lengths))]
    sampler = Quotas(lengths, tasks, quotas, 5)
    found = list(sampler)
    assert len(found) == len(sampler) and 0 <= len(found) - len(lengths) < sum(quotas)
    for rows in batches(sampler):
        assert [tasks[place] for place in rows] == [task for task, quota in enumerate(quotas) for _ in range(quota)]
    sampler.set_epoch(1)
    assert len(lengths) < 100 or list(sampler) != found
    sampler.set_epoch(0)
    assert list(sampler) == found


def test_a_small_task_repeats_and_a_large_one_does_not() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 4400).tolist()
    found = batches(Quotas(lengths, [0] * 4000 + [1] * 400, [24, 8], 1))
    seen = np.bincount(list(chain.from_iterable(found)), minlength=4400)
    assert len(found) == 138 and set(seen[:4000]) == {0, 1} and seen[:4000].sum() == 24 * 138
    assert set(seen[4000:]) == {2, 3} and seen[4000:].sum() == 8 * 138
    spreads = [max(own) - min(own) for rows in found if (own := [lengths[place] for place in rows])]
    assert np.mean(spreads) < 25  # of 95


@pytest.mark.parametrize("kind", ["classifier", "mtan", "lora"])
def test_fresh_weights_have_a_rate_of_their_own(tmp_path: Path, kind: str) -> None:
    backbone = write_backbone(tmp_path / "backbone")
    plan = (
        row(fresh_lr=0.3, lr=0.001, adapter="lora", r=2, targets=["attention"])
        if kind == "lora"
        else row(fresh_lr=0.3, lr=0.001)
    )
    model: Any = (
        build_mtan(backbone, {"qqp": 2, "sst": 5}, 0.1, 0.1)
        if kind == "mtan"
        else build_classifier(backbone, 2, "last", 0.1, 0.1)
    )
    if kind == "lora":
        model = add_adapter(model, plan.parameters(), heads=["score"])
    arguments = trainer_arguments(plan, len(PROMPTS), tmp_path / "scratch", 1, evaluates=False)
    loop = Loop(model, Rows(PROMPTS, labels=LABELS), cross_entropy.loss, plan, arguments, "fp32", None, [])
    rates = {weight: group["lr"] for group in loop.create_optimizer().param_groups for weight in group["params"]}
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    assert set(rates) == set(trained.values())
    fresh = {
        name.removeprefix("base_model.model.").split(".")[0] for name, weight in trained.items() if rates[weight] == 0.3
    }
    assert fresh == ({"branches", "heads", "log_variances"} if kind == "mtan" else {"score"})
    assert {rate for rate in rates.values() if rate != 0.3} == {0.001}
    decays = {group["weight_decay"] for group in loop.optimizer.param_groups}
    assert decays == ({0.01} if kind == "lora" else {0.0, 0.01})


def training(tmp_path: Path, spoil: Callable[[nn.Module], None], dropout: float = 0.1) -> list[Path]:
    """Train with R-Drop, after `spoil` at the beginning of every step."""
    model = build_classifier(write_backbone(tmp_path / "backbone"), 2, "last", dropout, 0.0)

    def objective(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        found = r_drop.loss(model, batch, r_drop.Options(alpha=1.0))
        spoil(model)  # for the next step
        return found

    plan = tiny_training(dropout=0.1, epochs=3)
    return train(model, Rows(PROMPTS, labels=LABELS), objective, plan, tmp_path / "scratch", 1, "fp32")


def left_out(part: nn.Module) -> None:
    """Leave a part of a model in evaluation mode, whatever is asked of the whole."""
    part.eval().train = lambda mode=True: part  # type: ignore[method-assign]


def test_dropout_that_does_not_act_stops_a_run(tmp_path: Path) -> None:
    training(tmp_path / "sound", lambda _: None)
    # As in the report: the classifier says that it trains, and its backbone does not.
    with pytest.raises(RuntimeError, match=r"^transformer is in evaluation mode: its dropout would be off"):
        training(tmp_path / "evaluated", lambda model: left_out(model.transformer))
    with pytest.raises(RuntimeError, match=r"^transformer\.h\.1\.mlp\.dropout is in evaluation mode"):
        training(tmp_path / "part", lambda model: left_out(model.transformer.h[1].mlp.dropout))
    with pytest.raises(RuntimeError, match=r"\(kl is 0\): dropout is off"):
        training(tmp_path / "none", lambda _: None, dropout=0.0)  # the plan says 0.1


def test_only_a_model_that_is_kept_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(callbacks, "save_weights", lambda model, folder: written.append(folder.parent.name))
    model = build_classifier(write_backbone(tmp_path / "backbone"), 2, "last", 0.1, 0.1)
    scores = iter([0.5, 0.4, 0.7, 0.7, 0.6, 0.9])
    plan = tiny_training(epochs=6)
    objective = cross_entropy.loss, cross_entropy.Options(label_smoothing=0.0)
    kept = train(model, Rows(PROMPTS, labels=LABELS), lambda *given: objective[0](*given, objective[1]), plan,
                 tmp_path / "scratch", 1, "fp32", lambda _: {"loss": 0.0, "score": next(scores)}, keep=2)  # fmt: skip
    steps = plan.evaluate_steps(len(PROMPTS))
    assert [int(folder.name) // steps for folder in kept] == [6, 3]
    assert len(written) == 5  # the fifth, 0.6, is worse than both 0.7
