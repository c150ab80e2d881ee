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
    if not prompts:
        return []
    if len(prompts) > ROWS_PER_BATCH:
        first, rest = slice(ROWS_PER_BATCH), slice(ROWS_PER_BATCH, None)
        return [
            *sample(model, prompts[first], seeds[first], choose, limits),
            *sample(model, prompts[rest], seeds[rest], choose, limits),
        ]
    steps = max(limits.room(prompt, text_length(model)) for prompt in prompts)
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]
    numbers = [torch.rand(steps, REDRAWS, generator=stream, dtype=torch.float64) for stream in streams]
    uniforms = torch.stack(numbers).to(model.device)

    def next_tokens(texts: Running, logits: Tensor) -> Tensor:
        return choose(limits.allowed(logits, texts.so_far()), uniforms[texts.rows, texts.step])

    return decode([model], prompts, limits, next_tokens)
