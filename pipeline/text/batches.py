"""Batches of token ids: of similar length, padded on the right."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

HOST = "host"
TOKENS_PER_BATCH = 4096


def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """Token ids `input_ids` (batch, longest), padded, with `lengths` (batch,); numbers, such as labels, (batch,).

    Any other list `name` becomes the same, as `name` and `name`_lengths.
    """
    batch = {}
    for name, value in rows[0].items():
        if isinstance(value, list):
            batch[name], batch[lengths_of(name)] = pad([row[name] for row in rows])
        else:
            batch[name] = torch.tensor([row[name] for row in rows])
    return batch


def training_batch(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`collate`, and under HOST its one-dimensional tensors once more as arrays, for `on_host`."""
    batch = collate(rows)
    return batch | {HOST: {name: value.numpy() for name, value in batch.items() if value.ndim == 1}}


def on_host(batch: Mapping[str, Any], name: str) -> np.ndarray:
    """Column `name` (batch,) of a batch as an array; to ask a tensor on a GPU, the host would wait for its queue."""
    column: np.ndarray = batch[HOST][name] if HOST in batch else batch[name].cpu().numpy()
    return column


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on `device`; a copy to a GPU is queued, and the host goes on."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def places(chosen: np.ndarray, device: torch.device) -> Tensor:
    """Where the array `chosen`, bool, is true: flat places, int64, on `device`."""
    return to_device(torch.from_numpy(np.flatnonzero(chosen)), device)


def pad(rows: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
    """Rows (batch, longest) int64, padded on the right with 0, and their lengths (batch,) int64."""
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row, dtype=torch.int64) for row in rows], batch_first=True)
    return ids, torch.tensor([len(row) for row in rows])


def lengths_of(name: str) -> str:
    """The name of the lengths that belong to the ids `name`."""
    return "lengths" if name == "input_ids" else f"{name}_lengths"


def stack(batch: dict[str, Tensor], names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Several views of one batch below each other: ids (views * batch, longest) and lengths (views * batch,)."""
    longest = max(batch[name].shape[1] for name in names)
    ids = [torch.nn.functional.pad(batch[name], (0, longest - batch[name].shape[1])) for name in names]
    return torch.cat(ids), torch.cat([batch[lengths_of(name)] for name in names])


def batches_by_length(prompts: Sequence[list[int]], most: int | None = None) -> list[list[int]]:
    """Indices of `prompts`, longest first, in batches of at most `most` (TOKENS_PER_BATCH) padded tokens."""
    batches: list[list[int]] = []
    for index in sorted(range(len(prompts)), key=lambda index: -len(prompts[index])):  # equal ones stay in order
        if not batches or (len(batches[-1]) + 1) * len(prompts[batches[-1][0]]) > (most or TOKENS_PER_BATCH):
            batches.append([])
        batches[-1].append(index)
    return batches
