"""How decoders read: many texts at once over one cache of keys and values.

transformers' DynamicCache copies all of it for every new token, which for hundreds of texts costs more than the model.
Here a layer reserves room ahead. Its content and the numbers that come out are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
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


class Reader:
    """A model that reads many texts at once, token by token, over one cache that begins with its prefix, if it has one.

    The prompts are padded on the left; `mask` (rows, prefix + tokens), int64, is 0 for padding.
    """

    def __init__(self, model: GPT2LMHeadModel | PeftModel, prompts: Sequence[list[int]]) -> None:
        longest, ones = max(map(len, prompts)), [1] * prefix_length(model)
        padded = [[0] * (longest - len(prompt)) for prompt in prompts]
        masks = [ones + zeros + [1] * len(prompt) for zeros, prompt in zip(padded, prompts, strict=True)]
        rows = [zeros + prompt for zeros, prompt in zip(padded, prompts, strict=True)]
        self.model = model
        self.ids, self.mask = (torch.tensor(numbers, device=model.device) for numbers in (rows, masks))
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [ReservingLayer() for _ in self.cache.layers]
        prefix = prefix_cache(model, len(prompts))
        if prefix is not None:
            for layer, learnt in zip(self.cache.layers, prefix.layers, strict=True):
                layer.update(learnt.keys, learnt.values)

    @cached_property
    def head(self) -> Callable[[Tensor], Tensor]:
        """See `output_head`."""
        return output_head(self.model)

    def states(self) -> Tensor:
        """Read the tokens that were not read yet: their last hidden states (rows, tokens, width)."""
        positions = (self.mask.cumsum(1) - 1).clamp(0, self.model.config.n_positions - 1)  # padding's do not matter
        return self.model.transformer(
            self.ids,
            attention_mask=self.mask,
            position_ids=positions[:, -self.ids.shape[1] :],
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state

    def logits(self) -> Tensor:
        """The logits (rows, vocabulary) after all tokens."""
        return self.head(self.states()[:, -1])

    def select(self, rows: list[int]) -> None:
        """Row i becomes what row rows[i] was."""
        if rows != list(range(len(self.mask))):
            self.mask = self.mask[rows]
            self.cache.batch_select_indices(torch.tensor(rows, device=self.mask.device))

    def go_on(self, tokens: Tensor, rows: list[int]) -> None:
        """Row i goes on with tokens[i], one or several, after what row rows[i] was; of (rows,) or (rows, tokens)."""
        self.select(rows)
        self.ids = tokens.view(len(rows), -1)
        self.mask = torch.cat([self.mask, torch.ones_like(self.ids)], 1)


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
