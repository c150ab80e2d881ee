"""What do the choices of the paraphrase recipes give? Each tried on select, with several seeds.

    OMP_NUM_THREADS=1 python -m benchmarks.recipes rates|columns|quotas|order [--seeds 2]

After the pipeline has run (for the committed figures, the profile laptop). Every setting is a row of params.yaml with a
few parameters changed; the last model's accuracy on select counts, and dev is never read. What was measured before is
kept: a run that was stopped goes on, and more seeds join those that are there.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Generator, Tensor
from transformers.modeling_utils import PreTrainedModel
from transformers.trainer_pt_utils import get_length_grouped_indices

from benchmarks.measure import RESULTS, write
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.config.tasks import Paraphrase, objective_of
from pipeline.files import read_json
from pipeline.models.classifier import Classifier
from pipeline.models.decoder import base_of
from pipeline.objectives.simcse import Options
from pipeline.objectives.terms import info_nce
from pipeline.text.batches import stack
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs, load_tokenizer
from pipeline.training.loop import train
from pipeline.training.pair_rows import new_classifier, training_rows
from pipeline.training.predict import predict
from pipeline.training.run import BACKBONE
from pipeline.training.samplers import ByLength

Loss = Callable[[Any, dict[str, Any], Any], tuple[Tensor, dict[str, Tensor]]]  # of a model, a batch and options
RATES, BATCHES = (0.00025, 0.0005, 0.001, 0.002), (16, 32, 128)
SHARES = (0.03, 0.125, 0.25)
TITLES = {
    "rates": ("Rates by batch size", "`baseline`"),
    "columns": ("SimCSE on one column of the questions or both", "The first stage of `simcse`, then its row"),
    "quotas": ("Rows of the other tasks in a batch", "`mtan` by `task_share`, and with batches of any rows"),
    "order": ("Order of batches", "`baseline` with batches at random, and longest first of each fifty"),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipes")
    parser.add_argument("group", choices=TITLES)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    settings, path = SETTINGS[options.group](), RESULTS / f"recipes_{options.group}.json"
    before: dict[str, Any] = read_json(path) if path.exists() else {"what": about(options.group), "rows": []}
    if before["what"] != about(options.group):
        sys.exit(f"{path} is of another run ({before['what']}); delete it to measure this one")
    found = {row["name"]: row["values"] for row in before["rows"]}
    for seed in range(1, options.seeds + 1):
        for name, accuracy in settings.items():
            if len(found.setdefault(name, [])) < seed:
                found[name].append(accuracy(seed))
                print(f"seed {seed}  {name:40} {found[name][-1]:.4f}", file=sys.stderr, flush=True)
                write_table(options.group, path.stem, found)


def write_table(group: str, file: str, found: Mapping[str, Sequence[float]]) -> None:
    """Write what is known so far: means and standard deviations over the seeds."""
    rows = []
    for name, values in found.items():
        rows.append({"name": name, "select_accuracy": round(statistics.mean(values), 4), "seeds": len(values)})
        rows[-1] |= {"sd": round(statistics.stdev(values), 4)} if len(values) > 1 else {}
        rows[-1] |= {"values": values}
    write(file, TITLES[group][0], about(group), 1, rows)


def about(group: str) -> str:
    """What was tried, and by which parameters."""
    params = load_params()
    run = f"profile {params.profile}, accuracy on select after the last step, {params.compute.precision}"
    return f"{TITLES[group][1]}; {run}."


def rates() -> dict[str, Callable[[int], float]]:
    """`baseline` by batch size and rate: does the best rate grow with the root of the batch size?"""
    return {
        f"batch {size}, lr {rate:g}": partial(accuracy, "baseline", {"batch_size": size, "lr": rate})
        for size in BATCHES
        for rate in RATES
    }


def columns() -> dict[str, Callable[[int], float]]:
    """`simcse` with a first stage on sentence1 alone, as it was here at first, and on both, as in the report."""
    return {
        "sentence1, identical ones are negatives": partial(accuracy, "simcse", {}, first_loss=one_column),
        "both, identical ones are not": partial(accuracy, "simcse", {}),
        "no first stage": partial(accuracy, "simcse", {"start": "backbone"}),
    }


def quotas() -> dict[str, Callable[[int], float]]:
    """`mtan` with other shares of the batch for each small task, and with batches of any rows."""
    return {
        "any rows": partial(accuracy, "mtan", {}, quotas=False),
        **{f"task_share {share}": partial(accuracy, "mtan", {"task_share": share}) for share in SHARES},
    }


def order() -> dict[str, Callable[[int], float]]:
    """`baseline` in transformers' own order of batches, and in ours."""

    def longest_first(seed: int) -> float:
        with mock.patch.object(ByLength, "batches", by_length):
            return accuracy("baseline", {}, seed)

    return {"longest first of each fifty": longest_first, "random": partial(accuracy, "baseline", {})}


SETTINGS = {"rates": rates, "columns": columns, "quotas": quotas, "order": order}


def accuracy(
    row: str, changes: Mapping[str, Any], seed: int, first_loss: Loss | None = None, quotas: bool = True
) -> float:
    """Train a row, after its first stage if it has one; the share of right answers on select.

    Args:
        changes: of the row's parameters.
        first_loss: in place of the first stage's own.
        quotas: False: batches of any rows.
    """
    tables = load_params().paraphrase
    settings = tables.methods[row].model_copy(update=dict(changes))
    _, _, name = settings.start.partition("first_stage/")
    first = tables.first_stages[name] if name else None
    model: PreTrainedModel | None = None
    for stage in filter(None, (first, settings)):
        model = trained(stage, seed, model, first_loss if stage is first else None, quotas)
    pairs, tokenizer = read_pairs(PREPARED / "paraphrase/select.csv"), load_tokenizer(BACKBONE)
    prompts = encode_pairs(tokenizer, pairs, settings.max_length)
    found = predict(model, prompts, load_params().compute.precision).argmax(1)
    return float((found == np.array([pair.label for pair in pairs])).mean())


def trained(
    settings: Paraphrase, seed: int, before: PreTrainedModel | None, loss: Loss | None, quotas: bool
) -> PreTrainedModel:
    """A model after one training, begun at the trunk of the model `before` or at the backbone."""
    compute, settings = load_params().compute, settings.model_copy(update={"checkpoint_steps": 10**6})
    make_deterministic(seed, compute)
    tokenizer = load_tokenizer(BACKBONE, settings.max_length)
    module, options = objective_of(settings, "paraphrase")
    rows, model = training_rows(tokenizer, settings, module.VIEWS), new_classifier(BACKBONE, tokenizer, settings)
    if before is not None:
        base_of(model).load_state_dict(base_of(before).state_dict())
    if not quotas:
        rows.quotas = ()
    with tempfile.TemporaryDirectory() as folder:
        own: Loss = loss or module.loss
        train(
            model,
            rows,
            lambda model, batch: own(model, batch, options),
            settings,
            Path(folder),
            seed,
            compute.precision,
        )
    return model


def one_column(model: Classifier, batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """InfoNCE of sentence1 alone, in which a question that occurs twice is its own negative."""
    first, second = model.pooled(*stack(batch, ["first"] * 2)).chunk(2)
    same = first.new_zeros((len(first), len(first)), dtype=torch.bool)
    return info_nce(first, second, options.temperature, same), {}


def by_length(sampler: ByLength, generator: Generator) -> list[list[int]]:
    """The order of transformers' own sampler."""
    size = sampler.batch_size
    rows = get_length_grouped_indices(sampler.lengths, size, generator=generator)
    return [rows[first : first + size] for first in range(0, len(rows), size)]


if __name__ == "__main__":
    main()
