"""A foreign model of sentence pairs, from the hub or a folder: safetensors only, run in batches by length.

NLI models and BLEURT are both `AutoModelForSequenceClassification` checkpoints; they differ in how logits are read.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from pipeline.errors import InputError
from pipeline.text.batches import batches_by_length

# Their positions begin after the padding's index, so that two of `max_position_embeddings` cannot be used.
_OFFSET_POSITIONS = ("roberta", "camembert", "xlm-roberta", "xlm-roberta-xl")


class PairModel:
    """Logits of sentence pairs; `source` is a hub name with its `commit`, or a folder with None.

    A branch instead of a commit would let configuration, weights and vocabulary come from different versions, and for
    weights that are no safetensors transformers would ask the hub's bot to convert them.
    """

    def __init__(self, source: str, commit: str | None) -> None:
        try:
            config = AutoConfig.from_pretrained(source, revision=commit)
            self._tokenizer = AutoTokenizer.from_pretrained(source, revision=commit)
            model, report = AutoModelForSequenceClassification.from_pretrained(
                source,
                config=config,
                revision=commit,
                use_safetensors=True,
                dtype=torch.get_default_dtype(),
                output_loading_info=True,
            )
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise InputError(
                f"{source}: cannot be loaded ({_first_line(error)}); expected a model with config.json, "
                "model.safetensors and a tokenizer"
            ) from None
        if report["missing_keys"]:  # transformers would go on with random weights
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise InputError(f"{source}: has no weights for {missing}; expected a fine-tuned pair model")
        if self._tokenizer.pad_token_id is None:
            raise InputError(f"{source}: the tokenizer has no padding token; choose another model")
        self.labels: dict[int, str] = dict(config.id2label)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Logits, without dropout; a pair too long for the model loses the ends of its longer sentence.

        Returns:
            (pairs, labels) float64, in the order of `pairs`.
        """
        logits = np.zeros((len(pairs), len(self.labels)))
        if not pairs:
            return logits
        lengths = self._encode(pairs)["input_ids"]
        with torch.inference_mode():
            for batch in batches_by_length(lengths):
                inputs = self._encode([pairs[index] for index in batch], padding=True, return_tensors="pt")
                logits[batch] = self._model(**inputs.to(self._device)).logits.double().cpu().numpy()
        return logits

    def _encode(self, pairs: Sequence[tuple[str, str]], **options: Any) -> Any:  # noqa: ANN401 - untyped there
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        return self._tokenizer(first, second, truncation=True, max_length=self._max_length, **options)

    @cached_property
    def _max_length(self) -> int:
        config = self._model.config
        positions = getattr(config, "max_position_embeddings", 512)
        if config.model_type in _OFFSET_POSITIONS:
            positions -= config.pad_token_id + 1
        return min(positions, self._tokenizer.model_max_length)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
