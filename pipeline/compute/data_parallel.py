"""Training in several processes: each does the forward and backward pass of its rows of every batch.

All processes hold the same batch, the one that a single process would have. `spread` lets each of them run the model
on its rows and gives all of them the output of every row, so that an objective sees the whole batch: its means, the
negatives of a contrastive loss and the counts of its tasks are those of one process, however uneven the parts are.

Not DistributedDataParallel: it watches one call of `model.forward` in a step, whereas objectives call parts of the
model, some of them twice, and what one process cannot see of its batch would have to be weighted anew in each
objective. The price is that gradients are exchanged after the backward pass instead of during it.
"""

from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from pipeline.compute.processes import rank, world

BUCKET = 2**24  # numbers exchanged at once: few messages, and little memory beside the gradients


def spread(function: Callable[..., Any], *tensors: Tensor) -> Any:  # noqa: ANN401 - a Tensor or a list, as of `function`
    """function(*tensors), each process running it on every world()-th row; what it returns has one row for each.

    Args:
        function: from tensors (rows, ...) to one tensor (rows, ...) or to a list of such.
        tensors: (rows, ...), the same in all processes.
    """
    if world() == 1:
        return function(*tensors)
    rows = len(tensors[0])
    most = -(-rows // world())  # as many in each: where there are none left, the first row once more
    found = function(*(torch.cat([tensor[rank() :: world()], tensor[:1]])[:most] for tensor in tensors))

    def in_order(own: Tensor) -> Tensor:
        parts = [own if number == rank() else torch.zeros_like(own) for number in range(world())]
        return _Sum.apply(torch.stack(parts, 1)).flatten(0, 1)[:rows]

    return in_order(found) if isinstance(found, Tensor) else list(map(in_order, found))


def summed(function: Callable[[slice], Tensor], rows: int) -> Tensor:
    """A sum over all rows of a batch: `function` gives it for some of them."""
    if world() == 1:
        return function(slice(None))
    if rank() < rows:
        return cast(Tensor, _Sum.apply(function(slice(rank(), None, world()))))
    return cast(Tensor, _Sum.apply(0 * function(slice(0, 1))))  # no row is left for this process


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes. The same parameters must have one in each."""
    buckets: list[list[Tensor]] = [[]]
    for gradient in (weight.grad for weight in parameters if weight.grad is not None):
        if sum(other.numel() for other in buckets[-1]) >= BUCKET:
            buckets.append([])
        buckets[-1].append(gradient)
    for bucket in filter(None, buckets):
        flat = torch.cat([gradient.flatten() for gradient in bucket])
        torch.distributed.all_reduce(flat)
        flat /= world()
        for gradient, mean in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def average(values: Tensor) -> Tensor:
    """The mean of a tensor over the processes, without gradient."""
    if world() == 1:
        return values
    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total / world()


class _Sum(torch.autograd.Function):
    """The sum over the processes, from which each computes the same loss.

    Backward, a process takes its gradient times world(): `average_gradients` then gives the sum over the processes for
    the weights below, and leaves as they are the gradients of what all of them compute alike.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:  # noqa: ANN401 - torch's
        total = own.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 - torch's
        return gradient * world()
