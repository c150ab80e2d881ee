"""Class probabilities of many prompts: sorted by length, batched by tokens, given back in the order asked.

Several processes share the batches, which are those of one process: so are the results, to the last bit.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import shared
from pipeline.compute.reproducible import autocast
from pipeline.text.batches import batches_by_length, collate, to_device


def predict(model: PreTrainedModel, prompts: Sequence[list[int]], precision: str = "fp32") -> np.ndarray:
    """Probabilities of every class, without dropout.

    Args:
        model: any device; put into evaluation mode.
        prompts: token ids, one list a prompt, none of them empty.
        precision: see pipeline/compute/reproducible.py.

    Returns:
        (prompts, classes) float64, rows sum to 1.
    """
    model.eval()
    batches = batches_by_length(prompts)
    probabilities = np.zeros((len(prompts), model.config.num_labels))
    for batch, found in zip(batches, shared(batches, partial(_predict, model, prompts, precision)), strict=True):
        probabilities[batch] = found
    return probabilities


def _predict(
    model: PreTrainedModel, prompts: Sequence[list[int]], precision: str, batches: Sequence[list[int]]
) -> list[np.ndarray]:
    """(batch, classes) of each of these batches of indices; a GPU gets all of them before it is asked for a result."""
    found = []
    with torch.inference_mode(), autocast(precision, model.device):
        for batch in batches:
            inputs = collate([{"input_ids": prompts[index]} for index in batch])
            logits = model(**{name: to_device(value, model.device) for name, value in inputs.items()})
            found.append(logits.double().softmax(-1))
    return [batch.cpu().numpy() for batch in found]
