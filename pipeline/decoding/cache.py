"""How decoders read: many texts at once over one cache of keys and values."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.models.adapters import prefix_cache, prefix_length


class ReservingLayer(DynamicLayer):
    """A layer with room ahead: DynamicLayer copies all keys and values for every new token.

    buffer: (2, rows, heads, tokens, head width), of which `keys` and `values` are the first tokens. It grows by half.
    """

    buffer: Tensor

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        new = torch.stack([key_states, value_states])
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffer = new[..., :0, :]
        past = self.get_seq_length()
        tokens = past + new.shape[3]
        if tokens > self.buffer.shape[3]:
            larger = new.new_empty(*new.shape[:3], tokens + max(64, tokens // 2), new.shape[4])
            larger[..., :past, :] = self.buffer[..., :past, :]
            self.buffer = larger
        self.buffer[..., past:tokens, :] = new
        return self.show(tokens)

    def show(self, tokens: int) -> tuple[Tensor, Tensor]:
        """Let `keys` and `values` be so many tokens."""
        self.keys, self.values = self.buffer[..., :tokens, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Row i becomes what row indices[i] is: in place, only what moves is copied, unless rows are added."""
        rows, tokens = len(indices), self.get_seq_length()
        if rows > self.buffer.shape[1]:
            self.buffer = self.buffer[:, indices]
        else:
            changed = (indices != torch.arange(rows, device=indices.device)).nonzero()[:, 0]
            filled = self.buffer[..., :tokens, :]
            filled.index_copy_(1, changed, filled.index_select(1, indices[changed]))  # faster than by indexing
            self.buffer = self.buffer[:, :rows]
        self.show(tokens)


class Reader:
    """A model that reads many texts at once, token by token, over one cache that begins with its prefix, if it has one.

    The prompts are padded on the left; `mask` (rows, prefix + tokens), int64, is 0 for padding.
    """

    def __init__(self, model: GPT2LMHeadModel, prompts: Sequence[list[int]]) -> None:
        longest, ones = max(map(len, prompts)), [1] * prefix_length(model)
        padding = [[0] * (longest - len(prompt)) for prompt in prompts]
        rows = [zeros + prompt for zeros, prompt in zip(padding, prompts, strict=True)]
        masks = [ones + zeros + [1] * (longest - len(zeros)) for zeros in padding]
        self.model, self.head = model, model.lm_head
        self.ids, self.mask = (torch.tensor(numbers, device=model.device) for numbers in (rows, masks))
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [ReservingLayer() for _ in self.cache.layers]
        prefix = prefix_cache(model, len(prompts))
        for layer, learnt in zip(self.cache.layers, prefix.layers if prefix else (), strict=prefix is not None):
            layer.update(learnt.keys, learnt.values)

    def states(self) -> Tensor:
        """Read the tokens that were not read yet: their last hidden states (rows, tokens, width)."""
        positions = (self.mask.cumsum(1) - 1).clamp(0, self.model.config.n_positions - 1)  # padding's do not matter
        return self._read(self.ids, positions[:, -self.ids.shape[1] :], self.mask)

    def _read(self, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        read = self.model.transformer(
            ids, attention_mask=mask, position_ids=positions, past_key_values=self.cache, use_cache=True
        )
        return read.last_hidden_state

    def siblings(self, tokens: Tensor) -> Tensor:
        """Hidden states (rows, k, width) of k next tokens (rows, k), each after its text and blind to the others.

        The cache grows by all of them; `keep_sibling` comes next.
        """
        rows, k = tokens.shape
        past = self.mask.bool()[:, None].expand(rows, k, -1)
        itself = torch.eye(k, dtype=torch.bool, device=tokens.device).expand(rows, k, k)
        seen = torch.cat([past, itself], 2)[:, None]
        bias = (~seen).to(self.model.dtype) * torch.finfo(self.model.dtype).min
        return self._read(tokens, self.mask.sum(1, keepdim=True).expand(rows, k), bias)

    def keep_sibling(self, best: Tensor, count: int) -> None:
        """Of the last `count` tokens of each row only the one at `best` (rows,) stays in the cache."""
        rows, past = torch.arange(len(best), device=best.device), self.cache.get_seq_length() - count
        for layer in self.cache.layers:
            for states in layer.buffer:
                states[:, :, past] = states[rows, :, past + best]
            layer.show(past + 1)

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
