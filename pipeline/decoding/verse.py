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
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.compute.processes import shared
from pipeline.config.sonnet import System
from pipeline.decoding.cache import Reader
from pipeline.decoding.constraints import visible
from pipeline.decoding.running import sample
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer, Written, stream_seed
from pipeline.evaluation.metre import RHYME_PAIRS, rhyming_parts, syllables
from pipeline.models.adapters import text_length
from pipeline.text.batches import pad
from pipeline.text.prepared import GIVEN_LINES, SONNET_LINES, Generated, Poem, word_matches
from pipeline.text.prompts import end_of_text

PARTNERS = {second: first for first, second in RHYME_PAIRS}
ROWS = 32  # read in one pass: (rows, tokens, vocabulary) numbers are held
DECIMALS = 4  # of a mean log-probability: the last bits depend on the batch
Line = tuple[str, str, str]  # its last word, what is before it and what behind it, in their order


class Options(System):
    decoder: Literal["verse"]
    max_new_tokens: None  # it writes whole lines
    candidates: int = Field(ge=1)  # for each line
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """One poem for each prompt that has no line of a training poem."""
    texts = shared(poems, lambda own: verse(writer, own, options))
    return Written([Generated(poem.id, 0, poem.prompt, text) for poem, text in zip(poems, texts, strict=True)])


def split(line: str) -> Line | None:
    """A line at its last word; None if it has none."""
    words = word_matches(line)
    if not words:
        return None
    start, end = words[-1].span()
    return line[:start], line[start:end], line[end:]


@torch.inference_mode()
def verse(writer: Writer, poems: Sequence[Poem], options: Options) -> list[str]:
    """The whole text of each poem; shorter than 14 lines where the model's context ends or no line can be used."""
    critic, context = Critic(writer), text_length(writer.model)
    forbidden, limits = set(writer.training_lines()), writer.limits(options)
    choose = partial(top_p, p=options.top_p, temperature=options.temperature)
    texts, end = [poem.prompt.split("\n") for poem in poems], end_of_text(writer.tokenizer)
    active = list(range(len(poems)))
    for place in range(GIVEN_LINES, SONNET_LINES):
        codes = writer.tokenizer.encode_batch(["\n".join([*texts[number], ""]) for number in active])
        prompts = {number: [end, *code.ids] for number, code in zip(active, codes, strict=True)}
        active = [number for number in active if len(prompts[number]) < context]
        jobs = [(number, draw) for draw in range(options.candidates) for number in active]
        seeds = [stream_seed(writer.seed, poems[number].id, place * options.candidates + draw) for number, draw in jobs]
        rows = [prompts[number] for number, _ in jobs]
        sampled = sample(writer.model, rows, seeds, choose, replace(limits, lines=place + 1))
        lines: dict[int, list[Line]] = {number: [] for number in active}
        for (number, _), tokens in zip(jobs, sampled, strict=True):
            line = split(visible(writer.tokenizer.decode(tokens)).split("\n")[0].strip())
            lines[number] += [line] if line else []
        for number in active:
            best = critic.best(prompts[number], lines[number], texts[number], forbidden)
            texts[number] += [best] if best else []
        active = [number for number in active if len(texts[number]) > place]
    return ["\n".join(lines) for lines in texts]


class Critic:
    """A language model that says how likely lines are, and the rhymes of its vocabulary.

    words: those that are one token with a space in front; rhyming: their tokens, by what they rhyme with.
    """

    def __init__(self, writer: Writer) -> None:
        self.model, self.tokenizer = writer.model, writer.tokenizer
        pieces = enumerate(self.tokenizer.decode([token]) for token in range(self.tokenizer.get_vocab_size()))
        spaced = {token: piece[1:] for token, piece in pieces if piece[:1] == " " and len(piece) > 2}
        self.words = {token: word for token, word in spaced.items() if word.isalpha() and word.islower()}
        self.rhyming: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for token, word in self.words.items():
            for part in rhyming_parts(word):
                self.rhyming[part].append(token)

    def rhymes(self, word: str) -> list[int]:
        """The tokens of words that rhyme with a word; it does not rhyme with itself."""
        found = {token for part in rhyming_parts(word.lower()) for token in self.rhyming[part]}
        return sorted(token for token in found if self.words[token] != word.lower())

    def best(self, prompt: list[int], lines: Sequence[Line], poem: Sequence[str], forbidden: Set[str]) -> str | None:
        """The next line of `poem`; None if none of the candidates can be used."""
        place = len(poem)
        partner = split(poem[PARTNERS[place]]) if place in PARTNERS else None
        wanted = self.rhymes(partner[1]) if partner else []
        scored = self.scored(prompt, lines, wanted) if lines else []
        usable = [item for item in scored if "".join(item[0]) not in {*forbidden, *poem}]
        if place in PARTNERS.values():
            usable = [item for item in usable if self.rhymes(item[0][1])] or usable
        # A line in iambic pentameter has 10 syllables.
        ranked = sorted(usable, key=lambda item: (abs(syllables("".join(item[0])) - 10), -item[1]))
        return "".join(ranked[0][0]) if ranked else None

    def scored(self, prompt: list[int], lines: Sequence[Line], wanted: Sequence[int]) -> list[tuple[Line, float]]:
        """The lines, with the likeliest of the `wanted` tokens as their last word, and their mean log-probabilities."""
        starts = [line[0].rstrip() if wanted else "".join(line) for line in lines]
        tokens = [self.tokenizer.encode(start).ids for start in starts]
        sums, following = self.read(prompt, tokens)
        if wanted:
            scores, places = (found.tolist() for found in following[:, list(wanted)].max(1))
            ends = zip(starts, places, lines, strict=True)
            lines = [(f"{start} ".lstrip(), self.words[wanted[place]], line[2]) for start, place, line in ends]
            sums = [total + last for total, last in zip(sums, scores, strict=True)]
        lengths = [len(ids) + bool(wanted) for ids in tokens]
        means = [round(total / length, DECIMALS) for total, length in zip(sums, lengths, strict=True)]
        return list(zip(lines, means, strict=True))

    def read(self, prompt: list[int], texts: Sequence[list[int]]) -> tuple[list[float], Tensor]:
        """The log-probability of each text after the prompt, and those of its next token, (texts, vocabulary)."""
        sums, following = list[float](), list[Tensor]()
        for first in range(0, len(texts), ROWS):
            rows = texts[first : first + ROWS]
            reader = Reader(self.model, [prompt])
            opening = reader.states()[:, -1:].expand(len(rows), -1, -1)
            tokens = pad([text or [0] for text in rows])[0].to(self.model.device)
            lengths = torch.tensor([len(text) for text in rows], device=self.model.device)
            reader.go_on(tokens, [0] * len(rows))
            likelihoods = reader.head(torch.cat([opening, reader.states()], 1)).log_softmax(-1)
            own = likelihoods[:, :-1].gather(2, tokens[..., None])[..., 0].double()
            real = torch.arange(tokens.shape[1], device=self.model.device) < lengths[:, None]
            sums += own.where(real, 0).sum(1).tolist()
            following.append(likelihoods[torch.arange(len(rows), device=lengths.device), lengths])
        return sums, torch.cat(following)
