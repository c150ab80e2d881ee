"""A first impression of a pre-trained model: pairs that it answers before and after fine-tuning, and a sonnet.

`make demo` runs profiles/demo.yaml in the folder demo/ and prints this there.
"""

import argparse
from pathlib import Path

from transformers.utils import logging

from pipeline.commands.terminal import print_table
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.evaluation.generation import read_generated
from pipeline.evaluation.predictions import SONNETS, folder_of, read_predictions
from pipeline.models.classifier import build_classifier
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import answer_tokens, encode_pairs, load_tokenizer
from pipeline.training.predict import predict

ROW, SYSTEM, BACKBONE = "cloze_head", "verse", Path("models/backbone")
SHOWN = 10


def run(options: argparse.Namespace) -> None:
    """Print ten pairs of dev with P(yes) of the untuned and of the fine-tuned model, and one poem."""
    params = load_params()
    make_deterministic(params.seed, params.compute)
    logging.disable_progress_bar()
    tokenizer, pairs = load_tokenizer(BACKBONE), read_pairs(PREPARED / "paraphrase/dev.csv")[:SHOWN]
    # Its head is the language model's rows of " no" and " yes": before training, what the model itself would answer.
    untuned = build_classifier(BACKBONE, 2, "last", 0.0, 0.0, answers=answer_tokens(tokenizer))
    longest = entry(params.paraphrase.methods, ROW, "paraphrase.methods").max_length
    before = predict(untuned, encode_pairs(tokenizer, pairs, longest), params.compute.precision)
    tuned = read_predictions(folder_of("paraphrase", ROW) / "dev.csv").probabilities[:SHOWN]
    answers, rows = ("no", "yes"), []
    for pair, first, second in zip(pairs, before, tuned, strict=True):
        truth = answers[pair.label or 0]
        rows.append([f"{first[1]:.2f}", f"{second[1]:.2f}", truth, pair.sentence1, pair.sentence2])
    print(f"\nThe first {SHOWN} pairs of dev, P(yes) of the model as it came and after fine-tuning:\n")
    print_table(["Before", "After", "Truth", "Sentence 1", "Sentence 2"], rows)
    poem = read_generated(SONNETS / SYSTEM / "dev.jsonl")[0][0]
    print(f"\nA sonnet from its first three lines, by the system {SYSTEM}:\n\n{poem.text}\n")
    print(f"All results, with curves and poems: {Path('plots/report.html').absolute()}")
