"""Rows of token ids to padded tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Pad the lists of token ids of `rows` on the right to the longest; numbers become one tensor.

    Returns:
        For `input_ids`: input_ids (batch, longest) int64, padded with 0, and lengths (batch,) int64. For every other
        list `name` the same as `name` and `name`_lengths. For a number, such as labels, a tensor (batch,).
    """
    batch = {}
    for name, value in rows[0].items():
        if isinstance(value, list):
            batch[name], batch[lengths_of(name)] = pad([row[name] for row in rows])
        else:
            batch[name] = torch.tensor([row[name] for row in rows])
    return batch


def pad(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Rows (batch, longest) int64, padded on the right with 0, and their lengths (batch,) int64."""
    lengths = torch.tensor([len(row) for row in rows])
    ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for row, target in zip(rows, ids, strict=True):
        target[: len(row)] = torch.tensor(row)
    return ids, lengths


def lengths_of(name: str) -> str:
    """The name of the lengths that belong to the ids `name`."""
    return "lengths" if name == "input_ids" else f"{name}_lengths"


def stack(batch: dict[str, Tensor], names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Several views of one batch below each other: ids (views * batch, longest) and lengths (views * batch,)."""
    longest = max(batch[name].shape[1] for name in names)
    ids = [torch.nn.functional.pad(batch[name], (0, longest - batch[name].shape[1])) for name in names]
    return torch.cat(ids), torch.cat([batch[lengths_of(name)] for name in names])
