"""The order of an epoch's rows: batches of rows of similar length, and batches with a share for every task."""

import math
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class ByLength(Sampler[int]):
    """Row numbers, so that random batches have rows of similar length; the order depends on seed and epoch alone.

    transformers' own sampler draws from torch's global generator, so that a resumed run would go on with another order,
    and its batches come in an order of length, with which labels go.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = list(lengths), batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:  # the Trainer calls it, also before the epoch that it resumes
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self.batches(torch.Generator().manual_seed((self.seed + self.epoch) % 2**63)))

    def batches(self, generator: torch.Generator) -> list[list[int]]:
        """An epoch; a batch that is not full comes last."""
        rows, size = get_length_grouped_indices(self.lengths, self.batch_size, generator=generator), self.batch_size
        full, rest = len(rows) // size, rows[len(rows) // size * size :]
        mixed = len(set(self.lengths)) == 1  # rows of one length are in random order
        order = range(full) if mixed else torch.randperm(full, generator=generator).tolist()
        return [*(rows[place * size : place * size + size] for place in order), *([rest] if rest else [])]


class Quotas(ByLength):
    """Batches with `quotas[task]` rows of each task; an epoch has about as many rows as there are, small tasks repeat.

    Batches of any rows of similar length would often have none of a small task, and one row would then weigh as much in
    the loss of its task as a whole batch of another.
    """

    def __init__(self, lengths: Sequence[int], tasks: Sequence[int], quotas: Sequence[int], seed: int) -> None:
        super().__init__(lengths, sum(quotas), seed)
        self.count, self.quotas = math.ceil(len(lengths) / self.batch_size), quotas
        self.rows = [[row for row, own in enumerate(tasks) if own == task] for task in range(len(quotas))]

    def __len__(self) -> int:
        return self.count * self.batch_size

    def batches(self, generator: torch.Generator) -> list[list[int]]:
        """An epoch; what is put together has similar lengths."""
        parts = []
        for rows, quota in zip(self.rows, self.quotas, strict=True):
            rows, own = rows * math.ceil(quota / len(rows)), list[list[int]]()
            sampler = ByLength([self.lengths[row] for row in rows], quota, self.seed)
            while len(own) < self.count:
                own += [[rows[place] for place in part] for part in sampler.batches(generator) if len(part) == quota]
            parts.append(sorted(own[: self.count], key=lambda part: max(self.lengths[row] for row in part)))
        batches = [list(chain.from_iterable(together)) for together in zip(*parts, strict=True)]
        return [batches[place] for place in torch.randperm(self.count, generator=generator).tolist()]
