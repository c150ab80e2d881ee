"""Class probabilities of many prompts: sorted by length, batched by tokens, given back in the order asked."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers.modeling_utils import PreTrainedModel

from pipeline.batches import batches_by_length
from pipeline.precision import autocast
from pipeline.text.batch import collate


def predict(model: PreTrainedModel, prompts: Sequence[list[int]], precision: str = "fp32") -> np.ndarray:
    """Probabilities of every class, without dropout.

    Args:
        model: any device; put into evaluation mode.
        prompts: token ids, one list a prompt, none of them empty.
        precision: see pipeline/precision.py.

    Returns:
        (prompts, classes) float64, rows sum to 1.
    """
    model.eval()
    probabilities = np.zeros((len(prompts), model.config.num_labels))
    with torch.inference_mode(), autocast(precision, model.device):
        for batch in batches_by_length(prompts):
            inputs = collate([{"input_ids": prompts[index]} for index in batch])
            logits = model(**{name: value.to(model.device) for name, value in inputs.items()})
            probabilities[batch] = logits.double().softmax(-1).cpu().numpy()
    return probabilities
