"""Contrastive decoding, Li et al. 2023 (https://aclanthology.org/2023.acl-long.687): what an expert knows better.

The next token maximises log p_expert(v) - log p_amateur(v) among the tokens that the expert finds plausible,
p_expert(v) >= alpha * max p_expert. Here the expert is a fine-tuned model and the amateur the backbone it comes from.
The paper searches with beams; this is its greedy case. All prompts run in one batch, each model over its own cache.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.ngrams import ban_repeated
from pipeline.decoding.sampling import left_padded


@torch.inference_mode()
def contrastive_decoding(
    expert: GPT2LMHeadModel,
    amateur: GPT2LMHeadModel,
    prompts: Sequence[list[int]],
    alpha: float,
    no_repeat_ngram: int,
    newlines: Tensor,
    max_lines: int,
) -> list[list[int]]:
    """Continue each prompt until the end-of-text token, the line limit or the end of the expert's context.

    Args:
        expert, amateur: in evaluation mode, with one vocabulary.
        prompts: token ids; none empty.
        alpha: plausibility of a token relative to the expert's likeliest one, in (0, 1].
        no_repeat_ngram: no n-gram of so many tokens occurs twice, prompt included; 0 allows all.
        newlines: (vocabulary,) int64, the line breaks in each token.
        max_lines: a text ends with this many line breaks, those of its prompt included.

    Returns:
        The new tokens of each prompt, without the end-of-text token.
    """
    written: list[list[int]] = [[] for _ in prompts]
    if not prompts:
        return written
    device, end, context = expert.device, expert.config.eos_token_id, expert.config.n_positions
    newlines = newlines.to(device)
    ids, mask = left_padded(prompts, device)
    rows, open_lines = torch.arange(len(prompts), device=device), max_lines - (newlines[ids] * mask).sum(1)
    models = [(model, DynamicCache(config=model.config)) for model in (expert, amateur)]
    going = ((open_lines > 0) & (mask.sum(1) < context)).nonzero()[:, 0]
    while len(going):
        rows, open_lines, ids, mask = rows[going], open_lines[going], ids[going], mask[going]
        own, other = (_next(model, ids, mask, cache) for model, cache in models)
        scores = contrast(own, other, alpha)
        if no_repeat_ngram:
            scores = ban_repeated(scores, [prompts[row] + written[row] for row in rows.tolist()], no_repeat_ngram)
        chosen = scores.argmax(1)
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            if token != end:
                written[row].append(token)
        open_lines = open_lines - newlines[chosen]
        ids, mask = chosen[:, None], torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        going = ((chosen != end) & (open_lines > 0) & (mask.sum(1) < context)).nonzero()[:, 0]
        for _, cache in models:
            cache.batch_select_indices(going)
    return written


def contrast(expert: Tensor, amateur: Tensor, alpha: float) -> Tensor:
    """Scores (rows, vocabulary) from two models' logits of that shape; minus infinity for what is not plausible."""
    own = expert.log_softmax(-1)
    plausible = own >= own.amax(-1, keepdim=True) + math.log(alpha)
    return (own - amateur.log_softmax(-1)).masked_fill(~plausible, float("-inf"))


def _next(model: GPT2LMHeadModel, ids: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    """Logits (rows, vocabulary) after `ids`, the tokens that the cache does not hold yet."""
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    hidden = model.transformer(
        ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
    ).last_hidden_state
    return model.lm_head(hidden[:, -1])
