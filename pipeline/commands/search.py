"""Search a row's parameters with Optuna; every trial is a DVC experiment, chosen on `select` alone.

    python -m pipeline search paraphrase/baseline 12        (make search ROW=paraphrase/baseline TRIALS=12)

The study is kept in checkpoints/search: a search that was stopped goes on, TRIALS counts all its trials, and several
processes share them. Trainings behind the others are pruned (pipeline/training/pruning.py). The best three trials run
with two further seeds, since one score is partly luck. search/<task>-<row>.html shows the study.
"""

import argparse
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from statistics import mean
from subprocess import PIPE, Popen

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState

from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import Choices
from pipeline.config.training import SEARCH_TRIAL
from pipeline.errors import InputError
from pipeline.files import read_frame, read_json, write_text

FOLDER, CLONES, SCRIPT = Path("checkpoints/search"), Path(".dvc/tmp/search"), Path(__file__).with_name("trial.sh")
TASKS = {  # block and table of params.yaml, the stage that a trial runs, and its file and figure on select
    "sentiment": ("sentiment", "methods", "evaluate_sentiment", "metrics/sentiment/{}.json", "select_accuracy"),
    "paraphrase": ("paraphrase", "methods", "evaluate_paraphrase", "metrics/paraphrase/{}.json", "select_accuracy"),
    "sonnet": ("sonnet", "methods", "train_sonnet", "plots/curves/sonnet/{}/select_chrf.tsv", "select_chrf"),
    "system": ("sonnet", "systems", "evaluate_sonnets", "metrics/sonnets/{}.json", "select_chrf"),
}
PLOTS = ("parallel_coordinate", "param_importances", "optimization_history", "intermediate_values")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("row", metavar="ROW", help="sentiment/<row>, paraphrase/<row>, sonnet/<row> or system/<row>")
    parser.add_argument("trials", metavar="TRIALS", type=int, help="how many trials the study shall have in the end")


def run(options: argparse.Namespace) -> None:
    """Go on until there are so many trials, give the best further seeds, and tell which has the best mean."""
    if options.trials < 1:
        raise InputError(f"TRIALS: expected a positive number, got {options.trials}")
    search = Search(options.row)
    search.work([str(number) for number in range(options.trials)])
    complete = search.study.get_trials(states=[TrialState.COMPLETE])
    if not complete:
        raise InputError(f"{search.name}: no trial has ended well; raise TRIALS")
    best = sorted(complete, key=lambda trial: -(trial.value or 0))[:3]
    jobs = {trial.number: [f"{trial.number}-seed{seed}" for seed in search.seeds] for trial in best}
    search.work([job for own in jobs.values() for job in own])
    further = search.study.user_attrs
    means = {trial.number: mean([trial.value, *(further[job] for job in jobs[trial.number])]) for trial in best}
    lines = [f"{search.name}-{number}: {search.metric} {value:.4f} over all seeds" for number, value in means.items()]
    winner = max(means, key=lambda number: means[number])
    lines.append(f"best: {search.name}-{winner}: {shown(search.study.trials[winner].params)}")
    print(*lines, f"take it over: dvc exp apply {search.name}-{winner}", sep="\n")
    search.write_page(lines)


class Search:
    """The study of a row. Its jobs are trials, such as 3, and trials with a further seed, such as 3-seed1."""

    def __init__(self, address: str) -> None:
        kind, _, row = address.partition("/")
        if kind not in TASKS:
            raise InputError(f"ROW: expected {', '.join(f'{name}/<row>' for name in TASKS)}, got {address!r}")
        block, table, stage, self.file, self.metric = (text.format(row) for text in TASKS[kind])
        params, self.key, self.target = load_params(), f"{block}.{table}.{row}", f"{stage}@{row}"
        tables = getattr(params, block)
        entry(getattr(tables, table), row, f"{block}.{table}")
        found, ranges, values = tables.ranges(table, row)
        if not ranges:
            raise InputError(f"params.yaml: {block}.{tables.RANGES[table]} has no entry {row!r} and no {found!r}")
        self.space: dict[str, BaseDistribution] = {
            key: (CategoricalDistribution if isinstance(own, Choices) else FloatDistribution)(**own.model_dump())
            for key, own in ranges.items()
        }
        self.seed, taken = params.seed, {params.seed, values["seed"], *values.get("seeds", [])}
        self.seeds = [seed for seed in range(1, len(taken) + 3) if seed not in taken][:2]
        # Other ranges are another study: values of a key that are drawn from other choices cannot be compared.
        self.name, storage = f"search-{kind}-{row}", f"sqlite:///{FOLDER.resolve()}/{kind}-{row}.db?timeout=60"
        self.trial = {"run": address, "study": f"{address} {sorted(self.space.items())}", "storage": storage}
        for folder in (FOLDER, CLONES):
            folder.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with locked(FOLDER / "lock"):
            self.study = optuna.create_study(
                storage=storage, study_name=self.trial["study"], direction="maximize", load_if_exists=True
            )

    def work(self, jobs: Sequence[str]) -> None:
        """Do each job once, here or in another process; what a dead process was at is done again."""
        while left := [job for job in jobs if not self.ended(job)]:
            for job in left:
                with suppress(BlockingIOError), locked(CLONES / f"{self.name}-{job}.lock", fcntl.LOCK_NB):
                    if not self.ended(job):
                        self.do(job)
            time.sleep(1)

    def ended(self, job: str) -> bool:
        trials = [str(trial.number) for trial in self.study.trials if trial.state.is_finished()]
        return job in trials or job in self.study.user_attrs

    def do(self, job: str) -> None:
        """Run a job as an experiment, and tell the study."""
        number, _, seed = job.partition("-seed")
        name, study, clone = f"{self.name}-{job}", self.study, CLONES / f"{self.name}-{job}"
        with locked(FOLDER / "lock"):
            while (count := len(study.trials)) <= int(number):
                study.sampler = optuna.samplers.TPESampler(seed=self.seed + count)
                study.ask(self.space)
        values = study.trials[int(number)].params | ({"seed": int(seed)} if seed else {})
        print(f"{name}: {shown(values)}", flush=True)
        # `++` sets a key whether the row has it or takes it from the defaults.
        options = [f"--set-param=++{self.key}.{key}={json.dumps(value)}" for key, value in values.items()]
        command = ["sh", str(SCRIPT), str(clone), name, self.target, *options]
        told = {} if seed else {SEARCH_TRIAL: json.dumps(self.trial | {"number": int(number)})}
        with Popen(command, env=os.environ | told, stdin=PIPE, stdout=sys.stderr, start_new_session=True) as process:
            code = process.wait()
        if not code:
            curve = self.file.endswith(".tsv")  # of which the best checkpoint is kept
            figures = read_frame(clone / self.file, [self.metric], sep="\t") if curve else read_json(clone / self.file)
            value = float(np.max(figures[self.metric]))
            study.set_user_attr(job, value) if seed else study.tell(int(number), value)
            print(f"    {self.metric} {value:.4f}, best so far {study.best_value:.4f}", flush=True)
        elif not seed and study.trials[int(number)].state == TrialState.PRUNED:
            print("    pruned", flush=True)
        elif code < 0 or 128 < code < 160:
            raise InputError(f"{name}: a process was killed; run the same command again to go on")
        else:
            if not seed:
                study.tell(int(number), state=TrialState.FAIL)
            raise InputError(f"{name}: `dvc exp run` failed with exit code {code}; see above")
        rmtree(clone)

    def write_page(self, lines: Sequence[str]) -> None:
        """Optuna's plots of the study, those that it has enough trials for, and the finalists; works offline."""
        parts = [f"<!doctype html><meta charset=utf-8><title>{self.name}</title><pre>{chr(10).join(lines)}</pre>"]
        for kind in PLOTS:
            with suppress(ValueError, RuntimeError):  # too few trials
                figure = getattr(optuna.visualization, f"plot_{kind}")(self.study)
                if figure.data:
                    parts.append(figure.to_html(full_html=False, include_plotlyjs=len(parts) == 1))
        with locked(FOLDER / "lock"):
            write_text(Path(self.name.replace("-", "/", 1) + ".html"), "\n".join(parts))


def shown(values: Mapping[str, object]) -> str:
    """Names and values; floats have four digits."""
    return ", ".join(f"{key} {f'{value:.4g}' if isinstance(value, float) else value}" for key, value in values.items())


@contextmanager
def locked(path: Path, how: int = 0) -> Iterator[None]:
    """Hold the lock of a file, which ends with this process; with LOCK_NB a BlockingIOError if another one has it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | how)
        yield
