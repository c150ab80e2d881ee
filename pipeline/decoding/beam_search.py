"""Beam search with length normalisation (Wu et al. 2016 name it, https://arxiv.org/abs/1609.08144) and n-gram blocking.

All beams of all prompts run in one batch over one cache. A text ends with the end-of-text token, its last allowed line
break or the end of the context. Of the 2 * beams likeliest continuations of a prompt, those that end within the first
`beams` are finished texts and the first `beams` others go on; the search ends with `beams` finished texts. The result
is ranked by log-probability / length ** length_penalty, as transformers' `generate` ranks it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import nlargest
from operator import itemgetter
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.config.sonnet import System
from pipeline.decoding.cache import Reader
from pipeline.decoding.constraints import ban_repeated
from pipeline.decoding.running import Limits, in_place
from pipeline.decoding.writer import Writer, Written
from pipeline.models.adapters import text_length
from pipeline.text.prepared import Generated, Poem


class Beams(System):
    """What beam search and MBR over its texts share."""

    beams: int = Field(ge=1)
    length_penalty: float
    no_repeat_ngram: int = Field(ge=0)  # no n-gram of so many tokens occurs twice, prompt included; 0 allows all


class Options(Beams):
    """The same."""

    decoder: Literal["beam_search"]


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """The best text of each prompt."""
    return Written([text for text in candidates(writer, poems, options) if text.draw == 0])


def candidates(writer: Writer, poems: Sequence[Poem], options: Beams) -> list[Generated]:
    """The finished texts of each prompt, best first."""
    limits = writer.limits(options)
    return writer.search(poems, lambda prompts: beam_search(writer.model, prompts, options, limits))


class _Text(NamedTuple):
    """What a beam has written, the sum of its log-probabilities and the line breaks that it may still write."""

    tokens: list[int]
    total: float
    open_lines: int


@dataclass
class _Search:
    """One prompt, the tokens that its texts may have, those that run and those that are finished, with their scores."""

    prompt: list[int]
    room: int
    running: list[_Text]
    finished: list[tuple[list[int], float]] = field(default_factory=list)


@torch.inference_mode()
def beam_search(
    model: GPT2LMHeadModel, prompts: Sequence[list[int]], options: Beams, limits: Limits
) -> list[list[list[int]]]:
    """The finished texts of each prompt, best first: at least one, at most 2 * beams.

    They are new tokens without the end-of-text token; a prompt that is at its limit gives one empty text. `model` is in
    evaluation mode, no prompt is empty.
    """
    context = text_length(model)
    searches = [
        _Search(prompt, limits.room(prompt, context), [_Text([], 0.0, limits.open_lines(prompt))]) for prompt in prompts
    ]
    active = [search for search in searches if search.running[0].open_lines > 0 and search.room > 0]
    if active:
        _run(model, active, options, limits)
    return [[text for text, _ in sorted(search.finished, key=lambda item: -item[1])] or [[]] for search in searches]


def _run(model: GPT2LMHeadModel, active: list[_Search], options: Beams, limits: Limits) -> None:
    reader = Reader(model, [search.prompt for search in active])
    while active:
        logits = reader.logits()
        normaliser = logits.logsumexp(-1, keepdim=True)
        texts = [search.prompt + text.tokens for search in active for text in search.running]
        logits = ban_repeated(limits.allowed(logits, texts), texts, options.no_repeat_ngram)
        # No text has more than 2 * beams of its prompt's 2 * beams likeliest continuations.
        values, places = logits.topk(min(2 * options.beams, logits.shape[1]))
        scores, following = (values - normaliser).tolist(), places.tolist()
        parents, tokens, first, going = [], [], 0, []
        for search in active:
            rows = slice(first, first + len(search.running))
            chosen = _step(search, scores[rows], following[rows], options, limits.breaks, model.config.eos_token_id)
            if chosen:
                going.append(search)
                parents += [first + parent for parent, _ in chosen]
                tokens += [token for _, token in chosen]
            first = rows.stop
        active = going
        if active:
            reader.go_on(torch.tensor(tokens, device=model.device), parents)


def _step(
    search: _Search,
    scores: Sequence[list[float]],
    candidates: Sequence[list[int]],
    options: Beams,
    breaks: Sequence[int],
    end: int,
) -> list[tuple[int, int]]:
    """Extend one prompt's running texts by the candidates of each; (parent, token) of those that go on."""
    sums = [
        (text.total + score, parent, token)
        for parent, text in enumerate(search.running)
        for score, token in zip(scores[parent], candidates[parent], strict=True)
        if score > -math.inf
    ]
    running: list[_Text] = []
    chosen: list[tuple[int, int]] = []
    for rank, (total, parent, token) in enumerate(nlargest(2 * options.beams, sums, key=itemgetter(0))):
        before = search.running[parent]
        length = len(before.tokens) + 1
        written = before.tokens if token == end else [*before.tokens, token]
        open_lines = before.open_lines if token == end else before.open_lines - breaks[token]
        if token == end or open_lines <= 0 or length >= search.room:
            if rank < options.beams:
                search.finished.append((written, total / length**options.length_penalty))
        elif len(running) < options.beams:
            running.append(_Text(written, total, open_lines))
            chosen.append((parent, token))
    order = in_place([parent for parent, _ in chosen])
    search.running = [running[place] for place in order]
    return [] if len(search.finished) >= options.beams else [chosen[place] for place in order]
