"""The output layer for decoding, which multiplies by the same matrix at every step.

GPT-2 keeps this matrix as (vocabulary, width), with 50,257 rows. On a CPU the product with few rows is about 1.6 times
as fast with (width, vocabulary) in memory, its rows aligned to whole cache lines; with dozens of rows, as in a beam
search, tiles of the vocabulary make it faster again. The copy costs about as much as five steps.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

ALIGN, TILE = 64, 4096  # columns


def output_head(model: GPT2LMHeadModel) -> Callable[[Tensor], Tensor]:
    """What `model.lm_head` computes, without gradients: hidden states (..., width) to logits (..., vocabulary)."""
    weight = model.lm_head.weight.detach()
    vocabulary = len(weight)
    matrix = torch.nn.functional.pad(weight.t(), (0, -vocabulary % ALIGN))
    tile = matrix.shape[1] if matrix.is_cuda else TILE
    tiles = [columns.contiguous() for columns in matrix.split(tile, 1)]

    def head(hidden: Tensor) -> Tensor:
        logits = hidden.new_empty(*hidden.shape[:-1], matrix.shape[1])
        rows = hidden.detach().flatten(0, -2)
        for columns, place in zip(tiles, logits.flatten(0, -2).split(tile, 1), strict=True):
            torch.mm(rows, columns, out=place)
        return logits[..., :vocabulary]

    return head
