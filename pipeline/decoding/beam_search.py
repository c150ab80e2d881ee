"""Beam search with length normalisation (Wu et al. 2016 name it, https://arxiv.org/abs/1609.08144) and n-gram blocking.

A text ends with the end-of-text token, its last allowed line break or the context. Of the 2 * beams likeliest
continuations of a prompt, those that end within the first `beams` are finished texts, and the first `beams` others go
on. The search ends with `beams` finished texts, ranked by log-probability / length ** length_penalty, as transformers'.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.sonnet import System
from pipeline.decoding.constraints import ban_repeated
from pipeline.decoding.running import Limits, Reader, in_place, reader_of
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


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    return Written([text for text in candidates(writer, poems, options) if text.draw == 0])


def candidates(writer: Writer, poems: list[Poem], options: Beams) -> list[Generated]:
    """The finished texts of each prompt, best first."""
    limits = writer.limits(options)
    return writer.search(poems, lambda prompts: beam_search(writer.model, prompts, options, limits))


class _Text(NamedTuple):
    prompt: int
    row: int  # of the batch, where its tokens but the last were read
    tokens: list[int]
    total: float  # log-probability


@torch.inference_mode()
def beam_search(
    model: PreTrainedModel, prompts: Sequence[list[int]], options: Beams, limits: Limits
) -> list[list[list[int]]]:
    """The finished texts of each prompt, best first: at least one, which may be empty, at most 2 * beams.

    They are new tokens without the end-of-text token. `model` is in evaluation mode, no prompt is empty.
    """
    finished: list[list[tuple[float, list[int]]]] = [[] for _ in prompts]
    context, numbers = text_length(model), range(len(prompts))
    texts = [_Text(number, 0, [], 0.0) for number in numbers if not limits.ended(prompts[number], [], context)]
    reader = reader_of(model, [prompts[text.prompt] for text in texts]) if texts else None
    while reader and texts:
        going: list[_Text] = []
        for number, sums in _continuations(reader, texts, prompts, options, limits).items():
            own: list[_Text] = []
            for rank, (total, row, token) in enumerate(sorted(sums, key=lambda item: -item[0])[: 2 * options.beams]):
                tokens = [*texts[row].tokens, token]
                ended = token == model.config.eos_token_id
                if ended or limits.ended(prompts[number], tokens, context):
                    if rank < options.beams:
                        score = total / len(tokens) ** options.length_penalty
                        finished[number].append((score, tokens[:-1] if ended else tokens))
                elif len(own) < options.beams:
                    own.append(_Text(number, row, tokens, total))
            going += own if len(finished[number]) < options.beams else []
        texts = [going[place] for place in in_place([text.row for text in going])]
        if texts:
            new = torch.tensor([text.tokens[-1] for text in texts], device=model.device)
            reader.go_on(new, [text.row for text in texts])
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
