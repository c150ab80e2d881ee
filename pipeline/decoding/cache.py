"""Keys and values of many texts at once, and how every decoder begins: left-padded prompts over an empty cache.

transformers' DynamicCache copies all of it for every new token, which for hundreds of texts costs more than the model.
Here a layer reserves room ahead. Its content and the numbers that come out are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.models.adapters import prefix_cache, prefix_length

if TYPE_CHECKING:
    from peft import PeftModel


RESERVE = 64  # tokens at least, and half of what is there: few copies, however long the texts become


class ReservingLayer(DynamicLayer):
    """A layer whose `keys` and `values` (rows, heads, tokens, head width) are the filled part of larger buffers."""

    keys: Tensor
    values: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.buffers: dict[str, tuple[Tensor, Tensor]] = {}  # by name: the filled part, the whole

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        past = self.get_seq_length()
        self.keys = self._appended("keys", self.keys, key_states, past)
        self.values = self._appended("values", self.values, value_states, past)
        return self.keys, self.values

    def _appended(self, name: str, current: Tensor, new: Tensor, past: int) -> Tensor:
        """`current` (`past` tokens) and `new` along the tokens; copied only where it has no room or was replaced."""
        tokens = past + new.shape[2]
        filled, buffer = self.buffers.get(name, (None, None))
        if buffer is None or filled is not current or buffer.shape[2] < tokens:
            buffer = new.new_empty(new.shape[0], new.shape[1], tokens + max(RESERVE, tokens // 2), new.shape[3])
            if past:
                buffer[:, :, :past] = current
        buffer[:, :, past:tokens] = new
        self.buffers[name] = (buffer[:, :, :tokens], buffer)
        return self.buffers[name][0]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Row i becomes what row indices[i] is: in place, only what moves is copied, unless rows are added."""
        rows = len(indices)
        if rows > len(self.keys):
            super().batch_select_indices(indices)
            return
        changed = (indices != torch.arange(rows, device=indices.device)).nonzero()[:, 0]
        for name, states in (("keys", self.keys), ("values", self.values)):
            states.index_copy_(0, changed, states.index_select(0, indices[changed]))  # faster than by indexing
            filled, buffer = self.buffers.get(name, (None, states))
            kept = states[:rows]
            setattr(self, name, kept)
            if filled is states:
                self.buffers[name] = (kept, buffer[:rows])

    def keep_one(self, best: Tensor, count: int) -> None:
        """Of the last `count` tokens of each row only the one at `best` (rows,) stays: in place, the others are cut."""
        rows = torch.arange(len(best), device=best.device)
        for name, (filled, buffer) in self.buffers.items():
            past = filled.shape[2] - count
            filled[:, :, past] = filled[rows, :, past + best]
            kept = filled[:, :, : past + 1]
            setattr(self, name, kept)
            self.buffers[name] = (kept, buffer)


def begin(model: GPT2LMHeadModel | PeftModel, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor, DynamicCache]:
    """Left-padded prompts and what comes before them.

    Returns:
        ids: (rows, longest) int64.
        mask: (rows, prefix + longest) int64, 0 for padding; positions follow from it (see `positions`).
        cache: holds the model's prefix, if it has one.
    """
    ids, mask = left_padded(prompts, model.device)
    cache = DynamicCache(config=model.config)
    cache.layers = [ReservingLayer() for _ in cache.layers]
    prefix = prefix_cache(model, len(prompts))
    if prefix is not None:
        for layer, learnt in zip(cache.layers, prefix.layers, strict=True):
            layer.update(learnt.keys, learnt.values)
    return ids, torch.cat([mask.new_ones(len(mask), prefix_length(model)), mask], 1), cache


def positions(mask: Tensor, tokens: int) -> Tensor:
    """(rows, tokens) int64: the positions of the last `tokens` places of `mask`; those of padding do not matter."""
    return (mask.cumsum(1) - 1).clamp(min=0)[:, -tokens:]


def left_padded(prompts: Sequence[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """(rows, longest) token ids and attention mask, both int64."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    return ids, mask


ALIGN, TILE = 64, 4096  # columns


def output_head(model: GPT2LMHeadModel) -> Callable[[Tensor], Tensor]:
    """What `model.lm_head` computes, without gradients: hidden states (..., width) to logits (..., vocabulary)."""
    weight = model.lm_head.weight.detach()
    vocabulary = len(weight)
    matrix = torch.nn.functional.pad(weight.t(), (0, -vocabulary % ALIGN))
    tile = matrix.shape[1] if matrix.is_cuda else TILE
    tiles = [columns.contiguous() for columns in matrix.split(tile, 1)]

    def head(hidden: Tensor) -> Tensor:
        logits = hidden.new_empty(*hidden.shape[:-1], matrix.shape[1])
        rows = hidden.detach().flatten(0, -2)
        for columns, place in zip(tiles, logits.flatten(0, -2).split(tile, 1), strict=True):
            torch.mm(rows, columns, out=place)
        return logits[..., :vocabulary]

    return head
