"""Pruning: a training that is a trial of `make search` reports its evaluations and ends where it is behind the others.

The search names the trial in the environment; what a training that runs to its end writes does not depend on it.
"""

import json
import os
from pathlib import Path

from transformers.trainer_callback import TrainerCallback, TrainerState

from pipeline.compute.processes import agreed
from pipeline.config.training import SEARCH_TRIAL
from pipeline.errors import InputError

# After 20 % of its training, and after 80 %, a trial goes on if it is in the best quarter of those that came so far. Of
# the training, not a number of steps: a short schedule decays its rate earlier and looks better than a long one.
HALVING = {"min_resource": 20, "reduction_factor": 4}


def pruning(scratch: Path) -> list[TrainerCallback]:
    """The callback of the training in checkpoints/<run>/<fingerprint>, if that is the trial and not what it needs."""
    trial = json.loads(os.environ.get(SEARCH_TRIAL, "{}"))
    return [Pruning(**trial)] if trial and scratch.parent == Path("checkpoints", trial["run"]) else []


class Pruning(TrainerCallback):
    """Asynchronous successive halving (https://arxiv.org/abs/1810.05934) by the value that ranks a run's models."""

    def __init__(self, run: str, number: int, study: str, storage: str) -> None:
        self.number, self.study, self.storage = number, study, storage

    def on_evaluate(
        self, args: object, state: TrainerState, control: object, metrics: dict[str, float], **_: object
    ) -> None:
        (name, value), share = list(metrics.items())[-1], round(100 * state.global_step / state.max_steps)
        if agreed(lambda: self._behind(value, share)):  # in all processes
            raise InputError(f"trial {self.number} is pruned after {share} % of its training: {name} {value:.4f}")

    def _behind(self, value: float, share: int) -> bool:
        import optuna

        pruner = optuna.pruners.SuccessiveHalvingPruner(**HALVING)
        study = optuna.load_study(study_name=self.study, storage=self.storage, pruner=pruner)
        trial = optuna.Trial(study, study.trials[self.number]._trial_id)
        trial.report(value, share)
        if behind := share < 100 and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return behind
