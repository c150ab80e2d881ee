"""Batches of similar length: little padding, and a bound on the memory of one batch."""

from collections.abc import Sequence

TOKENS_PER_BATCH = 8192


def batches_by_length(prompts: Sequence[list[int]]) -> list[list[int]]:
    """Indices of `prompts`, longest first, in batches of at most TOKENS_PER_BATCH padded tokens."""
    order = sorted(range(len(prompts)), key=lambda index: (-len(prompts[index]), index))
    batches: list[list[int]] = []
    for index in order:
        if not batches or (len(batches[-1]) + 1) * len(prompts[batches[-1][0]]) > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(index)
    return batches
