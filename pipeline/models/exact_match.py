"""Exact match: which tokens of a pair stand in both of its sentences.

The feature f_exact_match of DrQA (Chen et al. 2017, arXiv:1704.00051, section 3.2), of tokens instead of words and
lemmas. Under causal attention the first sentence never sees the second, and a small model learns to compare them late,
if at all; here it is told. The classifier adds a learnt vector, zero at first, to the embeddings of these tokens.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad


def shared_tokens(ids: Tensor, lengths: Tensor, template: Sequence[Sequence[int]]) -> Tensor:
    """Whether a token of one sentence stands in the other sentence too.

    Args:
        ids: (batch, tokens) int64, prompts padded on the right with any token.
        lengths: (batch,) int64, the number of real tokens of each row.
        template: the prompt's own tokens before, between and after the sentences, none of the three empty: they belong
            to no sentence.

    Returns:
        (batch, tokens) bool; false in a whole row that lacks the tokens between two sentences, such as a text alone.
    """
    before, between, after = template
    tokens = ids.shape[1]
    place = torch.arange(tokens, device=ids.device)
    beyond, found = pad(ids, (0, len(between)), value=-1), torch.ones_like(ids, dtype=torch.bool)
    for offset, token in enumerate(between):
        found &= beyond[:, offset : offset + tokens] == token
    middle = torch.where(found.any(1), found.int().argmax(1), tokens)[:, None]
    first = (place >= len(before)) & (place < middle)
    second = (place >= middle + len(between)) & (place < lengths[:, None] - len(after))
    across = (ids[:, :, None] == ids[:, None, :]) & first[:, :, None] & second[:, None, :]
    return across.any(2) | across.any(1)
