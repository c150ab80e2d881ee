"""Do random orders of batches train better than transformers' own, in which each fifty begin with the longest?

    OMP_NUM_THREADS=1 python -m benchmarks.batch_order [--seeds 6]

The row `baseline` of params.yaml, trained with several seeds in each order; accuracy of the last model on select.
"""

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
from torch import Generator
from transformers.trainer_pt_utils import get_length_grouped_indices

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.objectives import cross_entropy
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs, load_tokenizer
from pipeline.training.loop import train
from pipeline.training.pair_rows import new_classifier, training_rows
from pipeline.training.predict import predict
from pipeline.training.run import BACKBONE
from pipeline.training.samplers import ByLength


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch_order")
    parser.add_argument("--seeds", type=int, default=6)
    seeds = range(parser.parse_args().seeds)
    print("order     mean    sd      of each seed")
    for name, order in (("length", by_length), ("random", ByLength.batches)):
        found = [accuracy(order, seed) for seed in seeds]
        each = " ".join(f"{value:.4f}" for value in found)
        print(f"{name:9} {statistics.mean(found):.4f}  {statistics.stdev(found):.4f}  {each}", flush=True)


def by_length(sampler: ByLength, generator: Generator) -> list[list[int]]:
    """The order of transformers' own sampler."""
    rows, size = (
        get_length_grouped_indices(sampler.lengths, sampler.batch_size, generator=generator),
        sampler.batch_size,
    )
    return [rows[first : first + size] for first in range(0, len(rows), size)]


def accuracy(order: object, seed: int) -> float:
    """Train once; the share of right answers on select."""
    params, pairs = load_params(), read_pairs(PREPARED / "paraphrase/select.csv")
    settings = params.paraphrase.methods["baseline"].model_copy(update={"checkpoint_steps": 10**6})
    make_deterministic(seed, params.compute)
    tokenizer = load_tokenizer(BACKBONE)
    model = new_classifier(BACKBONE, tokenizer, settings)
    loss = partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0))
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(ByLength, "batches", order):
        rows = training_rows(tokenizer, settings, [])
        train(model, rows, loss, settings, Path(folder), seed, params.compute.precision)
    found = predict(model, encode_pairs(tokenizer, pairs, settings.max_length), params.compute.precision).argmax(1)
    return float((found == np.array([pair.label for pair in pairs])).mean())


if __name__ == "__main__":
    main()
