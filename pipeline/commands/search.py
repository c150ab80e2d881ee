"""Search a paraphrase row's parameters with Optuna; every trial is a DVC experiment, chosen on `select` alone.

    python -m pipeline search baseline 12        (make search ROW=baseline TRIALS=12)

The study is kept in checkpoints/search/<row>.db: a search that was stopped goes on, and TRIALS counts all its trials.
Trials run in a temporary folder, so that the workspace stays as it is; `dvc exp apply <name>` takes one over.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dvc.api
import optuna
from dvc.exceptions import DvcException
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import Range
from pipeline.errors import InputError

FOLDER = Path("checkpoints/search")
METRIC = "select_accuracy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("row", metavar="ROW", help="a row of paraphrase.methods in params.yaml")
    parser.add_argument("trials", metavar="TRIALS", type=int, help="how many trials the study shall have in the end")


def run(options: argparse.Namespace) -> None:
    """Go on until there are so many trials; print each, and the best."""
    row, paraphrase = options.row, load_params().paraphrase
    entry(paraphrase.methods, row, "paraphrase.methods")
    ranges = entry(paraphrase.search, row if row in paraphrase.search else "any", "paraphrase.search")
    if options.trials < 1:
        raise InputError(f"TRIALS: expected a positive number, got {options.trials}")
    space: dict[str, BaseDistribution] = {}
    for key, own in ranges.items():
        if isinstance(own, Range):
            space[key] = FloatDistribution(own.low, own.high, own.log)
        else:
            space[key] = CategoricalDistribution(own.choices)
    FOLDER.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=load_params().seed)
    place = {"storage": f"sqlite:///{FOLDER}/{row}.db", "study_name": row, "load_if_exists": True}
    study = optuna.create_study(direction="maximize", sampler=sampler, **place)
    while (number := sum(trial.state.is_finished() for trial in study.trials)) < options.trials:
        trial = study.ask(space)
        name = f"search-{row}-{trial.number}"
        print(f"[{number + 1}/{options.trials}] {name}: {shown(trial.params)}", flush=True)
        try:
            accuracy = experiment(row, name, trial.params)
        except InputError:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        study.tell(trial, accuracy)
        print(f"    {METRIC} {accuracy:.4f}, best so far {study.best_value:.4f}", flush=True)
    best = study.best_trial
    print(f"best: search-{row}-{best.number}, {METRIC} {best.value:.4f}: {shown(best.params)}")
    print(f"take it over: dvc exp apply search-{row}-{best.number}")


def shown(values: Mapping[str, Any]) -> str:
    """Names and values; floats have four digits."""
    return ", ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in values.items())


def experiment(row: str, name: str, values: Mapping[str, Any]) -> float:
    """Train and evaluate the row with these values as the DVC experiment `name`; its accuracy on select."""
    # `++` sets a key whether the row has it or takes it from the defaults.
    options = [f"--set-param=++paraphrase.methods.{row}.{key}={value}" for key, value in values.items()]
    command = ["dvc", "exp", "run", "--temp", "--force", "--name", name, *options, f"evaluate_paraphrase@{row}"]
    finished = subprocess.run(command, stdout=sys.stderr, check=False)
    if finished.returncode:
        raise InputError(f"{name}: `dvc exp run` failed with exit code {finished.returncode}; see above")
    path = f"metrics/paraphrase/{row}.json"
    try:
        return float(dvc.api.metrics_show(path, rev=name)[METRIC])
    except (DvcException, KeyError) as error:
        raise InputError(f"{name}: {path} has no {METRIC}: {error}") from None
