"""Models by other people, from the hub or a local folder: which version one is, and models of sentence pairs."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import InputError

if TYPE_CHECKING:  # imported when a score is missing; a run whose scores are all cached loads no model library
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Weights, configuration and every kind of vocabulary.
_MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.model", "*.spm")
# Their positions begin after the padding's index, so that two of `max_position_embeddings` cannot be used.
_OFFSET_POSITIONS = ("roberta", "camembert", "xlm-roberta", "xlm-roberta-xl")


def hub_commit(name: str, revision: str) -> str:
    """The commit behind a revision of a hub model: from the hub or, without a network, from the hub's cache."""
    if re.fullmatch(r"[0-9a-f]{40}", revision):  # a commit, which never moves, and no branch or tag
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionResolutionError

    try:
        return str(HfApi().resolve_revision(name, revision=revision).resolved)
    except (RevisionResolutionError, OSError, ValueError) as error:
        raise InputError(
            f"{name} at {revision}: is neither a folder nor a model the hub gives out ({error}); check the name, the "
            "revision and the network"
        ) from None


def folder_digest(folder: Path, patterns: Iterable[str] = _MODEL_FILES) -> str:
    """The first 16 hexadecimal digits of the SHA-256 over the names and contents of a model's files."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in folder.glob(pattern)}):
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:16]


@contextmanager
def loading(source: str, expected: str) -> Iterator[None]:
    """Turn whatever transformers raises for a model that is not there, not whole or not that kind into one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno:  # of the disk
            raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{source}: cannot be loaded ({reason}); expected {expected}") from None


def refuse_missing(source: str, missing: Iterable[str]) -> None:
    """transformers would go on with random weights."""
    if names := sorted(missing)[:3]:
        raise InputError(f"{source}: has no weights for {', '.join(names)}; get it again, or choose another model")


class PairModel:
    """Logits of sentence pairs by any `AutoModelForSequenceClassification` checkpoint with safetensors.

    Args:
        source: a hub name or a local folder.
        revision: of the hub: a commit, branch or tag. The commit behind it is what is loaded: otherwise configuration,
            weights and vocabulary might come from different versions, and for weights that are no safetensors
            transformers would ask the hub's bot to convert them.
    """

    def __init__(self, source: str, revision: str = "main") -> None:
        self._source, self._asked = source, revision

    @cached_property
    def revision(self) -> str:
        """Of a folder the digest of its files; of a hub model its name and commit."""
        return f"{self._source}@{self._commit}" if self._commit else folder_digest(Path(self._source))

    @property
    def labels(self) -> dict[int, str]:
        """The names of the logits."""
        return dict(self._loaded[0].config.id2label)

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """Logits, without dropout; a pair too long for the model loses the ends of its longer sentence.

        Returns:
            (pairs, labels) float64, in the order of `pairs`.
        """
        import torch

        from pipeline.text.batches import batches_by_length

        logits = np.zeros((len(pairs), len(self.labels)))
        if not pairs:
            return logits
        model = self._loaded[0]
        with torch.inference_mode():
            for batch in batches_by_length(self._encode(pairs)["input_ids"]):
                inputs = self._encode([pairs[index] for index in batch], padding=True, return_tensors="pt")
                logits[batch] = model(**inputs.to(model.device)).logits.double().cpu().numpy()
        return logits

    def _encode(self, pairs: Sequence[tuple[str, str]], **options: Any) -> Any:  # noqa: ANN401 - untyped there
        first, second = ([pair[side] for pair in pairs] for side in (0, 1))
        return self._loaded[1](first, second, truncation=True, max_length=self._max_length, **options)

    @cached_property
    def _max_length(self) -> int:
        model, tokenizer = self._loaded
        positions = getattr(model.config, "max_position_embeddings", 512)
        if model.config.model_type in _OFFSET_POSITIONS:
            positions -= model.config.pad_token_id + 1
        return min(positions, tokenizer.model_max_length)

    @cached_property
    def _commit(self) -> str | None:
        return None if Path(self._source).is_dir() else hub_commit(self._source, self._asked)

    @cached_property
    def _loaded(self) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        source, where = self._source, {"revision": self._commit}
        options = {"use_safetensors": True, "dtype": torch.get_default_dtype(), "output_loading_info": True}
        with loading(source, "a model with config.json, model.safetensors and a tokenizer"):
            tokenizer = AutoTokenizer.from_pretrained(source, **where)
            model, report = AutoModelForSequenceClassification.from_pretrained(source, **where, **options)
        refuse_missing(source, report["missing_keys"])
        if tokenizer.pad_token_id is None:
            raise InputError(f"{source}: the tokenizer has no padding token; choose another model")
        return model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer
