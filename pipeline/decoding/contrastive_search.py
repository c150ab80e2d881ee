"""Contrastive search, Su et al. 2022 (https://arxiv.org/abs/2202.06417): likely, yet unlike what was written before.

Of the k likeliest tokens v, the one with the highest (1 - alpha) * p(v) - alpha * s(v) is written, where s(v) is the
largest cosine between the hidden state of v and those of all tokens before it. The k candidates of every text run in
one pass, as siblings over one shared cache: each sees the text and itself, and only the chosen one stays in the cache.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from pydantic import Field
from torch.nn.functional import normalize
from transformers.modeling_utils import PreTrainedModel

from pipeline.config.sonnet import System
from pipeline.decoding.constraints import ban_repeated, penalised
from pipeline.decoding.running import Limits, Reader, Running
from pipeline.decoding.writer import Writer, Written
from pipeline.models.adapters import text_length
from pipeline.models.output import logits
from pipeline.text.prepared import Poem


class Options(System):
    """With the two flags false, no penalty and all n-grams allowed it is the paper's method."""

    decoder: Literal["contrastive_search"]
    model: str  # no mixture
    k: int = Field(ge=1)
    alpha: float = Field(ge=0, le=1)
    dynamic_alpha: bool  # alpha grows linearly over the first 128 tokens, as in the student report
    mean_similarity: bool  # the mean over the earlier tokens instead of the largest cosine
    repetition_penalty: float = Field(ge=1)  # 1 is none
    no_repeat_ngram: int = Field(ge=0)  # no n-gram of so many tokens occurs twice, prompt included; 0 allows all


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    search = partial(contrastive_search, writer.model, options=options, limits=writer.limits(options))
    return Written(writer.search(poems, lambda prompts: [[text] for text in search(prompts)]))


@torch.inference_mode()
def contrastive_search(
    model: PreTrainedModel, prompts: Sequence[list[int]], options: Options, limits: Limits
) -> list[list[int]]:
    """The new tokens of each prompt; see `decode`."""
    texts = Running(prompts, limits, text_length(model), model.config.eos_token_id)
    if not texts.rows:
        return texts.written
    spared = [texts.end, *(token for token, count in enumerate(limits.breaks) if count)]
    reader = Reader(model, texts.so_far())
    states = reader.states()
    while True:
        allowed = limits.allowed(logits(model, states[:, -1]), texts.so_far())
        allowed = penalised(allowed, texts.so_far(), options.repetition_penalty, spared)
        allowed = ban_repeated(allowed, texts.so_far(), options.no_repeat_ngram)
        probabilities, tokens = allowed.softmax(-1).topk(options.k)
        alpha = options.alpha * (min(1.0, (texts.step + 1) / 128) if options.dynamic_alpha else 1.0)
        real = reader.mask[:, None, -states.shape[1] :]  # without the model's prefix, which has no states here
        siblings = reader.siblings(tokens)
        cosines = normalize(siblings, dim=-1) @ normalize(states, dim=-1).transpose(1, 2)  # (rows, k, tokens)
        largest = cosines.masked_fill(real == 0, -torch.inf).amax(2)
        similarity = (cosines * real).sum(2) / real.sum(2) if options.mean_similarity else largest
        scores = (1 - alpha) * probabilities - alpha * similarity
        best = scores.masked_fill(probabilities == 0, -torch.inf).argmax(1)  # less than k tokens may be left
        chosen = tokens.gather(1, best[:, None])[:, 0]
        if not (kept := texts.append(chosen)):
            return texts.written
        states = torch.cat([states, siblings.take_along_dim(best[:, None, None], 1)], 1)[kept]
        reader.keep_sibling(best, options.k)
        reader.go_on(chosen[kept], kept)
