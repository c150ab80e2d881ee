"""Ancestral sampling of many texts at once: one batch for all prompts, a KV cache, one random stream a text.

Every text draws from its own stream of uniform numbers, so that what it becomes does not depend on the batch it shares.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.running import Limits, Running, decode
from pipeline.models.adapters import text_length

ROWS_PER_BATCH = 256
REDRAWS = 16  # uniform numbers a step; see pipeline/decoding/top_p.py
Choose = Callable[[Tensor, Tensor], Tensor]  # logits (rows, vocabulary), uniforms (rows, REDRAWS) -> tokens (rows,)


def sample(
    model: GPT2LMHeadModel, prompts: Sequence[list[int]], seeds: Sequence[int], choose: Choose, limits: Limits
) -> list[list[int]]:
    """Continue each prompt until the end-of-text token, a limit or the end of the model's context.

    Args:
        model: in evaluation mode.
        prompts: token ids; none empty.
        seeds: one a prompt, below 2**63.
        choose: picks the next tokens.

    Returns:
        The new tokens of each prompt, without the end-of-text token.
    """
    texts: list[list[int]] = []
    for start in range(0, len(prompts), ROWS_PER_BATCH):
        rows = slice(start, start + ROWS_PER_BATCH)
        texts += _sample_batch(model, prompts[rows], seeds[rows], choose, limits)
    return texts


def _sample_batch(
    model: GPT2LMHeadModel, prompts: Sequence[list[int]], seeds: Sequence[int], choose: Choose, limits: Limits
) -> list[list[int]]:
    steps = max(limits.room(prompt, text_length(model)) for prompt in prompts)
    uniforms = torch.stack([_stream(seed, steps) for seed in seeds]).to(model.device)

    def next_tokens(texts: Running, logits: Tensor) -> Tensor:
        return choose(texts.allowed(logits), uniforms[texts.rows, texts.step])

    return decode([model], prompts, limits, next_tokens)


def _stream(seed: int, steps: int) -> Tensor:
    """(steps, REDRAWS) float64 uniform numbers of one text."""
    return torch.rand(steps, REDRAWS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
