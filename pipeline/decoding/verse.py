"""Verse: line by line, for rhyme and metre first and then for likelihood; ours.

For each line of ABAB CDCD EFEF GG, `candidates` lines are sampled. Where the line must rhyme with an earlier one, the
last word of every candidate becomes the likeliest rhyming word after the rest of it. Of the candidates, the one
nearest to ten syllables is kept, of those the one with the highest mean log-probability of a token; where a later line
must rhyme, only lines count that end in a word with a rhyme, if there are any.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence, Set
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import begin, output_head, positions
from pipeline.decoding.constraints import visible
from pipeline.decoding.poems import newlines_per_token, stream_seed
from pipeline.decoding.sampling import Choose, Constrain, sample
from pipeline.evaluation.verse import RHYME_PAIRS, rhyming_parts, syllables
from pipeline.models.adapters import text_length
from pipeline.text.batches import pad
from pipeline.text.prepared import GIVEN_LINES, SONNET_LINES, Poem, word_matches
from pipeline.text.prompts import end_of_text

SYLLABLES = 10  # of a line in iambic pentameter
PARTNERS = {second: first for first, second in RHYME_PAIRS}
ROWS = 32  # read in one pass: (rows, tokens, vocabulary) numbers are held
DECIMALS = 4  # of a mean log-probability: the last bits depend on the batch


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


class Reader(NamedTuple):
    """A language model and what it reads with."""

    model: GPT2LMHeadModel
    head: Callable[[Tensor], Tensor]
    tokenizer: Tokenizer
    rhymes: Rhymes


@torch.inference_mode()
def verse(
    model: GPT2LMHeadModel,
    tokenizer: Tokenizer,
    poems: Sequence[Poem],
    candidates: int,
    choose: Choose,
    seed: int,
    forbidden: Set[str],
    constrain: Constrain | None = None,
) -> list[str]:
    """The whole text of each poem; shorter than 14 lines where the model's context ends or no line can be used.

    Args:
        model: in evaluation mode.
        poems: their prompts are the given lines.
        candidates: lines sampled for each line.
        choose, constrain: see pipeline/decoding/sampling.py.
        forbidden: lines that may not be used, such as those of training poems.
    """
    newlines, end = newlines_per_token(tokenizer), end_of_text(tokenizer)
    reader = Reader(model, output_head(model), tokenizer, Rhymes(tokenizer))
    texts = [poem.prompt.split("\n") for poem in poems]
    active = list(range(len(poems)))
    for place in range(GIVEN_LINES, SONNET_LINES):
        prompts = {number: [end, *tokenizer.encode("\n".join(texts[number]) + "\n").ids] for number in active}
        active = [number for number in active if len(prompts[number]) < text_length(model)]
        jobs = [(number, draw) for draw in range(candidates) for number in active]
        seeds = [stream_seed(seed, poems[number].id, place * candidates + draw) for number, draw in jobs]
        rows = [prompts[number] for number, _ in jobs]
        sampled = sample(model, rows, seeds, choose, newlines, place + 1, None, constrain)
        lines: dict[int, list[Line]] = {number: [] for number in active}
        for (number, _), tokens in zip(jobs, sampled, strict=True):
            line = split(visible(tokenizer.decode(tokens)).split("\n")[0].strip())
            if line:
                lines[number].append(line)
        for number in active:
            best = _best(reader, prompts[number], lines[number], texts[number], forbidden)
            texts[number] += [best] if best else []
        active = [number for number in active if len(texts[number]) > place]
    return ["\n".join(lines) for lines in texts]


def _best(
    reader: Reader, prompt: list[int], lines: Sequence[Line], poem: Sequence[str], forbidden: Set[str]
) -> str | None:
    """The next line of `poem`; None if none of the candidates can be used."""
    place = len(poem)
    partner = split(poem[PARTNERS[place]]) if place in PARTNERS else None
    wanted = reader.rhymes.of(partner.word) if partner else []
    scored = _rhymed(reader, prompt, lines, wanted) if wanted and lines else _scored(reader, prompt, lines)
    usable = [(line, score) for line, score in scored if line.text not in forbidden and line.text not in poem]
    if place in PARTNERS.values():
        usable = [(line, score) for line, score in usable if reader.rhymes.of(line.word)] or usable
    ranked = sorted(usable, key=lambda item: (abs(syllables(item[0].text) - SYLLABLES), -item[1]))
    return ranked[0][0].text if ranked else None


def split(line: str) -> Line | None:
    """A line at its last word; None if it has none."""
    words = word_matches(line)
    if not words:
        return None
    start, end = words[-1].span()
    return Line(line[:start], line[start:end], line[end:])


def _rhymed(
    reader: Reader, prompt: list[int], lines: Sequence[Line], wanted: Sequence[int]
) -> list[tuple[Line, float]]:
    """The lines with the likeliest of the `wanted` tokens as their last word, and their mean log-probabilities."""
    starts = [reader.tokenizer.encode(line.start.rstrip()).ids for line in lines]
    sums, following = _read(reader, prompt, starts)
    likeliest = following[:, list(wanted)].max(1)
    places, values = likeliest.indices.tolist(), likeliest.values.tolist()
    words = [reader.rhymes.words[wanted[place]] for place in places]
    return [
        (Line(f"{line.start.rstrip()} ".lstrip(), word, line.rest), round((total + last) / (len(start) + 1), DECIMALS))
        for line, word, start, total, last in zip(lines, words, starts, sums, values, strict=True)
    ]


def _scored(reader: Reader, prompt: list[int], lines: Sequence[Line]) -> list[tuple[Line, float]]:
    """The lines and the mean log-probabilities of their tokens."""
    tokens = [reader.tokenizer.encode(line.text).ids for line in lines]
    sums, _ = _read(reader, prompt, tokens)
    return [(line, round(total / len(ids), DECIMALS)) for line, ids, total in zip(lines, tokens, sums, strict=True)]


def _read(reader: Reader, prompt: list[int], texts: Sequence[list[int]]) -> tuple[list[float], Tensor]:
    """The log-probability of each text after the prompt, and those of its next token, (texts, vocabulary)."""
    gpt2, device = reader.model.transformer, reader.model.device
    sums: list[float] = []
    following = [torch.empty(0, reader.model.config.vocab_size, device=device)]
    for first in range(0, len(texts), ROWS):
        rows = texts[first : first + ROWS]
        ids, mask, cache = begin(reader.model, [prompt])
        opening = gpt2(
            ids, attention_mask=mask, position_ids=positions(mask, ids.shape[1]), past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1:]
        cache.batch_select_indices(torch.zeros(len(rows), dtype=torch.int64, device=device))
        tokens, _ = pad([text or [0] for text in rows])
        tokens, lengths = tokens.to(device), torch.tensor([len(text) for text in rows], device=device)
        mask = mask.new_ones(len(rows), mask.shape[1] + tokens.shape[1])
        hidden = gpt2(
            tokens,
            attention_mask=mask,
            position_ids=positions(mask, tokens.shape[1]).clamp(max=reader.model.config.n_positions - 1),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        likelihoods = reader.head(torch.cat([opening.expand(len(rows), -1, -1), hidden], 1)).log_softmax(-1)
        own = likelihoods[:, :-1].gather(2, tokens[..., None])[..., 0].double()
        real = torch.arange(tokens.shape[1], device=device) < lengths[:, None]
        sums += own.where(real, 0).sum(1).tolist()
        following.append(likelihoods[torch.arange(len(rows), device=device), lengths])
    return sums, torch.cat(following)
