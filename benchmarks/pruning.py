"""How many steps does pruning save a search, and does it still find the best parameters?

    OMP_NUM_THREADS=1 python -m benchmarks.pruning --record    # trains the row 30 times; the curves are committed
    python -m benchmarks.pruning

The curves are of real trainings: the row sst_full of the sample, each with other parameters, drawn from its ranges. A
search over them goes through a number of them in a random order, with or without pruning. Steps are counted in epochs.
"""

import argparse
import math
import random
import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.config.tasks import CLASSES, Choices, Range
from pipeline.config.training import Compute
from pipeline.files import read_json, write_json
from pipeline.models.classifier import build_classifier
from pipeline.objectives import cross_entropy
from pipeline.text.prepared import PREPARED, read_sentences
from pipeline.text.prompts import encode_texts, load_tokenizer
from pipeline.training.fine_tune import Split, select_scores
from pipeline.training.loop import Rows, train
from pipeline.training.pruning import HALVING
from pipeline.training.run import BACKBONE

CURVES = Path(__file__).with_name("pruning_curves.json")
ORDERS = 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning")
    parser.add_argument("--record", action="store_true")
    if parser.parse_args().record:
        write_json(CURVES, record(30))
    curves = [row["select_accuracy"] for row in read_json(CURVES)]
    print("trials  steps saved  best found  mean loss")
    for trials in (6, 12, 24):
        orders = [random.Random(seed).sample(curves, trials) for seed in range(ORDERS)]
        found = [search(order) for order in orders]
        saved = [1 - steps / sum(map(len, order)) for (steps, _), order in zip(found, orders, strict=True)]
        lost = [max(map(max, order)) - best for (_, best), order in zip(found, orders, strict=True)]
        print(f"{trials:6} {statistics.mean(saved):12.1%} {lost.count(0) / ORDERS:11.1%} {statistics.mean(lost):10.4f}")


def search(curves: Sequence[Sequence[float]]) -> tuple[int, float]:
    """The epochs that a search over these trials, one after the other, takes, and the best that it finds."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner, steps = optuna.pruners.SuccessiveHalvingPruner(**HALVING), 0
    study = optuna.create_study(direction="maximize", pruner=pruner)
    for curve in curves:
        trial, pruned = study.ask(), False
        for number, value in enumerate(curve, 1):
            trial.report(value, round(100 * number / len(curve)))
            steps += 1
            if pruned := number < len(curve) and trial.should_prune():
                break
        study.tell(trial, None if pruned else max(curve), TrialState.PRUNED if pruned else TrialState.COMPLETE)
    return steps, study.best_value


def record(trainings: int) -> list[dict[str, Any]]:
    """Parameters, and accuracy on select after each epoch."""
    tables, draws, found = load_params().sentiment, random.Random(1), []
    row, ranges = tables.methods["sst_full"], tables.search["any"]
    tokenizer, splits = load_tokenizer(BACKBONE, row.max_length), {}
    for name in ("train", "select"):
        sentences = read_sentences(PREPARED / row.dataset / f"{name}.csv")
        prompts = encode_texts(tokenizer, [sentence.text for sentence in sentences], row.max_length)
        splits[name] = Split([one.id for one in sentences], prompts, [one.label for one in sentences])
    rows = Rows(splits["train"].prompts, labels=splits["train"].labels)
    loss = partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0))
    for number in range(trainings):
        values = {key: drawn(own, draws) for key, own in ranges.items()}
        settings = row.model_copy(update=values | {"checkpoint_steps": 10**6})
        make_deterministic(1, Compute(precision="fp32", threads=1, processes=1))
        dropouts = settings.dropout, settings.head_dropout
        model = build_classifier(BACKBONE, CLASSES[row.dataset], "last", *dropouts, False)
        with tempfile.TemporaryDirectory() as folder:
            train(model, rows, loss, settings, Path(folder), 1, "fp32", select_scores(splits["select"], "fp32", False))
            lines = (Path(folder) / "curves/select_accuracy.tsv").read_text().splitlines()[1:]
        found.append(values | {"select_accuracy": [float(line.split("\t")[1]) for line in lines]})
        print(number, found[-1], flush=True)
    return found


def drawn(own: Range | Choices, draws: random.Random) -> Any:  # noqa: ANN401 - of a choice
    """A value of a range."""
    if isinstance(own, Choices):
        return draws.choice(own.choices)
    if own.log:
        return math.exp(draws.uniform(math.log(own.low), math.log(own.high)))
    return draws.uniform(own.low, own.high)


if __name__ == "__main__":
    main()
