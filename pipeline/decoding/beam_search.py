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
from typing import NamedTuple

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import begin, output_head, positions
from pipeline.decoding.constraints import ban_repeated
from pipeline.decoding.sampling import Constrain
from pipeline.models.adapters import text_length

BLOCK = 128  # tokens


@dataclass(frozen=True)
class BeamSearch:
    """Options. no_repeat_ngram: no n-gram of so many tokens occurs twice, prompt included; 0 allows all."""

    beams: int
    length_penalty: float
    no_repeat_ngram: int = 0


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
    model: GPT2LMHeadModel,
    prompts: Sequence[list[int]],
    options: BeamSearch,
    newlines: Tensor,
    max_lines: int,
    constrain: Constrain | None = None,
    max_new_tokens: int | None = None,
) -> list[list[list[int]]]:
    """The finished texts of each prompt, best first: at least one, at most 2 * beams.

    Args:
        model: in evaluation mode.
        prompts: token ids; none empty.
        newlines: (vocabulary,) int64, the line breaks in each token.
        max_lines: a text ends with this many line breaks, those of its prompt included.
        constrain: see pipeline/decoding/constraints.py.
        max_new_tokens: stop earlier than the context does.

    Returns:
        New tokens without the end-of-text token; a prompt that is at its limit gives one empty text.
    """
    breaks = newlines.tolist()
    context = text_length(model)
    searches = [
        _Search(
            list(prompt),
            min(context - len(prompt), max_new_tokens or context),
            [_Text([], 0.0, max_lines - sum(breaks[token] for token in prompt))],
        )
        for prompt in prompts
    ]
    active = [search for search in searches if search.running[0].open_lines > 0 and search.room > 0]
    if active:
        _run(model, active, options, breaks, constrain)
    return [[text for text, _ in sorted(search.finished, key=lambda item: -item[1])] or [[]] for search in searches]


def _run(
    model: GPT2LMHeadModel,
    active: list[_Search],
    options: BeamSearch,
    breaks: list[int],
    constrain: Constrain | None,
) -> None:
    device, end = model.device, model.config.eos_token_id
    head = output_head(model)
    ids, mask, cache = begin(model, [search.prompt for search in active])
    while active:
        hidden = model.transformer(
            ids,
            attention_mask=mask,
            position_ids=positions(mask, ids.shape[1]),
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        logits = head(hidden)
        normaliser = logits.logsumexp(-1, keepdim=True)
        if constrain or options.no_repeat_ngram:
            texts = [search.prompt + text.tokens for search in active for text in search.running]
            logits = constrain(logits, texts) if constrain else logits
            logits = ban_repeated(logits, texts, options.no_repeat_ngram) if options.no_repeat_ngram else logits
        # No text has more than 2 * beams of its prompt's 2 * beams likeliest continuations.
        values, places = likeliest(logits, min(2 * options.beams, logits.shape[1]))
        scores, candidates = (values - normaliser).tolist(), places.tolist()
        parents, tokens, first, going = [], [], 0, []
        for search in active:
            rows = slice(first, first + len(search.running))
            chosen = _step(search, scores[rows], candidates[rows], options, breaks, end)
            if chosen:
                going.append(search)
                parents += [first + parent for parent, _ in chosen]
                tokens += [token for _, token in chosen]
            first = rows.stop
        active = going
        if active:
            kept = torch.tensor(parents, device=device)
            cache.batch_select_indices(kept)
            ids = torch.tensor(tokens, device=device)[:, None]
            mask = torch.cat([mask[kept], mask.new_ones(len(kept), 1)], 1)


def likeliest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row of (rows, vocabulary) and their places, both (rows, count), as torch.topk.

    They lie in the `count` blocks of tokens with the largest maxima, which are found faster, or behind the last block.
    """
    blocks = logits.shape[1] // BLOCK
    if blocks <= count:
        found = logits.topk(count)
        return found.values, found.indices
    best = logits[:, : blocks * BLOCK].unflatten(1, (blocks, BLOCK)).amax(-1).topk(count).indices
    inside = torch.arange(BLOCK, device=logits.device)
    rest = torch.arange(blocks * BLOCK, logits.shape[1], device=logits.device).expand(len(logits), -1)
    places = torch.cat([(best[..., None] * BLOCK + inside).flatten(1), rest], 1)
    found = logits.gather(1, places).topk(count)
    return found.values, places.gather(1, found.indices)


def _step(
    search: _Search,
    scores: Sequence[list[float]],
    candidates: Sequence[list[int]],
    options: BeamSearch,
    breaks: list[int],
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
    order = _in_place([parent for parent, _ in chosen])
    search.running = [running[place] for place in order]
    return [] if len(search.finished) >= options.beams else [chosen[place] for place in order]


def _in_place(parents: Sequence[int]) -> list[int]:
    """An order of the texts that go on in which as many as can be stay in the row of their parent."""
    rows: dict[int, int] = {}  # row -> text
    for text, parent in enumerate(parents):
        if parent < len(parents):
            rows.setdefault(parent, text)
    others = iter(sorted(set(range(len(parents))) - set(rows.values())))
    return [rows[row] if row in rows else next(others) for row in range(len(parents))]
