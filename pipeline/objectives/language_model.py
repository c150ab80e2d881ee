"""Next-token prediction, for pre-training and for sonnets."""

from typing import Any

import numpy as np
from torch import Tensor
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.data_parallel import summed
from pipeline.models.adapters import prefix_length, prefixed_states
from pipeline.models.decoder import base_of, states
from pipeline.models.output import summed_cross_entropy
from pipeline.text.batches import on_host, places


def loss(model: PreTrainedModel, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean negative log-likelihood, in nats, of every real token after the first, the end-of-text token included.

    Args:
        model: a causal language model of transformers, plain or in a peft model.
        batch: `input_ids` (batch, tokens) int64, right-padded with any token; `lengths` (batch,) int64.

    The padding is told apart by `lengths`, not by its token: it is the end-of-text token, which must be learnt where it
    ends a text. The vocabulary projection is computed only where there is something to predict.
    """
    ids, lengths = batch["input_ids"], on_host(batch, "lengths")
    total = summed(lambda rows: _negative_log_likelihood(model, ids[rows], lengths[rows]), len(ids))
    return total / int((lengths - 1).sum()), {}


def _negative_log_likelihood(model: PreTrainedModel, ids: Tensor, lengths: np.ndarray) -> Tensor:
    """The sum, float32, over ids (batch, tokens) of lengths (batch,)."""
    hidden = prefixed_states(model, ids) if prefix_length(model) else states(base_of(model), ids)[-1]
    predicts = places(np.arange(ids.shape[1]) < lengths[:, None] - 1, ids.device)
    return summed_cross_entropy(model, hidden.flatten(0, 1)[predicts], ids.flatten()[predicts + 1])
