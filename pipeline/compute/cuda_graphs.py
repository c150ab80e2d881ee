"""Training steps as CUDA graphs: the host starts a forward and backward pass with one call instead of a thousand.

A step of GPT-2 124M is little work for a large GPU, and the host needs several times as long to start its kernels. A
graph repeats the same kernels on the same memory, so it is made for one shape of batch; lengths are rounded up, which
leaves few shapes. Results are, bit for bit, those of the kernels started one by one, dropout included.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.text.batches import HOST

LENGTHS = 4  # tokens are rounded up to a multiple of it
Batch = dict[str, Any]
Step = Callable[[Batch], tuple[Tensor, dict[str, Tensor]]]
# A graph, where it reads the batch, and the loss, its parts and which weights get a gradient.
Recorded = tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Tensor, dict[str, Tensor], list[bool]]


class HostColumns(dict[str, np.ndarray]):
    """What a batch holds under HOST, and whether a step asked for it."""

    asked = False

    def __getitem__(self, name: str) -> np.ndarray:
        self.asked = True
        return super().__getitem__(name)


class StepGraphs:
    """Loss and gradients of batches on a GPU.

    The first batch of a shape runs as it is, the second one is recorded, all further ones are replayed. A step that
    looks something up on the host (see pipeline/text/batches.py) does work that depends on more than shapes: such steps
    are never recorded.
    """

    def __init__(self, step: Step, weights: Iterable[nn.Parameter], longest: int) -> None:
        """`step` gives the loss of a batch and its parts; `longest` is the number of the model's positions."""
        self.step, self.longest = step, longest
        self.weights = [weight for weight in weights if weight.requires_grad]
        self.gradients = [torch.zeros_like(weight) for weight in self.weights]  # the same memory for all graphs
        self.seen: set[tuple[Any, ...]] = set()
        self.recorded: dict[tuple[Any, ...], Recorded] = {}
        self.stream, self.pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        self.differs = False

    def __call__(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of `batch` and its parts, without gradients; those of the weights are in their `grad`."""
        batch = rounded(batch, self.longest)
        shapes = tuple((name, *value.shape) for name, value in batch.items() if name != HOST)
        if shapes not in self.seen or self.differs:
            self.seen.add(shapes)
            return self._run(batch)
        if shapes not in self.recorded:
            self.recorded[shapes] = self._record(batch)
        graph, own, loss, parts, reached = self.recorded[shapes]
        for name, place in own.items():
            place.copy_(batch[name])
        graph.replay()
        self._assign(reached)
        return loss.clone(), {name: value.clone() for name, value in parts.items()}

    def _run(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """On the stream that records: the libraries prepare themselves for each stream."""
        columns = HostColumns(batch.get(HOST, {}))
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss, parts, reached = self._pass(batch | {HOST: columns})
        torch.cuda.current_stream().wait_stream(self.stream)
        self._assign(reached)
        self.differs |= columns.asked
        return loss, parts

    def _record(self, batch: Batch) -> Recorded:
        own = {name: value.clone() for name, value in batch.items() if name != HOST}
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, self.pool, self.stream):
            loss, parts, reached = self._pass(own)
        return graph, own, loss, parts, reached

    def _pass(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor], list[bool]]:
        """Loss, its parts, and which weights got a gradient, now in `self.gradients`."""
        loss, parts = self.step(batch)
        found = torch.autograd.grad(loss, self.weights, allow_unused=True)
        pairs = [(own, new) for own, new in zip(self.gradients, found, strict=True) if new is not None]
        torch._foreach_copy_([own for own, _ in pairs], [new for _, new in pairs])
        details = {name: value.detach() for name, value in parts.items()}
        return loss.detach(), details, [gradient is not None for gradient in found]

    def _assign(self, reached: list[bool]) -> None:
        for weight, gradient, there in zip(self.weights, self.gradients, reached, strict=True):
            weight.grad = gradient if there else None


def rounded(batch: Batch, longest: int) -> Batch:
    """`batch` with its ids, the tensors (rows, tokens), padded with 0 to a multiple of LENGTHS, `longest` at most."""

    def more(ids: Tensor) -> Tensor:
        tokens = ids.shape[1]
        return nn.functional.pad(ids, (0, max(0, min(-tokens % LENGTHS, longest - tokens))))

    return {name: more(value) if name != HOST and value.ndim == 2 else value for name, value in batch.items()}
