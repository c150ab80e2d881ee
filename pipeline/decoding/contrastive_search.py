"""Contrastive search, Su et al. 2022 (https://arxiv.org/abs/2202.06417): likely, yet unlike what was written before.

Of the k likeliest tokens v, the one with the highest (1 - alpha) * p(v) - alpha * s(v) is written, where s(v) is the
largest cosine between the hidden state of v and those of all tokens before it. The k candidates of every text run in
one pass, as siblings over one shared cache: each sees the text and itself, and only the chosen one stays in the cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import begin, output_head, positions
from pipeline.decoding.constraints import ban_repeated
from pipeline.decoding.sampling import Constrain
from pipeline.models.adapters import text_length

DYNAMIC_STEPS = 128  # after which `dynamic_alpha` has grown to alpha, as in the student report


@dataclass(frozen=True)
class ContrastiveSearch:
    """Options; with their defaults it is the paper's method.

    dynamic_alpha: alpha grows linearly over the first 128 tokens.
    mean_similarity: the mean over the earlier tokens instead of the largest cosine.
    repetition_penalty: CTRL's (Keskar et al. 2019); 1 is none.
    no_repeat_ngram: no n-gram of so many tokens occurs twice; 0 allows all.
    """

    k: int
    alpha: float
    dynamic_alpha: bool = False
    mean_similarity: bool = False
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0


@torch.inference_mode()
def contrastive_search(
    model: GPT2LMHeadModel,
    prompts: Sequence[list[int]],
    options: ContrastiveSearch,
    newlines: Tensor,
    max_lines: int,
    constrain: Constrain | None = None,
    max_new_tokens: int | None = None,
) -> list[list[int]]:
    """Continue each prompt until the end-of-text token, the line limit or the end of the model's context.

    Args:
        model: in evaluation mode.
        prompts: token ids; none empty.
        newlines: (vocabulary,) int64, the line breaks in each token.
        max_lines: a text ends with this many line breaks, those of its prompt included.
        constrain: see pipeline/decoding/constraints.py.
        max_new_tokens: stop earlier than the context does.

    Returns:
        The new tokens of each prompt, without the end-of-text token.
    """
    written: list[list[int]] = [[] for _ in prompts]
    if not prompts:
        return written
    device, end, context = model.device, model.config.eos_token_id, text_length(model)
    newlines = newlines.to(device)
    head = output_head(model)
    ids, mask, cache = begin(model, prompts)
    texts, rows = [list(prompt) for prompt in prompts], torch.arange(len(prompts), device=device)
    real = mask[:, -ids.shape[1] :]  # without the model's prefix, which has no hidden states
    open_lines, lengths = max_lines - (newlines[ids] * real).sum(1), real.sum(1)
    states = model.transformer(
        ids, attention_mask=mask, position_ids=positions(mask, ids.shape[1]), past_key_values=cache, use_cache=True
    ).last_hidden_state
    going = ((open_lines > 0) & (lengths < context)).nonzero()[:, 0]
    cache.batch_select_indices(going)
    for step in range(max_new_tokens or context):
        rows, open_lines, lengths = rows[going], open_lines[going], lengths[going]
        mask, states = mask[going], states[going]
        if not len(rows):
            break
        so_far = [texts[row] for row in rows.tolist()]
        logits = head(states[:, -1])
        logits = penalise(constrain(logits, so_far) if constrain else logits, so_far, options)
        probabilities, tokens = logits.softmax(-1).topk(options.k)
        siblings = _siblings(model, tokens, mask, cache)
        alpha = options.alpha * (min(1.0, (step + 1) / DYNAMIC_STEPS) if options.dynamic_alpha else 1.0)
        similarity = _similarity(siblings, states, mask[:, -states.shape[1] :], options.mean_similarity)
        scores = (1 - alpha) * probabilities - alpha * similarity
        best = scores.masked_fill(probabilities == 0, -torch.inf).argmax(1)  # less than k tokens may be left
        chosen = tokens.gather(1, best[:, None])[:, 0]
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            if token != end:
                texts[row].append(token)
                written[row].append(token)
        open_lines, lengths = open_lines - newlines[chosen], lengths + 1
        mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
        states = torch.cat([states, siblings[torch.arange(len(best), device=device), best][:, None]], 1)
        going = ((chosen != end) & (open_lines > 0) & (lengths < context)).nonzero()[:, 0]
        for layer in cache.layers:
            layer.keep_one(best, options.k)
        if len(going) < len(rows):
            cache.batch_select_indices(going)
    return written


def penalise(logits: Tensor, texts: Sequence[list[int]], options: ContrastiveSearch) -> Tensor:
    """Logits (rows, vocabulary) after the repetition penalty and the ban on repeated n-grams."""
    if options.repetition_penalty != 1.0:
        logits = repetition_penalty(logits, texts, options.repetition_penalty)
    return ban_repeated(logits, texts, options.no_repeat_ngram) if options.no_repeat_ngram else logits


def repetition_penalty(logits: Tensor, texts: Sequence[list[int]], penalty: float) -> Tensor:
    """CTRL's penalty, once for each token that a text holds: (rows, vocabulary) logits.

    A positive logit is divided and a negative one multiplied, so that either becomes less likely (Keskar et al. 2019,
    https://arxiv.org/abs/1909.05858, states the positive case only).
    """
    seen = torch.zeros_like(logits, dtype=torch.bool)
    for row, text in enumerate(texts):
        seen[row, text] = True
    lowered = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, lowered, logits)


def _siblings(model: GPT2LMHeadModel, tokens: Tensor, mask: Tensor, cache: DynamicCache) -> Tensor:
    """Hidden states (rows, k, width) of k next tokens (rows, k), each after the text in `cache`, blind to the others.

    The cache grows by k entries.
    """
    rows, k = tokens.shape
    past = mask.bool()[:, None, :].expand(rows, k, -1)
    itself = torch.eye(k, dtype=torch.bool, device=tokens.device).expand(rows, k, k)
    hidden = torch.finfo(model.dtype).min
    bias = torch.zeros(rows, 1, k, past.shape[2] + k, dtype=model.dtype, device=tokens.device)
    bias = bias.masked_fill(~torch.cat([past, itself], 2)[:, None], hidden)
    return model.transformer(
        tokens,
        attention_mask=bias,
        position_ids=mask.sum(1, keepdim=True).expand(rows, k),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state


def _similarity(siblings: Tensor, states: Tensor, mask: Tensor, mean: bool) -> Tensor:
    """Largest (or mean) cosine (rows, k) of candidates (rows, k, width) to the states (rows, tokens, width) before."""
    normalize = torch.nn.functional.normalize
    cosines = normalize(siblings, dim=-1) @ normalize(states, dim=-1).transpose(1, 2)
    if mean:
        return (cosines * mask[:, None]).sum(2) / mask.sum(1, keepdim=True)
    return cosines.masked_fill(mask[:, None] == 0, -torch.inf).amax(2)
