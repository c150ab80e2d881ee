"""What every decoder writes with, and how poems become prompts and new tokens become poems."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.processes import shared
from pipeline.config.sonnet import System
from pipeline.decoding.constraints import Constraints, visible
from pipeline.decoding.running import Limits
from pipeline.decoding.sampling import Choose, sample
from pipeline.errors import InputError
from pipeline.models.adapters import text_length
from pipeline.text.prepared import SONNET_LINES, Generated, Poem, lines_of, read_poems
from pipeline.text.prompts import end_of_text


class Written(NamedTuple):
    """The poems, ordered by draw, then as their prompts, and the candidates that they were chosen from, if any."""

    poems: list[Generated]
    pool: Sequence[Generated] = ()


@dataclass(frozen=True)
class Writer:
    """A system's model, in evaluation mode, and what else its decoder may need.

    training_lines: gives the lines that the model was trained on, which constraints learn from.
    backbone: loads the model that `model` was fine-tuned from.
    """

    model: GPT2LMHeadModel
    tokenizer: Tokenizer
    seed: int
    training_lines: Callable[[], Sequence[str]] = list
    backbone: Callable[[], GPT2LMHeadModel] | None = None

    @cached_property
    def breaks(self) -> list[int]:
        """The line breaks in each token."""
        return [self.tokenizer.decode([token]).count("\n") for token in range(self.tokenizer.get_vocab_size())]

    def limits(self, system: System) -> Limits:
        """The bans and limits of a system."""
        constrain = None
        if system.exact_lines or system.line_length or system.no_copy_words:
            lines = self.training_lines() if system.line_length or system.no_copy_words else []
            constrain = Constraints(self.tokenizer, lines, system.exact_lines, system.line_length, system.no_copy_words)
        return Limits(self.breaks, SONNET_LINES, system.max_new_tokens, constrain)

    def sample(
        self, poems: Sequence[Poem], draws: int, choose: Choose, limits: Limits | None = None
    ) -> list[Generated]:
        """`draws` independent continuations of every prompt, ordered by draw, then as `poems`.

        Several processes share them: a text has its own random stream, so that it does not matter who writes it.
        """
        jobs = [(draw, poem) for draw in range(draws) for poem in poems]
        prompts = encode_prompts(self.tokenizer, poems, text_length(self.model)) * draws
        seeds = [stream_seed(self.seed, poem.id, draw) for draw, poem in jobs]

        def write(part: Sequence[tuple[list[int], int]]) -> list[list[int]]:
            own, streams = [prompt for prompt, _ in part], [stream for _, stream in part]
            return sample(self.model, own, streams, choose, limits or Limits(self.breaks))

        texts = shared(list(zip(prompts, seeds, strict=True)), write)
        return [self._generated(poem, draw, tokens) for (draw, poem), tokens in zip(jobs, texts, strict=True)]

    def search(
        self, poems: Sequence[Poem], write: Callable[[Sequence[list[int]]], Sequence[list[list[int]]]]
    ) -> list[Generated]:
        """The texts that `write` finds for each prompt, ordered as `poems`, then by rank, which is their `draw`.

        Several processes share the prompts.
        """
        found = shared(encode_prompts(self.tokenizer, poems, text_length(self.model)), write)
        return [
            self._generated(poem, rank, tokens)
            for poem, texts in zip(poems, found, strict=True)
            for rank, tokens in enumerate(texts)
        ]

    def _generated(self, poem: Poem, draw: int, tokens: Sequence[int]) -> Generated:
        return Generated(poem.id, draw, poem.prompt, whole_poem(poem.prompt, self.tokenizer.decode(list(tokens))))


def chosen(poems: Sequence[Poem], pool: Sequence[Generated], choose: Callable[[Poem, list[str]], str]) -> Written:
    """One text a prompt, which `choose` makes of its candidates; several processes share the prompts."""

    def choices(own: Sequence[Poem]) -> list[Generated]:
        texts = {poem.id: [candidate.text for candidate in pool if candidate.id == poem.id] for poem in own}
        return [Generated(poem.id, 0, poem.prompt, choose(poem, texts[poem.id])) for poem in own]

    return Written(shared(poems, choices), pool)


def training_lines(folder: Path) -> list[str]:
    """The distinct lines of the sonnets, in data/prepared/sonnets, that models are trained and selected on."""
    seen = [poem for split in ("train", "select") for poem in read_poems(folder / f"{split}.jsonl")]
    return list(dict.fromkeys(line for poem in seen for line in lines_of(poem.text or "")))


def encode_prompts(tokenizer: Tokenizer, poems: Sequence[Poem], context: int) -> list[list[int]]:
    """The given lines as the model saw them in training: after an end-of-text token, ended by a line break."""
    prompts = [
        [end_of_text(tokenizer), *code.ids] for code in tokenizer.encode_batch([poem.prompt + "\n" for poem in poems])
    ]
    for poem, prompt in zip(poems, prompts, strict=True):
        if len(prompt) >= context:
            raise InputError(f"sonnet {poem.id}: its three lines fill the model's context of {context} tokens")
    return prompts


def whole_poem(prompt: str, continuation: str) -> str:
    """Prompt and continuation, at most 14 lines, without blank lines and space around lines."""
    lines = [line.strip() for line in visible(continuation).split("\n")]
    given = prompt.split("\n")
    return "\n".join([*given, *filter(None, lines)][:SONNET_LINES])


def stream_seed(seed: int, poem: int, draw: int) -> int:
    """The seed of one text's random stream; independent of batch and order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {poem} {draw}".encode()).digest()[:8], "big") >> 1
