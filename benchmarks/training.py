"""Paraphrase training, pairs a second: the course loop, the Trainer's defaults, the bare fast step and this project.

    OMP_NUM_THREADS=1 python -m benchmarks.training [--size small|124M] [--rounds 3]

Reads data/prepared/paraphrase and the tokenizer of models/backbone (run the pipeline first). The bare fast step is this
project's model, batches, objective and optimiser in a loop that does nothing else: what it is faster by is what the
shared training code costs.

This project groups random pairs by length, 50 batches at a time. To take less time than 50 steps, it is timed on a few
of these batches at equal distances, and the course loop on as few of 50 random batches of the same pairs.
"""

import argparse
import contextlib
import itertools
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2ForSequenceClassification
from transformers.trainer import Trainer
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from benchmarks import course_loop
from benchmarks.measure import Measured, Work, interleaved, seconds, settings_of, spread, write
from benchmarks.sizes import SIZES, WORDS, config
from pipeline.compute.reproducible import autocast
from pipeline.config.training import Training
from pipeline.models.classifier import classifier_of
from pipeline.models.dropout import use_fast_dropout
from pipeline.objectives import cross_entropy, r_drop, symmetric
from pipeline.text.batches import collate
from pipeline.text.prepared import PREPARED, Pair, read_pairs
from pipeline.text.prompts import encode_pairs, encode_views, load_tokenizer
from pipeline.training.loop import Objective, Rows, train
from pipeline.training.samplers import ByLength

BATCH, LENGTH = 32, course_loop.LENGTH
GROUPED = 50  # batches that ByLength sorts together
STEPS = {"small": (8, 6), "124M": (3, 2)}  # timed of this project; of the references. One step before is not timed
LAST_STEPS = 3  # of the longest batch: memory is highest when the optimiser's state is there and the heap has been used
OBJECTIVES: dict[str, Objective] = {
    "cross_entropy": partial(cross_entropy.loss, options=cross_entropy.Options(label_smoothing=0.0)),
    "r_drop": partial(r_drop.loss, options=r_drop.Options(alpha=0.5)),
    "symmetric": partial(symmetric.loss, options=symmetric.Options(alpha=0.5)),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    size, small, (steps, course_steps) = options.size, options.size == "small", STEPS[options.size]
    tokenizer = load_tokenizer(Path("models/backbone"))
    every = read_pairs(PREPARED / "paraphrase" / "train.csv")
    prompts = dict(zip(every, encode_pairs(tokenizer, every, LENGTH), strict=True))
    lengths = {pair: len(ids) for pair, ids in prompts.items()}
    pairs = random.Random(0).sample(every, GROUPED * BATCH)
    plain = sorted(_batches(pairs), key=lambda batch: max(map(lengths.__getitem__, batch)))
    grouped = spread(_batches(sorted(pairs, key=lengths.__getitem__, reverse=True)), steps)
    chosen = [pair for batch in grouped for pair in batch]
    rows = rows_of(tokenizer, chosen)

    loops: dict[str, Work] = {"course loop": partial(course, size, tokenizer, spread(plain, course_steps))}
    if small:
        loops["Trainer, padded to 128"] = partial(trainer_default, size, rows, course_steps)
    for precision in ("fp32", "bf16"):
        if small:
            loops[f"bare fast step, {precision}"] = partial(bare, size, rows, precision, steps)
        loops[f"this project, {precision}"] = partial(ours, size, rows, precision, "cross_entropy", steps)
    if small:
        for name in ("r_drop", "symmetric"):
            loops[f"this project, fp32, {name}"] = partial(ours, size, rows, "fp32", name, steps)
    found = interleaved(loops, options.rounds, "pairs/s")
    if not small:
        longest = rows_of(tokenizer, sorted(every, key=lengths.__getitem__)[-BATCH:] * (1 + LAST_STEPS))
        last = {
            f"this project, {precision}, the longest prompts": partial(
                ours, size, longest, precision, "cross_entropy", LAST_STEPS
            )
            for precision in ("fp32", "bf16")
        }
        found |= interleaved(last, 1, "pairs/s")
    tokens = statistics.mean(lengths[pair] for pair in pairs)
    write(
        f"training_{size}",
        f"Training, {size}",
        f"Paraphrase training of {WORDS[size]} on real question pairs ({tokens:.1f} tokens on average), batches of "
        f"{BATCH}; {steps} steps, {course_steps} of the references. The course loop tokenises in the collator and pads "
        "random batches to their longest; "
        + (
            "the bare fast step is a loop without the shared training code."
            if small
            else f"the last rows, of {LAST_STEPS} steps in one round, are the batch that takes most memory."
        ),
        options.rounds,
        table(found),
    )


def table(found: dict[str, Measured]) -> list[dict[str, object]]:
    """The rates, and how many times that of each reference; the bare fast step is of the same precision."""
    lines = []
    for name, row in found.items():
        line: dict[str, object] = {"name": name, "pairs_per_second": round(row.median, 2)}
        bare_step = f"bare fast step, {'bf16' if 'bf16' in name else 'fp32'}"
        references = {"course_loop": "course loop", "trainer": "Trainer, padded to 128", "bare_step": bare_step}
        for key, reference in references.items():
            if reference in found and "longest" not in name:
                line[f"of_{key}"] = round(row.median / found[reference].median, 2)
        lines.append(line | {"peak_mib": row.peak_mib, "values": [round(value, 2) for value in row.values]})
    return lines


def rows_of(tokenizer: Tokenizer, pairs: Sequence[Pair]) -> Rows:
    """What the training loop takes, with the view that `symmetric` wants."""
    views = encode_views(tokenizer, pairs, ["swapped"], LENGTH)
    return Rows(encode_pairs(tokenizer, pairs, LENGTH), labels=[pair.label for pair in pairs], **views)


def _batches(pairs: Sequence[Pair]) -> list[Sequence[Pair]]:
    return [pairs[start : start + BATCH] for start in range(0, len(pairs), BATCH)]


class InOrder(ByLength):
    """Rows as they come: they are whole batches already, of similar length."""

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.lengths)))


def course(size: str, tokenizer: Tokenizer, batches: Sequence[Sequence[Pair]], _: int) -> float:
    """Pairs a second of the course loop."""
    losses = course_loop.train(course_loop.CourseModel(config(size)), tokenizer, itertools.cycle(batches))
    return _rate(losses, len(batches))


def bare(size: str, rows: Rows, precision: str, steps: int, number: int) -> float:
    """Pairs a second of the bare fast step."""
    model, settings = classifier_of(GPT2Config)(config(size)).train(), settings_of(len(rows), steps + 2, BATCH, 1e-4)
    order = InOrder([0] * len(rows), BATCH, number)
    return _rate(bare_steps(model, rows, precision, OBJECTIVES["cross_entropy"], settings, order), steps)


def _rate(losses: Iterator[float], steps: int) -> float:
    next(losses)  # warm
    start = seconds()
    for _ in range(steps):
        next(losses)
    return steps * BATCH / (seconds() - start)


def bare_steps(
    model: nn.Module, rows: Rows, precision: str, objective: Objective, settings: Training, order: ByLength
) -> Iterator[float]:
    """One step for every loss that is asked for, as pipeline.training.loop makes it; epoch after epoch."""
    use_fast_dropout(model)
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    others = [weight for weight in model.parameters() if weight.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, fused=True)
    share = partial(_share, warmup=settings.warmup, steps=settings.steps(len(rows)))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    for epoch in range(settings.epochs):
        order.set_epoch(epoch)
        places = list(order)
        for start in range(0, len(places), settings.batch_size):
            batch = collate([rows[place] for place in places[start : start + settings.batch_size]])
            with autocast(precision, torch.device("cpu")):
                loss, _ = objective(model, batch)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            yield loss.item()


def _share(step: int, warmup: float, steps: int) -> float:
    """The learning rate at a step as a share of the highest: a linear warm-up, then a linear decay."""
    warm = -(-warmup * steps // 1)
    return step / warm if step < warm else (steps - step) / max(1.0, steps - warm)


class Enough(Exception):
    """Ends a training run: what it would write at its end is no step."""


def ours(size: str, rows: Rows, precision: str, objective: str, steps: int, number: int) -> float:
    """Pairs a second of the shared training loop with curves and callbacks, between two calls of its objective."""
    starts: list[float] = []

    def clocked(model: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:  # noqa: ANN401 - as Objective
        starts.append(seconds())
        if len(starts) > 1 + steps:
            raise Enough
        return OBJECTIVES[objective](model, batch)

    with (
        tempfile.TemporaryDirectory() as scratch,
        contextlib.suppress(Enough),
        mock.patch("pipeline.training.loop.ByLength", InOrder),
    ):
        model = classifier_of(GPT2Config)(config(size)).train()
        settings = settings_of(len(rows), steps + 2, BATCH, 1e-4)
        train(model, rows, clocked, settings, Path(scratch), number, precision)
    return steps * BATCH / (starts[-1] - starts[1])


class _Clock(TrainerCallback):
    """When each step began; stops after `steps`."""

    def __init__(self, steps: int) -> None:
        self.steps, self.starts = steps, list[float]()

    def on_step_begin(self, *_: TrainingArguments | TrainerState | TrainerControl, **__: object) -> None:
        self.starts.append(seconds())
        if len(self.starts) > self.steps:
            raise Enough


def trainer_default(size: str, rows: Rows, steps: int, number: int) -> float:
    """Pairs a second of GPT2ForSequenceClassification under the Trainer's defaults, every prompt padded to 128."""
    data = [
        {
            "input_ids": row["input_ids"] + [0] * (LENGTH - len(row["input_ids"])),
            "attention_mask": [1] * len(row["input_ids"]) + [0] * (LENGTH - len(row["input_ids"])),
            "labels": row["labels"],
        }
        for row in rows
    ]
    clock = _Clock(1 + steps)
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(Enough):
        arguments = TrainingArguments(
            output_dir=scratch,
            max_steps=1 + steps + 1,
            per_device_train_batch_size=BATCH,
            use_cpu=True,
            seed=number,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
        )
        model = GPT2ForSequenceClassification(config(size))
        Trainer(model, arguments, train_dataset=data, callbacks=[clock]).train()
    return steps * BATCH / (clock.starts[-1] - clock.starts[1])


if __name__ == "__main__":
    main()
