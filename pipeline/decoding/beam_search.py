"""Beam search with length normalisation (Wu et al. 2016 name it, https://arxiv.org/abs/1609.08144) and n-gram blocking.

All beams of all prompts run in one batch over one cache. A text ends with the end-of-text token, its last allowed line
break or the end of the context. Of the 2 * beams likeliest continuations of a prompt, those that end within the first
`beams` are finished texts and the first `beams` others go on; the search ends with `beams` finished texts. The result
is ranked by log-probability / length ** length_penalty, as transformers' `generate` ranks it.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
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
    decoder: Literal["beam_search"]


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    return Written([text for text in candidates(writer, poems, options) if text.draw == 0])


def candidates(writer: Writer, poems: Sequence[Poem], options: Beams) -> list[Generated]:
    """The finished texts of each prompt, best first."""
    limits = writer.limits(options)
    return writer.search(poems, lambda prompts: beam_search(writer.model, prompts, options, limits))


class _Text(NamedTuple):
    """What a beam of a prompt has written, its log-probability and the line breaks that it may still write."""

    prompt: int
    tokens: list[int]
    total: float
    open_lines: int


@torch.inference_mode()
def beam_search(
    model: GPT2LMHeadModel, prompts: Sequence[list[int]], options: Beams, limits: Limits
) -> list[list[list[int]]]:
    """The finished texts of each prompt, best first: at least one, at most 2 * beams.

    They are new tokens without the end-of-text token; a prompt that is at its limit gives one empty text. `model` is in
    evaluation mode, no prompt is empty.
    """
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in prompts]
    room = [limits.room(prompt, text_length(model)) for prompt in prompts]
    texts = [_Text(number, [], 0.0, limits.open_lines(prompt)) for number, prompt in enumerate(prompts)]
    texts = [text for text in texts if text.open_lines > 0 and room[text.prompt] > 0]
    reader = Reader(model, [prompts[text.prompt] for text in texts]) if texts else None
    while reader and texts:
        going: list[tuple[int, _Text]] = []
        for number, sums in _continuations(reader, texts, prompts, options, limits).items():
            own: list[tuple[int, _Text]] = []
            for rank, (total, row, token) in enumerate(nlargest(2 * options.beams, sums, key=itemgetter(0))):
                before = texts[row]
                text = _Text(number, [*before.tokens, token], total, before.open_lines - limits.breaks[token])
                ended = token == model.config.eos_token_id
                if ended or text.open_lines <= 0 or len(text.tokens) >= room[number]:
                    if rank < options.beams:
                        score = total / len(text.tokens) ** options.length_penalty
                        finished[number].append((score, before.tokens if ended else text.tokens))
                elif len(own) < options.beams:
                    own.append((row, text))
            going += own if len(finished[number]) < options.beams else []
        going = [going[place] for place in in_place([row for row, _ in going])]
        texts = [text for _, text in going]
        if texts:
            tokens = torch.tensor([text.tokens[-1] for text in texts], device=model.device)
            reader.go_on(tokens, [row for row, _ in going])
    return [[text for _, text in sorted(own, key=lambda item: -item[0])] or [[]] for own in finished]


def _continuations(
    reader: Reader, texts: Sequence[_Text], prompts: Sequence[list[int]], options: Beams, limits: Limits
) -> dict[int, list[tuple[float, int, int]]]:
    """By prompt: log-probability, row and new token of the likeliest continuations of its texts."""
    logits = reader.logits()
    normaliser = logits.logsumexp(-1, keepdim=True)
    so_far = [prompts[text.prompt] + text.tokens for text in texts]
    logits = ban_repeated(limits.allowed(logits, so_far), so_far, options.no_repeat_ngram)
    # No text has more than 2 * beams of its prompt's 2 * beams likeliest continuations.
    values, tokens = logits.topk(min(2 * options.beams, logits.shape[1]))
    found: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for row, (text, scores) in enumerate(zip(texts, (values - normaliser).tolist(), strict=True)):
        pairs = zip(scores, tokens[row].tolist(), strict=True)
        found[text.prompt] += [(text.total + score, row, token) for score, token in pairs if score > -math.inf]
    return found
