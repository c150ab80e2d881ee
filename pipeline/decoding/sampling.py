"""Ancestral sampling of many texts at once: one batch for all prompts, a KV cache, one random stream a text.

Every text draws from its own stream of uniform numbers, so that what it becomes does not depend on the batch it shares.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.cache import begin, output_head, positions
from pipeline.models.adapters import text_length

ROWS_PER_BATCH = 256
REDRAWS = 16  # uniform numbers a step; see pipeline/decoding/top_p.py
Choose = Callable[[Tensor, Tensor], Tensor]  # logits (rows, vocabulary), uniforms (rows, REDRAWS) -> tokens (rows,)
Constrain = Callable[[Tensor, Sequence[list[int]]], Tensor]  # logits (rows, vocabulary), the texts so far -> logits


def sample(
    model: GPT2LMHeadModel,
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    choose: Choose,
    newlines: Tensor,
    max_lines: int,
    max_new_tokens: int | None = None,
    constrain: Constrain | None = None,
) -> list[list[int]]:
    """Continue each prompt until the end-of-text token, the line limit or the end of the model's context.

    Args:
        model: in evaluation mode.
        prompts: token ids; none empty.
        seeds: one a prompt, below 2**63.
        choose: picks the next tokens.
        newlines: (vocabulary,) int64, the line breaks in each token.
        max_lines: a text ends with this many line breaks, those of its prompt included.
        max_new_tokens: stop earlier than the context does.
        constrain: see pipeline/decoding/constraints.py.

    Returns:
        The new tokens of each prompt, without the end-of-text token.
    """
    head = output_head(model)
    texts: list[list[int]] = []
    for start in range(0, len(prompts), ROWS_PER_BATCH):
        rows = slice(start, start + ROWS_PER_BATCH)
        texts += _sample_batch(
            model, head, prompts[rows], seeds[rows], choose, newlines, max_lines, max_new_tokens, constrain
        )
    return texts


@torch.inference_mode()
def _sample_batch(
    model: GPT2LMHeadModel,
    head: Callable[[Tensor], Tensor],
    prompts: Sequence[list[int]],
    seeds: Sequence[int],
    choose: Choose,
    newlines: Tensor,
    max_lines: int,
    max_new_tokens: int | None,
    constrain: Constrain | None,
) -> list[list[int]]:
    device, end, context = model.device, model.config.eos_token_id, text_length(model)
    newlines = newlines.to(device)
    steps = min(context - min(map(len, prompts)), max_new_tokens or context)
    room = torch.tensor([context - len(prompt) for prompt in prompts], device=device)
    uniforms = torch.stack([_stream(seed, steps) for seed in seeds]).to(device)
    written = torch.full((len(prompts), steps), end, device=device)
    texts = [list(prompt) for prompt in prompts]
    rows = torch.arange(len(prompts), device=device)  # which text each row of the running batch is
    distinct = {tuple(prompt): number for number, prompt in enumerate(dict.fromkeys(map(tuple, prompts)))}
    same = torch.tensor([distinct[tuple(prompt)] for prompt in prompts], device=device)
    ids, mask, cache = begin(model, [list(prompt) for prompt in distinct])
    open_lines = (max_lines - (newlines[ids] * mask[:, -ids.shape[1] :]).sum(1))[same].where(room > 0, 0)
    for step in range(steps):
        hidden = model.transformer(
            ids,
            attention_mask=mask,
            position_ids=positions(mask, ids.shape[1]).clamp(max=model.config.n_positions - 1),  # finished rows go on
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state[:, -1]
        logits = head(hidden)
        if step == 0:  # every prompt was read once, however many texts begin with it
            logits, mask = logits[same], mask[same]
            cache.batch_select_indices(same)
        if constrain:
            logits = constrain(logits, [texts[row] for row in rows.tolist()])
        tokens = choose(logits, uniforms[rows, step]).where(open_lines > 0, end)
        written[rows, step] = tokens
        if constrain:
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
                texts[row].append(token)
        open_lines = (open_lines - newlines[tokens]).where((tokens != end) & (room[rows] > step + 1), 0)
        going = open_lines > 0
        if not going.all():
            kept = _filled(going)
            if not len(kept):
                break
            cache.batch_select_indices(kept)
            rows, open_lines, tokens, mask = rows[kept], open_lines[kept], tokens[kept], mask[kept]
        ids, mask = tokens[:, None], torch.cat([mask, mask.new_ones(len(rows), 1)], 1)
    return [[token for token in text if token != end] for text in written.tolist()]


def _filled(going: Tensor) -> Tensor:
    """Which of (rows,) bool rows go on, those at the end in the places of those that do not, so that few are copied."""
    count = int(going.sum())
    kept = torch.arange(count, device=going.device)
    kept[~going[:count]] = going[count:].nonzero()[:, 0] + count
    return kept


def _stream(seed: int, steps: int) -> Tensor:
    """(steps, REDRAWS) float64 uniform numbers of one text."""
    return torch.rand(steps, REDRAWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
