"""Verse: line by line, for rhyme and metre first and then for likelihood; ours.

For each line of ABAB CDCD EFEF GG, `candidates` lines are sampled. Where the line must rhyme with an earlier one, the
last word of every candidate becomes the likeliest rhyming word after the rest of it. Of the candidates, the one
nearest to ten syllables is kept, of those the one with the highest mean log-probability of a token; where a later line
must rhyme, only lines count that end in a word with a rhyme, if there are any.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.compute.processes import shared
from pipeline.config.sonnet import System
from pipeline.decoding.constraints import visible
from pipeline.decoding.running import ROWS_PER_BATCH, reader_of, sample
from pipeline.decoding.top_p import top_p
from pipeline.decoding.writer import Writer, Written, stream_seed
from pipeline.evaluation.metre import RHYME_PAIRS, rhyming_parts, syllables
from pipeline.models.adapters import text_length
from pipeline.models.output import logits, surprisals
from pipeline.text.batches import pad
from pipeline.text.prepared import GIVEN_LINES, SONNET_LINES, Generated, Poem, word_matches
from pipeline.text.prompts import begin_of_text, plain_ids

PARTNERS = {second: first for first, second in RHYME_PAIRS}
Line = tuple[str, str, str]  # what is before its last word, that word and what is behind it


class Options(System):
    decoder: Literal["verse"]
    max_new_tokens: None  # it writes whole lines
    candidates: int = Field(ge=1)  # for each line
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """One poem for each prompt that has no line of a training poem."""
    together = max(1, ROWS_PER_BATCH // options.candidates)

    def grouped(own: Sequence[Poem]) -> list[str]:
        groups = (own[first : first + together] for first in range(0, len(own), together))
        return list(chain.from_iterable(verse(writer, group, options) for group in groups))

    texts = shared(poems, grouped)
    return Written([Generated(poem.id, 0, poem.prompt, text) for poem, text in zip(poems, texts, strict=True)])


def split(line: str) -> Line | None:
    """A line at its last word; None if it has none."""
    for word in word_matches(line)[-1:]:
        return line[: word.start()], word.group(), line[word.end() :]
    return None


@torch.inference_mode()
def verse(writer: Writer, poems: Sequence[Poem], options: Options) -> list[str]:
    """The whole text of each poem; shorter than 14 lines where the model's context ends or no line can be used."""
    critic, context, limits = Critic(writer), text_length(writer.model), writer.limits(options)
    choose = partial(top_p, p=options.top_p, temperature=options.temperature)
    texts, begin = [poem.prompt.split("\n") for poem in poems], begin_of_text(writer.tokenizer)
    active = list(range(len(poems)))
    for place in range(GIVEN_LINES, SONNET_LINES):
        codes = plain_ids(writer.tokenizer, ["\n".join([*texts[number], ""]) for number in active])
        prompts = {number: [begin, *ids] for number, ids in zip(active, codes, strict=True)}
        active = [number for number in active if len(prompts[number]) < context]
        jobs = [(number, draw) for draw in range(options.candidates) for number in active]
        seeds = [stream_seed(writer.seed, poems[number].id, place * options.candidates + draw) for number, draw in jobs]
        rows = [prompts[number] for number, _ in jobs]
        sampled = sample(writer.model, rows, seeds, choose, replace(limits, lines=place + 1))
        written = [visible(writer.tokenizer.decode(tokens)).split("\n")[0].strip() for tokens in sampled]
        lines = [list(filter(None, map(split, written[offset :: len(active)]))) for offset in range(len(active))]
        best = critic.best([prompts[number] for number in active], lines, [texts[number] for number in active])
        for number, line in zip(active, best, strict=True):
            texts[number] += [line] if line else []
        active = [number for number in active if len(texts[number]) > place]
    return ["\n".join(lines) for lines in texts]


class Critic:
    """A language model that says how likely lines are, and the rhymes of its vocabulary."""

    def __init__(self, writer: Writer) -> None:
        self.model, self.tokenizer, self.forbidden = writer.model, writer.tokenizer, set(writer.training_lines())
        pieces = enumerate(self.tokenizer.decode([token]) for token in range(self.tokenizer.get_vocab_size()))
        spaced = {token: piece[1:] for token, piece in pieces if piece[:1] == " " and len(piece) > 2}
        # Words that are one token with a space in front, and their tokens by what they rhyme with.
        self.words = {token: word for token, word in spaced.items() if word.isalpha() and word.islower()}
        self.rhyming: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for token, word in self.words.items():
            for part in rhyming_parts(word):
                self.rhyming[part].append(token)

    def rhymes(self, word: str) -> list[int]:
        """The tokens of words that rhyme with a word; it does not rhyme with itself."""
        found = {token for part in rhyming_parts(word.lower()) for token in self.rhyming[part]}
        return sorted(token for token in found if self.words[token] != word.lower())

    def best(
        self, prompts: Sequence[list[int]], candidates: Sequence[Sequence[Line]], poems: Sequence[Sequence[str]]
    ) -> list[str | None]:
        """The next line of each poem, of candidates, with a last word that rhymes; None if none can be used."""
        rows, lines = [row for row, own in enumerate(candidates) for _ in own], [*chain.from_iterable(candidates)]
        wanted = [self._wanted(poem) for poem in poems]
        starts = [line[0].rstrip() if wanted[row] else "".join(line) for row, line in zip(rows, lines, strict=True)]
        tokens = plain_ids(self.tokenizer, starts)
        found: list[list[tuple[Line, float]]] = [[] for _ in poems]
        for row, line, start, ids, total, following in zip(
            rows, lines, starts, tokens, *self.read(prompts, rows, tokens), strict=True
        ):
            if words := wanted[row]:
                likeliest = following[words].max(0)
                line = (f"{start} ".lstrip(), self.words[words[likeliest.indices.item()]], line[2])
                total += likeliest.values.item()
            # Rounded: the last bits depend on the batch.
            found[row].append((line, round(total / (len(ids) + bool(words)), 4)))
        return [self._best(scored, poem) for scored, poem in zip(found, poems, strict=True)]

    def _wanted(self, poem: Sequence[str]) -> list[int]:
        """The tokens of words that rhyme with the line that the next one must rhyme with."""
        partner = split(poem[PARTNERS[len(poem)]]) if len(poem) in PARTNERS else None
        return self.rhymes(partner[1]) if partner else []

    def _best(self, scored: Sequence[tuple[Line, float]], poem: Sequence[str]) -> str | None:
        usable = [item for item in scored if "".join(item[0]) not in {*self.forbidden, *poem}]
        if len(poem) in PARTNERS.values():
            usable = [item for item in usable if self.rhymes(item[0][1])] or usable
        # A line in iambic pentameter has 10 syllables.
        best = min(usable, key=lambda item: (abs(syllables("".join(item[0])) - 10), -item[1]), default=None)
        return "".join(best[0]) if best else None

    def read(
        self, prompts: Sequence[list[int]], rows: list[int], texts: Sequence[list[int]]
    ) -> tuple[list[float], Tensor]:
        """The log-probability of each text after prompts[rows[i]], and those of its next token, (texts, vocabulary)."""
        if not texts:
            return [], torch.empty(0)
        reader, lengths = reader_of(self.model, prompts), [len(text) for text in texts]
        opening = reader.states()[rows, -1:]
        tokens = pad([text or [0] for text in texts])[0].to(opening.device)
        reader.go_on(tokens, rows)
        hidden = torch.cat([opening, reader.states()], 1)
        real = torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]
        losses = surprisals(self.model, hidden[:, :-1][real], tokens[real]).double()
        last = hidden[range(len(texts)), lengths]
        return [-own.sum().item() for own in losses.split(lengths)], logits(self.model, last).log_softmax(-1)
