"""Several tasks at once, their losses weighted equally, by dynamic weight averaging or by learnt uncertainty."""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.compute.data_parallel import average
from pipeline.config.base import Block
from pipeline.text.batches import on_host, places

if TYPE_CHECKING:  # parameters are checked without transformers
    from pipeline.models.mtan import MtanClassifier

VIEWS: tuple[str, ...] = ()


class Options(Block):
    """`interval`: steps over which a task's loss is averaged before its rate of descent is taken."""

    weighting: Literal["equal", "dwa", "uncertainty"]
    temperature: float = Field(gt=0)
    interval: int = Field(ge=1)


def loss(model: "MtanClassifier", batch: dict[str, Any], options: Options) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum of the tasks' mean cross-entropies; a task without rows in the batch adds nothing.

    equal        1 for each task
    dwa          K exp(w_k / T) / sum_i exp(w_i / T), w_k = L_k(t-1) / L_k(t-2) (Liu et al. 2019, equation 7)
    uncertainty  exp(-s_k) L_k + s_k / 2 with learnt s_k = log sigma_k^2 (Kendall et al. 2018, equation 10)

    Args:
        model: also holds what the weightings have learnt.
        batch: `input_ids`, `lengths`, `labels` and `tasks`, the number of each row's task, (batch,) int64.
    """
    rows, labels = rows_of_tasks(batch), batch["labels"]
    logits = model.task_logits(batch["input_ids"], batch["lengths"], rows)
    losses = {task: nn.functional.cross_entropy(scores, labels[rows[task]]) for task, scores in logits.items()}
    if options.weighting == "dwa":
        weights = dynamic_weights(model.losses, options.temperature)
        record(model.losses, losses, options.interval)
    elif options.weighting == "uncertainty":
        weights = torch.exp(-model.log_variances)
    else:
        weights = torch.ones(len(model.tasks), device=model.device)
    total = logits[next(iter(logits))].new_zeros(())
    for task, value in losses.items():
        total = total + weights[task] * value
        if options.weighting == "uncertainty":
            total = total + model.log_variances[task] / 2
    parts = {f"loss_{name}": losses[task] for task, name in enumerate(model.tasks) if task in losses}
    return total, parts | {f"weight_{name}": weights[task] for task, name in enumerate(model.tasks)}


def rows_of_tasks(batch: dict[str, Any]) -> dict[int, Tensor]:
    """The rows of each task that has any, int64, as `MtanClassifier.task_logits` takes them."""
    tasks = on_host(batch, "tasks")
    return {task: places(tasks == task, batch["tasks"].device) for task in np.unique(tasks).tolist()}


def dynamic_weights(losses: Tensor, temperature: float) -> Tensor:
    """Weights (tasks,) from the mean losses of the last two intervals, rows 0 and 1 of `losses`; 1 before that."""
    last, previous = losses[0], losses[1]
    weights = len(last) * torch.softmax(last / previous / temperature, dim=0)
    return torch.where((previous > 0).all(), weights, 1.0)  # `if` would make the host wait for a GPU


def record(history: Tensor, losses: dict[int, Tensor], interval: int) -> None:
    """Add a step's losses; after `interval` steps their mean becomes the newest row.

    Args:
        history: (5, tasks), changed in place: mean losses of the last interval and the one before, running sums and
            counts of this one, and its steps. A buffer of the model, so that a checkpoint holds it.
    """
    # Processes draw dropout masks of their own, and their histories must not drift apart.
    for task, value in zip(losses, average(torch.stack([value.detach() for value in losses.values()])), strict=True):
        history[2, task] += value
        history[3, task] += 1
    history[4] += 1
    done = (history[4, 0] >= interval) & (history[3] > 0).all()
    begun = torch.stack([history[2] / history[3], history[0], *torch.zeros_like(history[2:])])
    history.copy_(torch.where(done, begun, history))
