"""How likely poems are under a language model."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.compute.processes import shared
from pipeline.decoding.writer import encode_prompts
from pipeline.models.trunk import states
from pipeline.objectives.terms import negative_log_likelihoods
from pipeline.text.batches import pad, places
from pipeline.text.prepared import Generated, Poem
from pipeline.text.prompts import encode_documents

TOGETHER = 64  # poems in one pass


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
    batches = [by_length[start : start + TOGETHER] for start in range(0, len(poems), TOGETHER)]
    scored = shared(batches, lambda own: [score(batch) for batch in own])
    nll = dict(chain.from_iterable(scored))
    return [replace(poem, nll=nll[number]) for number, poem in enumerate(poems)]
