"""Verse: line by line, for rhyme and metre first and then for likelihood; ours.

For each line of ABAB CDCD EFEF GG, `candidates` lines are sampled. Where the line must rhyme with an earlier one, the
last word of every candidate becomes the likeliest rhyming word after the rest of it. Of the candidates, the one
nearest to ten syllables is kept, of those the one with the highest mean log-probability of a token; where a later line
must rhyme, only lines count that end in a word with a rhyme, if there are any.
"""

from collections import defaultdict
from collections.abc import Sequence, Set
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.processes import shared
from pipeline.config.sonnet import System
from pipeline.decoding.cache import Reader, output_head
from pipeline.decoding.constraints import visible
from pipeline.decoding.sampling import sample
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer, Written, stream_seed
from pipeline.evaluation.metre import RHYME_PAIRS, rhyming_parts, syllables
from pipeline.models.adapters import text_length
from pipeline.text.batches import pad
from pipeline.text.prepared import GIVEN_LINES, SONNET_LINES, Generated, Poem, word_matches
from pipeline.text.prompts import end_of_text

SYLLABLES = 10  # of a line in iambic pentameter
PARTNERS = {second: first for first, second in RHYME_PAIRS}
ROWS = 32  # read in one pass: (rows, tokens, vocabulary) numbers are held
DECIMALS = 4  # of a mean log-probability: the last bits depend on the batch


class Options(System):
    """Top-p samples of each line to choose from."""

    decoder: Literal["verse"]
    max_new_tokens: None  # it writes whole lines
    candidates: int = Field(ge=1)  # for each line
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """One poem for each prompt that has no line of a training poem."""
    texts = shared(poems, lambda own: verse(writer, own, options))
    return Written([Generated(poem.id, 0, poem.prompt, text) for poem, text in zip(poems, texts, strict=True)])


class Line(NamedTuple):
    """A candidate: `start` is all before its last `word`, `rest` all behind it."""

    start: str
    word: str
    rest: str

    @property
    def text(self) -> str:
        """The whole line."""
        return self.start + self.word + self.rest


class Rhymes:
    """The words of a vocabulary that are one token with a space in front, by what they rhyme with."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.words: dict[int, str] = {}
        self.tokens: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for token in range(tokenizer.get_vocab_size()):
            piece = tokenizer.decode([token])
            word = piece[1:]
            if piece[:1] == " " and len(word) > 1 and word.isalpha() and word.islower():
                self.words[token] = word
                for part in rhyming_parts(word):
                    self.tokens[part].append(token)

    def of(self, word: str) -> list[int]:
        """The tokens that rhyme with a word; it does not rhyme with itself."""
        found = {token for part in rhyming_parts(word.lower()) for token in self.tokens[part]}
        return sorted(token for token in found if self.words[token] != word.lower())


def split(line: str) -> Line | None:
    """A line at its last word; None if it has none."""
    words = word_matches(line)
    if not words:
        return None
    start, end = words[-1].span()
    return Line(line[:start], line[start:end], line[end:])


@torch.inference_mode()
def verse(writer: Writer, poems: Sequence[Poem], options: Options) -> list[str]:
    """The whole text of each poem; shorter than 14 lines where the model's context ends or no line can be used."""
    critic, context = Critic(writer.model, writer.tokenizer), text_length(writer.model)
    forbidden, limits = set(writer.training_lines()), writer.limits(options)
    choose = partial(top_p, p=options.top_p, temperature=options.temperature)
    texts = [poem.prompt.split("\n") for poem in poems]
    active = list(range(len(poems)))
    for place in range(GIVEN_LINES, SONNET_LINES):
        prompts = {number: critic.prompt(texts[number]) for number in active}
        active = [number for number in active if len(prompts[number]) < context]
        jobs = [(number, draw) for draw in range(options.candidates) for number in active]
        seeds = [stream_seed(writer.seed, poems[number].id, place * options.candidates + draw) for number, draw in jobs]
        rows = [prompts[number] for number, _ in jobs]
        sampled = sample(writer.model, rows, seeds, choose, replace(limits, lines=place + 1))
        lines: dict[int, list[Line]] = {number: [] for number in active}
        for (number, _), tokens in zip(jobs, sampled, strict=True):
            line = split(visible(writer.tokenizer.decode(tokens)).split("\n")[0].strip())
            if line:
                lines[number].append(line)
        for number in active:
            best = critic.best(prompts[number], lines[number], texts[number], forbidden)
            texts[number] += [best] if best else []
        active = [number for number in active if len(texts[number]) > place]
    return ["\n".join(lines) for lines in texts]


class Critic:
    """A language model that says how likely lines are, and the rhymes of its vocabulary."""

    def __init__(self, model: GPT2LMHeadModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.head, self.rhymes = output_head(model), Rhymes(tokenizer)

    def prompt(self, lines: Sequence[str]) -> list[int]:
        """The tokens of a poem's first lines."""
        return [end_of_text(self.tokenizer), *self.tokenizer.encode("\n".join(lines) + "\n").ids]

    def best(self, prompt: list[int], lines: Sequence[Line], poem: Sequence[str], forbidden: Set[str]) -> str | None:
        """The next line of `poem`; None if none of the candidates can be used."""
        place = len(poem)
        partner = split(poem[PARTNERS[place]]) if place in PARTNERS else None
        wanted = self.rhymes.of(partner.word) if partner else []
        scored = self.rhymed(prompt, lines, wanted) if wanted and lines else self.scored(prompt, lines)
        usable = [(line, score) for line, score in scored if line.text not in forbidden and line.text not in poem]
        if place in PARTNERS.values():
            usable = [(line, score) for line, score in usable if self.rhymes.of(line.word)] or usable
        ranked = sorted(usable, key=lambda item: (abs(syllables(item[0].text) - SYLLABLES), -item[1]))
        return ranked[0][0].text if ranked else None

    def rhymed(self, prompt: list[int], lines: Sequence[Line], wanted: Sequence[int]) -> list[tuple[Line, float]]:
        """The lines with the likeliest of the `wanted` tokens as their last word, and their mean log-probabilities."""
        starts = [self.tokenizer.encode(line.start.rstrip()).ids for line in lines]
        sums, following = self.read(prompt, starts)
        likeliest = following[:, list(wanted)].max(1)
        scored = []
        for line, start, total, place, last in zip(
            lines, starts, sums, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True
        ):
            new = Line(f"{line.start.rstrip()} ".lstrip(), self.rhymes.words[wanted[place]], line.rest)
            scored.append((new, round((total + last) / (len(start) + 1), DECIMALS)))
        return scored

    def scored(self, prompt: list[int], lines: Sequence[Line]) -> list[tuple[Line, float]]:
        """The lines and the mean log-probabilities of their tokens."""
        tokens = [self.tokenizer.encode(line.text).ids for line in lines]
        sums, _ = self.read(prompt, tokens)
        return [(line, round(total / len(ids), DECIMALS)) for line, ids, total in zip(lines, tokens, sums, strict=True)]

    def read(self, prompt: list[int], texts: Sequence[list[int]]) -> tuple[list[float], Tensor]:
        """The log-probability of each text after the prompt, and those of its next token, (texts, vocabulary)."""
        device, sums = self.model.device, list[float]()
        following = [torch.empty(0, self.model.config.vocab_size, device=device)]
        for first in range(0, len(texts), ROWS):
            rows = texts[first : first + ROWS]
            reader = Reader(self.model, [prompt])
            opening = reader.states()[:, -1:].expand(len(rows), -1, -1)
            tokens = pad([text or [0] for text in rows])[0].to(device)
            lengths = torch.tensor([len(text) for text in rows], device=device)
            reader.go_on(tokens, [0] * len(rows))
            likelihoods = self.head(torch.cat([opening, reader.states()], 1)).log_softmax(-1)
            own = likelihoods[:, :-1].gather(2, tokens[..., None])[..., 0].double()
            real = torch.arange(tokens.shape[1], device=device) < lengths[:, None]
            sums += own.where(real, 0).sum(1).tolist()
            following.append(likelihoods[torch.arange(len(rows), device=device), lengths])
        return sums, torch.cat(following)
