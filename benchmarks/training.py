"""Paraphrase training, pairs a second: the course loop, the Trainer's defaults, and this project's loop.

    python -m benchmarks.training [--rounds 3] [--steps 40] [--out benchmarks/results/training.json]

Reads data/prepared/paraphrase and the tokenizer of models/backbone (run the pipeline first); weights are random: 4
layers of width 256 with GPT-2's vocabulary size. Rounds are interleaved; a row is the median of its rounds.
"""

import argparse
import platform
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2ForSequenceClassification
from transformers.trainer import Trainer
from transformers.training_args import TrainingArguments

from benchmarks import course_loop
from pipeline.files import write_json
from pipeline.models.classifier import GPT2Classifier
from pipeline.objectives import cross_entropy, r_drop, symmetric
from pipeline.text.prepared import PREPARED, read_pairs
from pipeline.text.prompts import encode_pairs
from pipeline.text.tokenizer import load_tokenizer
from pipeline.text.views import encode_views
from pipeline.training import Plan, Rows, train

BATCH, LENGTH = 32, 128


def config(dropout: float = 0.1) -> GPT2Config:
    """The small model."""
    made = GPT2Config(
        vocab_size=50257,
        n_layer=4,
        n_embd=256,
        n_head=4,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        activation_function="gelu_pytorch_tanh",
        pad_token_id=0,
    )
    made.num_labels, made.pooling, made.head_dropout, made.freeze_backbone = 2, "last", 0.0, False
    return made


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/training.json"))
    options = parser.parse_args()
    tokenizer = load_tokenizer(Path("models/backbone"))
    pairs = read_pairs(PREPARED / "paraphrase" / "train.csv")[: options.steps * BATCH * 4]
    ids = encode_pairs(tokenizer, pairs, LENGTH)
    labels = [pair.label for pair in pairs]
    rows = Rows(ids, labels=labels, **encode_views(tokenizer, pairs, ["swapped"], LENGTH))
    loops: dict[str, Callable[[int], None]] = {
        "course loop": lambda steps: course_loop.train(
            course_loop.CourseModel(config()), tokenizer, pairs, steps, BATCH
        ),
        "Trainer, padded to 128": lambda steps: trainer_default(ids, labels, steps),
        "this project, fp32": partial(ours, rows, "fp32", "cross_entropy"),
        "this project, bf16": partial(ours, rows, "bf16", "cross_entropy"),
        "this project, fp32, r_drop": partial(ours, rows, "fp32", "r_drop"),
        "this project, fp32, symmetric": partial(ours, rows, "fp32", "symmetric"),
    }
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for _ in range(options.rounds):
        for name, loop in loops.items():
            loop(2)  # warm
            start = time.perf_counter()
            loop(options.steps)
            rates[name].append(options.steps * BATCH / (time.perf_counter() - start))
            print(f"{name:32} {rates[name][-1]:7.1f} pairs/s", flush=True)
    write_json(options.out, report(rates, ids, options.rounds, options.steps))
    for name, values in rates.items():
        ratio = statistics.median(values) / statistics.median(rates["course loop"])
        print(f"{name:32} {statistics.median(values):7.1f} pairs/s, {ratio:.2f} of the course loop")


def ours(rows: Rows, precision: str, objective: str, steps: int) -> None:
    """The shared training loop with everything it does besides: curves, callbacks, a checkpoint at the end."""
    options = {
        "cross_entropy": partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0)),
        "r_drop": partial(r_drop.loss, options=r_drop.Options(alpha=0.5)),
        "symmetric": partial(symmetric.loss, options=symmetric.Options(alpha=0.5)),
    }
    plan = Plan(1e-4, steps, BATCH, 0.1, "linear", 0.01, 1.0, 10**6, steps, precision, 0)
    with tempfile.TemporaryDirectory() as scratch:
        train(GPT2Classifier(config()).train(), rows, options[objective], plan, Path(scratch))


def trainer_default(ids: Sequence[list[int]], labels: Sequence[int | None], steps: int) -> None:
    """GPT2ForSequenceClassification under the Trainer's defaults, every prompt padded to 128."""
    data = [
        {
            "input_ids": row + [0] * (LENGTH - len(row)),
            "attention_mask": [1] * len(row) + [0] * (LENGTH - len(row)),
            "labels": label,
        }
        for row, label in zip(ids, labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        )
        Trainer(GPT2ForSequenceClassification(config()), arguments, train_dataset=data).train()


def report(rates: dict[str, list[float]], ids: Sequence[list[int]], rounds: int, steps: int) -> dict[str, object]:
    """Medians and what they were measured on, as one flat table."""
    table: dict[str, object] = {
        "machine": f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "rounds": rounds,
        "steps": steps,
        "tokens_a_prompt": round(statistics.mean(map(len, ids)), 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    for name, values in rates.items():
        table[f"{name}: pairs_per_second"] = round(statistics.median(values), 1)
        table[f"{name}: of_course_loop"] = round(statistics.median(values) / statistics.median(rates["course loop"]), 2)
    return table


def processor() -> str:
    """The CPU's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
