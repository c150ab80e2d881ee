"""Next-token prediction, for pre-training and for sonnets."""

from typing import Any

import torch
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.losses.linear_cross_entropy import linear_cross_entropy
from pipeline.models.prefix import prefix_cache
from pipeline.models.trunk import states


def loss(model: GPT2LMHeadModel, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood, in nats, of every real token after the first, the end-of-text token included.

    Args:
        model: a GPT2LMHeadModel (`transformer` and `lm_head`), plain or in a peft model.
        batch: `input_ids` (batch, tokens) int64, right-padded with any token; `lengths` (batch,) int64.

    The padding is told apart by `lengths`, not by its token: it is the end-of-text token, which must be learnt where it
    ends a text. The vocabulary projection is computed only where there is something to predict.
    """
    ids, lengths = batch["input_ids"], batch["lengths"]
    prefix = prefix_cache(model, len(ids))
    if prefix is None:
        hidden = states(model.transformer, ids)[-1]
    else:
        hidden = model.transformer(ids, past_key_values=prefix, use_cache=False).last_hidden_state
    predicts = torch.arange(ids.shape[1] - 1, device=ids.device) < (lengths[:, None] - 1)
    return linear_cross_entropy(hidden[:, :-1][predicts], model.lm_head.weight, ids[:, 1:][predicts]), {}
