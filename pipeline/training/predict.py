"""Class probabilities of many prompts: sorted by length, batched by tokens, given back in the order asked.

Several processes share the batches, which are those of one process: so are the results, to the last bit.
"""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm
from transformers.modeling_utils import PreTrainedModel

from pipeline.compute.processes import shared
from pipeline.compute.reproducible import autocast
from pipeline.text.batches import batches_by_length, collate, to_device

SHORT = 10  # seconds; what takes longer shows a progress bar


def predict(model: PreTrainedModel, prompts: Sequence[list[int]], precision: str = "fp32") -> np.ndarray:
    """Probabilities (prompts, classes) float64 without dropout; rows sum to 1.

    Args:
        model: any device; put into evaluation mode.
        prompts: token ids, one list a prompt, none of them empty.
        precision: see pipeline/compute/reproducible.py.
    """
    model.eval()

    def probabilities(batches: Sequence[list[int]]) -> list[np.ndarray]:
        found = []
        with torch.inference_mode(), autocast(precision, model.device):
            for batch in tqdm(batches, "predict", unit="batch", leave=False, delay=SHORT):
                inputs = collate([{"input_ids": prompts[index]} for index in batch])
                logits = model(**{name: to_device(value, model.device) for name, value in inputs.items()})
                found.append(logits.double().softmax(-1))
        return [batch.cpu().numpy() for batch in found]  # only now: a GPU gets all before it is asked for a result

    batches, answers = batches_by_length(prompts), np.zeros((len(prompts), model.config.num_labels))
    for batch, found in zip(batches, shared(batches, probabilities), strict=True):
        answers[batch] = found
    return answers
