"""Search a paraphrase row's parameters with Optuna; every trial is a DVC experiment, chosen on `select` alone.

    python -m pipeline.commands.search baseline 12        (make search ROW=baseline TRIALS=12)

The study lies in checkpoints/search/<row>.db: a search that was stopped goes on, and TRIALS counts all of its trials.
Trials run in a temporary folder, so that the workspace stays as it is; `dvc exp apply <name>` takes one over.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import dvc.api
import optuna
from dvc.exceptions import DvcException

from pipeline.config.base import load_seed
from pipeline.config.tasks import Choices, Range, load_search
from pipeline.errors import InputError, stage_main

FOLDER = Path("checkpoints/search")
METRIC = "select_accuracy"


def main(arguments: Sequence[str]) -> None:
    if len(arguments) != 2 or not arguments[1].isdigit():
        raise InputError("usage: python -m pipeline.commands.search ROW TRIALS, for example baseline 12")
    row, trials = arguments[0], int(arguments[1])
    ranges = load_search(row)
    FOLDER.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{FOLDER}/{row}.db",
        study_name=row,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=load_seed()),
        load_if_exists=True,
    )
    while (number := sum(trial.state.is_finished() for trial in study.trials)) < trials:
        trial = study.ask()
        values = suggest(trial, ranges)
        name = f"search-{row}-{trial.number}"
        print(f"[{number + 1}/{trials}] {name}: {shown(values)}", flush=True)
        try:
            accuracy = run(row, name, values)
        except InputError as error:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise error
        study.tell(trial, accuracy)
        print(f"    {METRIC} {accuracy:.4f}, best so far {study.best_value:.4f}", flush=True)
    best = study.best_trial
    print(f"best: search-{row}-{best.number}, {METRIC} {best.value:.4f}: {shown(best.params)}")
    print(f"take it over: dvc exp apply search-{row}-{best.number}")


def suggest(trial: optuna.Trial, ranges: Mapping[str, Range | Choices]) -> dict[str, float | int | str]:
    """A value for every parameter."""
    found: dict[str, float | int | str] = {}
    for name, values in ranges.items():
        if isinstance(values, Choices):
            chosen = trial.suggest_categorical(name, values.choices)
            assert chosen is not None  # Choices has no null
            found[name] = chosen
        else:
            found[name] = trial.suggest_float(name, values.low, values.high, log=values.log)
    return found


def shown(values: Mapping[str, float | int | str]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def run(row: str, name: str, values: Mapping[str, float | int | str]) -> float:
    """Train and evaluate the row with these values as the DVC experiment `name`; its accuracy on select."""
    # `++` sets a key whether the row has it or takes it from the defaults.
    changes = [f"++paraphrase.methods.{row}.{key}={value!r}".replace("'", "") for key, value in values.items()]
    options = [part for change in changes for part in ("-S", change)]
    command = ["dvc", "exp", "run", "--temp", "--force", "--name", name, *options]
    finished = subprocess.run([*command, f"evaluate_paraphrase@{row}"], stdout=sys.stderr, check=False)
    if finished.returncode:
        raise InputError(f"{name}: `dvc exp run` failed with exit code {finished.returncode}; see above")
    path = f"metrics/paraphrase/{row}.json"
    try:
        return float(dvc.api.metrics_show(path, rev=name)[METRIC])
    except (DvcException, KeyError) as error:
        raise InputError(f"{name}: {path} has no {METRIC}: {error}") from None


if __name__ == "__main__":
    stage_main(main)
