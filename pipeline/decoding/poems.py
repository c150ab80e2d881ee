"""Sonnets from their first three lines: prompts, random streams and the text that comes out."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.processes import shared
from pipeline.decoding.constraints import visible
from pipeline.decoding.sampling import Choose, Constrain, sample
from pipeline.errors import InputError
from pipeline.models.adapters import text_length
from pipeline.models.trunk import states
from pipeline.objectives.terms import negative_log_likelihoods
from pipeline.text.batches import pad, places
from pipeline.text.prepared import SONNET_LINES, Generated, Poem
from pipeline.text.prompts import encode_documents, end_of_text

SCORED = 64  # poems in one pass


def sample_poems(
    model: GPT2LMHeadModel,
    tokenizer: Tokenizer,
    poems: Sequence[Poem],
    draws: int,
    choose: Choose,
    seed: int,
    constrain: Constrain | None = None,
    max_new_tokens: int | None = None,
) -> list[Generated]:
    """`draws` independent continuations of every prompt, ordered by draw, then as `poems`.

    Several processes share them: a text has its own random stream, so that it does not matter who writes it.
    """
    prompts = encode_prompts(tokenizer, poems, text_length(model))
    newlines = newlines_per_token(tokenizer)
    jobs = [(draw, poem) for draw in range(draws) for poem in poems]
    texts = [
        (prompt, stream_seed(seed, poem.id, draw)) for (draw, poem), prompt in zip(jobs, prompts * draws, strict=True)
    ]

    def write(part: Sequence[tuple[list[int], int]]) -> list[list[int]]:
        own, seeds = [prompt for prompt, _ in part], [stream for _, stream in part]
        return sample(model, own, seeds, choose, newlines, SONNET_LINES, max_new_tokens, constrain)

    written = shared(texts, write)
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
    lines = [line.strip() for line in visible(continuation).split("\n")]
    given = prompt.split("\n")
    return "\n".join([*given, *filter(None, lines)][:SONNET_LINES])


def stream_seed(seed: int, poem: int, draw: int) -> int:
    """The seed of one text's random stream; independent of batch and order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {poem} {draw}".encode()).digest()[:8], "big") >> 1


def submission(poems: Sequence[Generated]) -> str:
    """One poem a prompt in the course's submission format."""
    return "--Generated Sonnets-- \n\n" + "".join(f"\n{poem.id}\n{poem.text}\n\n" for poem in poems)


@torch.inference_mode()
def with_nll(model: GPT2LMHeadModel, tokenizer: Tokenizer, poems: Sequence[Generated]) -> list[Generated]:
    """The poems with the mean negative log-likelihood a token of what follows their prompts, under `model`.

    Texts are encoded as in training and cut at the model's context; the end-of-text token is not counted.
    """
    context = model.config.n_positions
    prompts = encode_prompts(tokenizer, [Poem(poem.id, poem.prompt, None) for poem in poems], context)
    documents = encode_documents(tokenizer, [poem.text for poem in poems], context + 1)

    def score(batch: Sequence[int]) -> list[tuple[int, float | None]]:
        ids = pad([documents[number][:-1] for number in batch])[0].to(model.device)
        starts = np.array([len(prompts[number]) - 1 for number in batch])
        counts = np.array([len(documents[number]) - 2 for number in batch]) - starts
        place = np.arange(ids.shape[1]) - starts[:, None]
        predicts = places((place >= 0) & (place < counts[:, None]), ids.device)
        hidden = states(model.transformer, ids)[-1].flatten(0, 1)[predicts]
        losses = negative_log_likelihoods(hidden, model.lm_head.weight, ids.flatten()[predicts + 1]).double().cpu()
        means = [own.mean().item() if len(own) else None for own in losses.split(counts.clip(0).tolist())]
        return list(zip(batch, means, strict=True))

    by_length = sorted(range(len(poems)), key=lambda number: len(documents[number]))
    batches = [by_length[start : start + SCORED] for start in range(0, len(poems), SCORED)]
    scored = shared(batches, lambda own: [score(batch) for batch in own])
    nll = dict(chain.from_iterable(scored))
    return [replace(poem, nll=nll[number]) for number, poem in enumerate(poems)]
