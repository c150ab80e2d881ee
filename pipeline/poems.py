"""Sonnets from their first three lines: prompts, random streams and the text that comes out."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.sampling import Choose, sample
from pipeline.errors import InputError
from pipeline.text.prepared import Poem
from pipeline.text.tokenizer import end_of_text

LINES = 14


@dataclass(frozen=True)
class Generated:
    """One poem: `text` is the prompt and what the system wrote."""

    id: int
    draw: int
    prompt: str
    text: str


def sample_poems(
    model: GPT2LMHeadModel, tokenizer: Tokenizer, poems: Sequence[Poem], draws: int, choose: Choose, seed: int
) -> list[Generated]:
    """`draws` independent continuations of every prompt, ordered by draw, then as `poems`."""
    prompts = encode_prompts(tokenizer, poems, model.config.n_positions)
    seeds = [stream_seed(seed, poem.id, draw) for draw in range(draws) for poem in poems]
    written = sample(model, prompts * draws, seeds, choose, newlines_per_token(tokenizer), LINES)
    jobs = [(draw, poem) for draw in range(draws) for poem in poems]
    return [generated(poem, draw, tokenizer, tokens) for (draw, poem), tokens in zip(jobs, written, strict=True)]


def generated(poem: Poem, draw: int, tokenizer: Tokenizer, tokens: Sequence[int]) -> Generated:
    """The poem that the new tokens make."""
    return Generated(poem.id, draw, poem.prompt, whole_poem(poem.prompt, tokenizer.decode(list(tokens))))


def encode_prompts(tokenizer: Tokenizer, poems: Sequence[Poem], context: int) -> list[list[int]]:
    """The given lines as the model saw them in training: after an end-of-text token, ended by a line break."""
    prompts = [
        [end_of_text(tokenizer), *code.ids] for code in tokenizer.encode_batch([poem.prompt + "\n" for poem in poems])
    ]
    for poem, prompt in zip(poems, prompts, strict=True):
        if len(prompt) >= context:
            raise InputError(f"sonnet {poem.id}: its three lines fill the model's context of {context} tokens")
    return prompts


def newlines_per_token(tokenizer: Tokenizer) -> Tensor:
    """(vocabulary,) int64: the line breaks in each token."""
    return torch.tensor([tokenizer.decode([token]).count("\n") for token in range(tokenizer.get_vocab_size())])


def whole_poem(prompt: str, continuation: str) -> str:
    """Prompt and continuation, at most 14 lines, without blank lines and space around lines."""
    lines = [line.strip() for line in _visible(continuation).split("\n")]
    given = prompt.split("\n")
    return "\n".join([*given, *filter(None, lines)][:LINES])


def stream_seed(seed: int, poem: int, draw: int) -> int:
    """The seed of one text's random stream; independent of batch and order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {poem} {draw}".encode()).digest()[:8], "big") >> 1


def submission(poems: Sequence[Generated]) -> str:
    """One poem a prompt in the course's submission format."""
    return "--Generated Sonnets-- \n\n" + "".join(f"\n{poem.id}\n{poem.text}\n\n" for poem in poems)


def _visible(text: str) -> str:
    """Without control characters other than line breaks, and without the marks of broken UTF-8."""
    return "".join(char for char in text if char == "\n" or (char.isprintable() and char != "\ufffd"))
