"""The forward pass of GPT-2's blocks for right-padded batches: transformers' modules and weights, less work.

Against `GPT2Model.forward` it builds no mask, draws dropout masks at less cost (pipeline/models/dropout.py), and
in the last block computes only the positions that are read. Without dropout it gives the same numbers.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention, GPT2Block, GPT2Model

from pipeline.models.dropout import dropout


def states(gpt2: GPT2Model, ids: Tensor, read: Tensor | None = None, added: Tensor | None = None) -> list[Tensor]:
    """Hidden states after the embeddings and after every block; the last one after the final layer norm too.

    Args:
        gpt2: in training mode, dropout is on.
        ids: (batch, tokens) int64, padded on the right with any token: under causal attention a real token never sees
            the padding to its right.
        read: (batch,) int64, the only position of each row that is wanted from the last block; None wants all.
        added: (batch, tokens, width), what is added to the embeddings.

    Returns:
        blocks + 1 tensors (batch, tokens, width); with `read` the last one is (batch, 1, width).
    """
    hidden = gpt2.wte(ids) + gpt2.wpe.weight[: ids.shape[1]]
    hidden = gpt2.drop(hidden if added is None else hidden + added)
    found = [hidden]
    for block in gpt2.h:
        run = getattr(block, "compiled", _block) if block.training else _block
        hidden = run(block, hidden, read if block is gpt2.h[-1] else None)
        found.append(hidden)
    found[-1] = gpt2.ln_f(hidden)
    return found


def use_compiled_blocks(model: nn.Module) -> None:
    """Let `states` train with kernels that fuse what lies between a block's matrix products: once for all lengths."""
    compiled = torch.compile(_block, dynamic=True)
    for module in model.modules():
        if isinstance(module, GPT2Block):
            module.compiled = compiled


def _block(block: GPT2Block, hidden: Tensor, read: Tensor | None) -> Tensor:
    attention, normed = block.attn, block.ln_1(hidden)
    query, key, value = attention.c_attn(normed).split(attention.split_size, dim=2)
    seen = None
    if read is not None:
        rows = torch.arange(len(hidden), device=hidden.device)
        hidden, query = hidden[rows, read][:, None], query[rows, read][:, None]
        seen = (torch.arange(key.shape[1], device=hidden.device) <= read[:, None])[:, None, None]
    query, key, value = (
        part.unflatten(2, (attention.num_heads, attention.head_dim)).transpose(1, 2) for part in (query, key, value)
    )
    mixed = _attend(attention, query, key, value, seen).transpose(1, 2).flatten(2)
    hidden = hidden + attention.resid_dropout(attention.c_proj(mixed))
    return hidden + block.mlp(block.ln_2(hidden))


def _attend(attention: GPT2Attention, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None) -> Tensor:
    """Attention of (batch, heads, tokens, head width), causal or restricted to `seen` (batch, 1, 1, tokens) bool."""
    rate = attention.attn_dropout.p if attention.training else 0.0
    if query.is_cuda or not (rate or torch.is_grad_enabled()):
        return scaled_dot_product_attention(
            query, key, value, seen, dropout_p=rate, is_causal=seen is None, scale=attention.scaling
        )
    # In training on the CPU these lines cost less than SDPA, whose backward pass is slow and whose dropout is torch's.
    if seen is None:
        seen = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    scores = (query * attention.scaling) @ key.transpose(2, 3)
    weights = nn.functional.softmax(scores.masked_fill(~seen, -torch.inf), dim=-1)
    return dropout(weights, rate).to(value.dtype) @ value
