"""Texts that grow together, one token a step: their cache, what ends each, the loop of most decoders, and sampling."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.modeling_utils import PreTrainedModel

from pipeline.models.adapters import attention_bias, lines_before, prefix_cache, prefix_length, text_length
from pipeline.models.decoder import base_of, context
from pipeline.models.output import Mixture, logits
from pipeline.text.prepared import SONNET_LINES

ROWS_PER_BATCH = 256
REDRAWS = 16  # uniform numbers a step; see pipeline/decoding/top_p.py

AnyModel: TypeAlias = PreTrainedModel | Mixture
Choose = Callable[[Tensor, Tensor], Tensor]  # logits (rows, vocabulary), uniforms (rows, REDRAWS) -> tokens (rows,)


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
            room = new.new_empty(*new.shape[:3], tokens - past + max(64, tokens // 2), new.shape[4])
            self.buffer = torch.cat([self.buffer[..., :past, :], room], 3)
        self.buffer[..., past:tokens, :] = new
        return self.show(tokens)

    def show(self, tokens: int) -> tuple[Tensor, Tensor]:
        """Let `keys` and `values` be so many tokens."""
        self.keys, self.values = self.buffer[..., :tokens, :]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Row i becomes what row indices[i] is: in place, only what moves is copied, unless rows are added."""
        rows, filled = len(indices), self.buffer[..., : self.get_seq_length(), :]
        if rows > self.buffer.shape[1]:
            self.buffer = self.buffer[:, indices]
        else:
            changed = (indices != torch.arange(rows, device=indices.device)).nonzero()[:, 0]
            filled.index_copy_(1, changed, filled.index_select(1, indices[changed]))  # faster than by indexing
            self.buffer = self.buffer[:, :rows]
        self.show(filled.shape[3])


class Reader:
    """A model that reads many texts at once, token by token, over one cache that begins with its prefix, if it has one.

    The prompts are padded on the left; `mask` (rows, prefix + tokens), int64, is 0 for padding.
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[list[int]]) -> None:
        self.model = model
        rows = [torch.tensor(prompt) for prompt in prompts]
        masks = [torch.ones_like(row) for row in rows]
        self.ids, mask = (pad_sequence(own, True, padding_side="left").to(model.device) for own in (rows, masks))
        self.mask = torch.nn.functional.pad(mask, (prefix_length(model), 0), value=1)
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [ReservingLayer() for _ in self.cache.layers]
        self.lines = lines_before(model, self.ids, mask)  # before each of `ids`, and before what follows
        prefix = prefix_cache(model, len(prompts)).layers if prefix_length(model) else []
        for layer, learnt in zip(self.cache.layers, prefix, strict=bool(prefix)):
            layer.update(learnt.keys, learnt.values)
        self._read = partial(base_of(model), past_key_values=self.cache, use_cache=True)
        # In transformers' own masks padding fills sliding windows; and of what sees nothing, as padding does, "eager"
        # attention makes NaN in float64: to its softmax, in float32, the mask's lowest number is infinite.
        config, refined = model.config, getattr(model, "refined", False)
        self.own_mask = refined or getattr(config, "sliding_window", None) or config._attn_implementation == "eager"

    def states(self) -> Tensor:
        """Read the tokens that were not read yet: their last hidden states (rows, tokens, width); of padding, noise."""
        positions = (self.mask.cumsum(1) - 1).clamp(0, context(self.model) - 1)[:, -self.ids.shape[1] :]
        mask = self.mask
        if self.own_mask:
            tokens = torch.arange(mask.shape[1], device=mask.device)
            before = tokens <= tokens[-self.ids.shape[1] :, None]
            mask = attention_bias(self.model, before & mask.bool()[:, None, None], self.lines[:, :-1])
        return self._read(self.ids, attention_mask=mask, position_ids=positions).last_hidden_state

    def siblings(self, tokens: Tensor) -> Tensor:
        """Hidden states (rows, k, width) of k next tokens (rows, k), blind to each other; `keep_sibling` comes next."""
        rows, k = tokens.shape
        past = self.mask.bool()[:, None].expand(rows, k, -1)
        itself = torch.eye(k, dtype=torch.bool, device=tokens.device).expand(rows, k, k)
        bias = attention_bias(self.model, torch.cat([past, itself], 2)[:, None], self.lines[:, -1:])
        positions = self.mask.sum(1, keepdim=True).expand(rows, k)
        return self._read(tokens, attention_mask=bias, position_ids=positions).last_hidden_state

    def keep_sibling(self, best: Tensor, count: int) -> None:
        """Of the last `count` tokens of each row only the one at `best` (rows,) stays in the cache."""
        rows, past = torch.arange(len(best), device=best.device), self.cache.get_seq_length() - count
        for layer in self.cache.layers:
            for states in layer.buffer:
                states[:, :, past] = states[rows, :, past + best]
            layer.show(past + 1)

    def logits(self) -> Tensor:
        """The logits (rows, vocabulary) after all tokens."""
        return logits(self.model, self.states()[:, -1])

    def go_on(self, tokens: Tensor, rows: list[int]) -> None:
        """Row i goes on with tokens[i], one or several, after what row rows[i] was; of (rows,) or (rows, tokens)."""
        if rows != list(range(len(self.mask))):
            self.mask, self.lines = self.mask[rows], self.lines[rows]
            self.cache.batch_select_indices(torch.tensor(rows, device=self.mask.device))
        self.ids = tokens.view(len(rows), -1)
        self.lines = self.lines[:, -1:] + lines_before(self.model, self.ids)
        self.mask = torch.cat([self.mask, torch.ones_like(self.ids)], 1)


class Readers(Reader):
    """Those of the models of a mixture, side by side."""

    def __init__(self, model: Mixture, prompts: Sequence[list[int]]) -> None:
        self.model, self.readers = model, [Reader(own, prompts) for own in model.models]

    def states(self) -> Tensor:
        return torch.cat([reader.states() for reader in self.readers], -1)

    def go_on(self, tokens: Tensor, rows: list[int]) -> None:
        for reader in self.readers:
            reader.go_on(tokens, rows)


def reader_of(model: AnyModel, prompts: Sequence[list[int]]) -> Reader:
    return Readers(model, prompts) if isinstance(model, Mixture) else Reader(model, prompts)


@dataclass(frozen=True)
class Limits:
    """What ends a text, beside the end-of-text token and the model's context, and what it may not hold."""

    breaks: Sequence[int]  # in each token of the vocabulary
    lines: int = SONNET_LINES  # a text ends with this many line breaks, those of its prompt included
    new_tokens: int | None = None  # at most, after the prompt; None allows all that the context holds
    allowed: Callable[[Tensor, Sequence[list[int]]], Tensor] = lambda logits, _: logits  # see constraints.py

    def ended(self, prompt: Sequence[int], tokens: Sequence[int], context: int) -> bool:
        """Whether a prompt, continued by tokens, has all its line breaks or tokens."""
        breaks = sum(self.breaks[token] for token in (*prompt, *tokens))
        return breaks >= self.lines or len(tokens) >= min(context - len(prompt), self.new_tokens or context)


class Running:
    """One text a prompt; `rows`, in the order of the batch, are those that go on, all with `step` new tokens."""

    def __init__(self, prompts: Sequence[list[int]], limits: Limits, context: int, end: int) -> None:
        self.limits, self.context, self.end, self.step = limits, context, end, 0
        self.prompts, self.written = prompts, [list[int]() for _ in prompts]
        self.rows = [row for row, prompt in enumerate(prompts) if not limits.ended(prompt, [], context)]

    def so_far(self) -> list[list[int]]:
        """All tokens of the texts that go on."""
        return [[*self.prompts[row], *self.written[row]] for row in self.rows]

    def append(self, tokens: Tensor) -> list[int]:
        """Write one token (rows,) each; where in the batch the texts are that go on, ordered as `in_place` does."""
        going, self.step = list[int](), self.step + 1
        for place, (row, token) in enumerate(zip(self.rows, tokens.tolist(), strict=True)):
            if token != self.end:
                self.written[row].append(token)
                ended = self.limits.ended(self.prompts[row], self.written[row], self.context)
                going += [] if ended else [place]
        kept = [going[number] for number in in_place(going)]
        self.rows = [self.rows[place] for place in kept]
        return kept


def in_place(rows: Sequence[int]) -> list[int]:
    """An order of texts that were in these rows of a batch in which as many as can be stay there: few are copied."""
    staying = {row: text for text, row in reversed([*enumerate(rows)]) if row < len(rows)}
    others = iter(sorted(set(range(len(rows))) - set(staying.values())))
    return [staying[row] if row in staying else next(others) for row in range(len(rows))]


@torch.inference_mode()
def decode(
    models: Sequence[AnyModel], prompts: Sequence[list[int]], limits: Limits, choose: Callable[..., Tensor]
) -> list[list[int]]:
    """The new tokens of each prompt, of which none is empty, without the end-of-text token.

    The models are in evaluation mode and have one vocabulary; each reads equal prompts once. `choose` takes the Running
    texts and each model's logits (rows, vocabulary) and gives the next tokens (rows,).
    """
    texts = Running(prompts, limits, min(map(text_length, models)), models[0].config.eos_token_id)
    if not texts.rows:
        return texts.written
    distinct = [list(prompt) for prompt in dict.fromkeys(map(tuple, texts.so_far()))]
    readers = [reader_of(model, distinct) for model in models]
    rows = [distinct.index(text) for text in texts.so_far()]
    logits = [reader.logits()[rows] for reader in readers]
    while kept := texts.append(tokens := choose(texts, *logits)):
        for reader in readers:
            reader.go_on(tokens[kept], [rows[place] for place in kept])
        rows, logits = list(range(len(kept))), [reader.logits() for reader in readers]
    return texts.written


def sample(
    model: AnyModel, prompts: Sequence[list[int]], seeds: Sequence[int], choose: Choose, limits: Limits
) -> list[list[int]]:
    """Ancestral sampling, as `decode`: `choose` picks each token with numbers of a stream with the text's seed."""
    texts: list[list[int]] = []
    for first in range(0, len(prompts), ROWS_PER_BATCH):
        own = prompts[first : first + ROWS_PER_BATCH]
        steps = min(text_length(model) - min(map(len, own)), limits.new_tokens or text_length(model))
        streams = [torch.Generator().manual_seed(seed) for seed in seeds[first : first + ROWS_PER_BATCH]]
        numbers = [torch.rand(steps, REDRAWS, generator=stream, dtype=torch.float64) for stream in streams]
        uniforms = torch.stack(numbers).to(model.device)

        def next_tokens(running: Running, logits: Tensor, uniforms: Tensor = uniforms) -> Tensor:
            return choose(limits.allowed(logits, running.so_far()), uniforms[running.rows, running.step])

        texts += decode([model], own, limits, next_tokens)
    return texts
