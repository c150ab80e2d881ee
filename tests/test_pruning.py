"""Pruning over the curves of real trainings that benchmarks/pruning.py has recorded: what it saves, what it finds."""

import json
import random
import statistics
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks import pruning as benchmark
from pipeline.config.training import SEARCH_TRIAL
from pipeline.errors import InputError
from pipeline.files import read_json
from pipeline.training.pruning import Pruning, pruning

CURVES = [row["select_accuracy"] for row in read_json(benchmark.CURVES)]


def evaluated(callback: Pruning, number: int, curve: list[float]) -> None:
    """Tell the callback an evaluation, as the Trainer does, of a training with ten steps between two."""
    state = SimpleNamespace(global_step=10 * number, max_steps=10 * len(curve))
    callback.on_evaluate(None, state, None, metrics={"select_loss": 1.0, "select_accuracy": curve[number - 1]})


def test_a_search_of_24_trials_takes_half_of_the_steps() -> None:
    """Over random orders, the best that it finds is less than one of the 93 answers on select behind the best."""
    orders = [random.Random(seed).sample(CURVES, 24) for seed in range(60)]
    found = [benchmark.search(order) for order in orders]
    steps, every = sum(steps for steps, _ in found), sum(len(curve) for order in orders for curve in order)
    lost = [max(map(max, order)) - best for (_, best), order in zip(found, orders, strict=True)]
    assert steps < every / 2
    assert statistics.mean(lost) < 1 / 93 and statistics.median(lost) == 0


def test_the_callback_does_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the stages, on a study in a file, in the order in which the trainings were recorded."""
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/study.db", study_name="a", direction="maximize")
    known, steps = {"run": "sentiment/sst_full", "study": "a", "storage": f"sqlite:///{tmp_path}/study.db"}, 0
    for curve in CURVES[:12]:
        number = study.ask().number
        monkeypatch.setenv(SEARCH_TRIAL, json.dumps(known | {"number": number}))
        (callback,) = pruning(Path("checkpoints/sentiment/sst_full/0123"))
        try:
            for epoch in range(1, len(curve) + 1):
                steps += 1
                evaluated(callback, epoch, curve)
            study.tell(number, max(curve))
        except InputError as error:
            told = study.trials[number]
            assert told.state == TrialState.PRUNED and told.value == curve[epoch - 1] and epoch < len(curve)
            assert str(error).startswith(f"trial {number} is pruned after {round(100 * epoch / len(curve))} % of its ")
    assert (steps, study.best_value) == benchmark.search(CURVES[:12])
    assert study.best_value == max(map(max, CURVES[:12])) and steps < sum(map(len, CURVES[:12]))


def test_what_a_trial_needs_is_not_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backbone, further seeds and other rows that a trial's experiment trains first are not pruned."""
    assert pruning(Path("checkpoints/paraphrase/baseline/0123")) == []
    trial = {"run": "paraphrase/baseline", "study": "a", "storage": "sqlite://", "number": 0}
    monkeypatch.setenv(SEARCH_TRIAL, json.dumps(trial))
    for name in (
        "backbone",
        "generator",
        "paraphrase/baseline@1",
        "paraphrase/baseline@everything",
        "first_stage/simcse",
    ):
        assert pruning(Path("checkpoints", name, "0123")) == []
    assert len(pruning(Path("checkpoints/paraphrase/baseline/0123"))) == 1
