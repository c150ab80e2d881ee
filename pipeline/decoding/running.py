"""Texts that grow together, one token a step: what ends each, what is banned, the loop of most decoders, and sampling.

Every sampled text draws from its own stream of uniform numbers, so that what it becomes does not depend on its batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import Reader
from pipeline.models.adapters import text_length
from pipeline.text.prepared import SONNET_LINES

ROWS_PER_BATCH = 256
REDRAWS = 16  # uniform numbers a step; see pipeline/decoding/top_p.py

Constrain = Callable[[Tensor, Sequence[list[int]]], Tensor]  # logits (rows, vocabulary), the texts so far -> logits
Choose = Callable[[Tensor, Tensor], Tensor]  # logits (rows, vocabulary), uniforms (rows, REDRAWS) -> tokens (rows,)


@dataclass(frozen=True)
class Limits:
    """What ends a text, beside the end-of-text token and the model's context, and what it may not hold."""

    breaks: Sequence[int]  # in each token of the vocabulary
    lines: int = SONNET_LINES  # a text ends with this many line breaks, those of its prompt included
    new_tokens: int | None = None  # at most, after the prompt; None allows all that the context holds
    constrain: Constrain | None = None  # see pipeline/decoding/constraints.py

    def open_lines(self, text: Sequence[int]) -> int:
        """The line breaks that a text may still hold."""
        return self.lines - sum(self.breaks[token] for token in text)

    def room(self, prompt: Sequence[int], context: int) -> int:
        """The tokens that a prompt may be continued by."""
        return min(context - len(prompt), self.new_tokens or context)

    def allowed(self, logits: Tensor, texts: Sequence[list[int]]) -> Tensor:
        """Logits (rows, vocabulary) after the bans of `constrain`."""
        return self.constrain(logits, texts) if self.constrain else logits


class Running:
    """One text a prompt; `rows` are those that go on, in the order of the batch, all with `step` new tokens."""

    def __init__(self, prompts: Sequence[list[int]], limits: Limits, context: int, end: int) -> None:
        self.limits, self.end, self.step = limits, end, 0
        self.prompts, self.written = prompts, [list[int]() for _ in prompts]
        self.room = [limits.room(prompt, context) for prompt in prompts]
        self.open_lines = [limits.open_lines(prompt) for prompt in prompts]
        self.rows = [row for row in range(len(prompts)) if self.room[row] > 0 and self.open_lines[row] > 0]

    def so_far(self) -> list[list[int]]:
        """All tokens of the texts that go on."""
        return [[*self.prompts[row], *self.written[row]] for row in self.rows]

    def append(self, tokens: Tensor) -> list[int]:
        """Write one token (rows,) each; where in the batch the texts are that go on, ordered as `in_place` does."""
        going, self.step = [], self.step + 1
        for place, (row, token) in enumerate(zip(self.rows, tokens.tolist(), strict=True)):
            if token == self.end:
                continue
            self.written[row].append(token)
            self.open_lines[row] -= self.limits.breaks[token]
            if self.open_lines[row] > 0 and self.room[row] > self.step:
                going.append(place)
        kept = [going[number] for number in in_place(going)]
        self.rows = [self.rows[place] for place in kept]
        return kept


def in_place(rows: Sequence[int]) -> list[int]:
    """An order of texts that were in these rows of a batch in which as many as can be stay there: few are copied."""
    staying: dict[int, int] = {}  # row -> text
    for text, row in enumerate(rows):
        if row < len(rows):
            staying.setdefault(row, text)
    others = iter(sorted(set(range(len(rows))) - set(staying.values())))
    return [staying[row] if row in staying else next(others) for row in range(len(rows))]


@torch.inference_mode()
def decode(
    models: Sequence[GPT2LMHeadModel], prompts: Sequence[list[int]], limits: Limits, choose: Callable[..., Tensor]
) -> list[list[int]]:
    """The new tokens of each prompt, of which none is empty, without the end-of-text token.

    The models are in evaluation mode and have one vocabulary; each reads equal prompts once. `choose` takes the Running
    texts and each model's logits (rows, vocabulary) and gives the next tokens (rows,).
    """
    texts = Running(prompts, limits, min(map(text_length, models)), models[0].config.eos_token_id)
    if not texts.rows:
        return texts.written
    distinct = [list(prompt) for prompt in dict.fromkeys(map(tuple, texts.so_far()))]
    readers = [Reader(model, distinct) for model in models]
    kept = [distinct.index(text) for text in texts.so_far()]
    logits = [reader.logits()[kept] for reader in readers]
    for reader in readers:
        reader.select(kept)
    while kept := texts.append(tokens := choose(texts, *logits)):
        for reader in readers:
            reader.go_on(tokens[kept], kept)
        logits = [reader.logits() for reader in readers]
    return texts.written


def sample(
    model: GPT2LMHeadModel, prompts: Sequence[list[int]], seeds: Sequence[int], choose: Choose, limits: Limits
) -> list[list[int]]:
    """Ancestral sampling: the new tokens of each prompt, of which none is empty, as `choose` picks them.

    Its numbers are from a stream with the text's seed, below 2**63. `model` is in evaluation mode.
    """
    texts: list[list[int]] = []
    for first in range(0, len(prompts), ROWS_PER_BATCH):
        own = prompts[first : first + ROWS_PER_BATCH]
        steps = max(limits.room(prompt, text_length(model)) for prompt in own)
        streams = [torch.Generator().manual_seed(seed) for seed in seeds[first : first + ROWS_PER_BATCH]]
        numbers = [torch.rand(steps, REDRAWS, generator=stream, dtype=torch.float64) for stream in streams]
        uniforms = torch.stack(numbers).to(model.device)

        def next_tokens(running: Running, logits: Tensor, uniforms: Tensor = uniforms) -> Tensor:
            return choose(limits.allowed(logits, running.so_far()), uniforms[running.rows, running.step])

        texts += decode([model], own, limits, next_tokens)
    return texts
