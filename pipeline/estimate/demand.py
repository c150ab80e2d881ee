"""What stages compute, counted in operations whose price calibration.py measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipeline.config.training import Training
from pipeline.estimate.model import Model

# Each is priced by how many rows of how many tokens it handles at once.
OPERATIONS = (
    "train",  # a step of a classifier, all weights
    "train.still",  # ... without dropout
    "train.frozen",  # ... of its head alone
    "train.lora",
    "train.dora",
    "train.tasks",  # ... with an attention network
    "language",  # a step of the language model
    "language.still",
    "language.lora",
    "language.prefix",
    "setup",  # what a training needs before its first step and after its last one
    "predict",  # a batch of prompts
    "encode",  # texts to tokens
    "sample",  # a step of so many texts
    "sample.constrained",
    "beam_search",
    "beam_search.constrained",
    "contrastive_search",
    "contrastive_search.constrained",
    "contrastive_decoding",
    "mbr",  # one choice among `tokens` texts
    "mbr.aggregated",
    "line_mbr",  # one sweep over the lines
    "embed",  # sentences by the encoder of the quality checks
    "chrf",  # a pair of sentences
    "score",  # a row of predictions, with intervals
    "verse",  # a poem's scores
    "read",  # a raw row, to its split
    "start",  # a process, after the libraries
)


@dataclass(frozen=True)
class Work:
    """`count` times an operation on `rows` of `tokens`."""

    operation: str
    count: float
    rows: float = 1.0
    tokens: float = 1.0


@dataclass(frozen=True)
class Stage:
    """A stage of the graph."""

    kind: str
    row: str | None
    needs: frozenset[str]
    work: tuple[Work, ...]
    memory_mib: float  # beside the libraries
    disk_mib: float  # of its outputs
    driver: str  # what its cost comes from
    assumed_seconds: float = 0.0  # of what is not measured here: other programs, services

    @property
    def name(self) -> str:
        """As DVC addresses it."""
        return self.kind if self.row is None else f"{self.kind}@{self.row}"


class Counting:
    """A model that only notes what it is given: (rows, tokens) of each pass."""

    device = torch.device("cpu")

    def __init__(self, tasks: Sequence[str]) -> None:
        self.tasks, self.passes = ["qqp", *tasks], list[tuple[int, int]]()
        self.losses, self.log_variances = torch.zeros(5, len(self.tasks)), torch.zeros(len(self.tasks))

    def __call__(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Logits of two classes."""
        self.passes.append((ids.shape[0], ids.shape[1]))
        return torch.zeros(len(ids), 2)

    def pooled(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """States of a width that is not looked at."""
        self.passes.append((ids.shape[0], ids.shape[1]))
        return torch.eye(len(ids))

    def task_logits(self, ids: Tensor, lengths: Tensor, rows: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Logits of the rows of each task."""
        logits = self(ids, lengths)
        return {task: logits[own] for task, own in rows.items()}


def passes(objective: Any, options: Any, prompt: float, question: float, tasks: Sequence[str]) -> list[Work]:  # noqa: ANN401 - a module
    """What a training step of an objective computes for each row of its batch: passes of so many rows and tokens.

    The objective itself tells, with a model that only counts: a new one needs no line here.
    """
    rows, model = 2, Counting(tasks)
    batch: dict[str, Any] = {"labels": torch.tensor([0, 1]), "tasks": torch.zeros(rows, dtype=torch.int64)}
    for name, length in (("input_ids", prompt), ("swapped", prompt), ("first", question), ("second", question)):
        batch[name] = torch.zeros(rows, max(1, round(length)), dtype=torch.int64)
        batch["lengths" if name == "input_ids" else f"{name}_lengths"] = torch.full((rows,), max(1, round(length)))
    objective.loss(model, batch, options=options)
    return [Work("pass", 1, given / rows, tokens) for given, tokens in model.passes]


def steps(settings: Training, rows: int) -> tuple[int, int]:
    """Optimiser steps and evaluations of a training (see training.Plan)."""
    an_epoch = -(-rows // settings.batch_size)
    every = max(1, -(-an_epoch // settings.evaluations_per_epoch))
    whole = settings.epochs * an_epoch
    return whole, -(-whole // every)


def training(operation: str, settings: Training, rows: int, given: Sequence[Work]) -> list[Work]:
    """All steps; all passes of a step count as one of as many tokens: its fixed cost is paid once."""
    count, _ = steps(settings, rows)
    together = sum(one.rows for one in given)
    tokens = sum(one.rows * one.tokens for one in given) / together
    return [Work("setup", 1), Work(operation, count, settings.batch_size * together, tokens)]


def prediction(texts: int, tokens: float, times: float = 1.0) -> list[Work]:
    """Probabilities of so many prompts, in batches as pipeline/text/batches.py makes them."""
    from pipeline.text.batches import TOKENS_PER_BATCH

    if not texts:
        return []
    rows = min(texts, max(1, TOKENS_PER_BATCH // max(1, round(tokens))))
    return [Work("predict", times * texts / rows, rows, tokens)]


def model_files(model: Model, copies: int = 1, trained: int | None = None) -> float:
    """MiB of saved weights: in the workspace and, as DVC copies where the file system cannot share, in its cache."""
    return 2 * copies * (model.weights if trained is None else trained) * 4 / 2**20
