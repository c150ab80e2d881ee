"""Backend `marian`: neural translation on this machine (MarianMT).

Marian: Junczys-Dowmunt et al. 2018, https://aclanthology.org/P18-4020. The OPUS-MT models, one per direction:
Tiedemann & Thottingal 2020, https://aclanthology.org/2020.eamt-1.61. They come from the hub or from a local folder, as
safetensors only, and run on the GPU in bf16 where there is one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from torch.nn.utils.rnn import pad_sequence
from transformers.models.marian.configuration_marian import MarianConfig
from transformers.models.marian.modeling_marian import MarianMTModel
from transformers.models.marian.tokenization_marian import MarianTokenizer

from pipeline.augment.hub import folder_digest, hub_commit
from pipeline.config.augmentation import Marian
from pipeline.errors import InputError

Loaded = TypeVar("Loaded")
FILES = ("*.safetensors", "*.json", "*.spm")  # weights, configuration, vocabulary


class MarianTranslator:
    """Translates in batches of similar length, greedily or by beam search; nothing is sampled."""

    name = "marian"
    batch_size = 128

    def __init__(self, params: Marian) -> None:
        self._params = params
        self._loaded: dict[str, tuple[MarianTokenizer, MarianMTModel]] = {}

    def revision(self, source: str, target: str) -> str:
        """The model (name and commit on the hub, digest of a local folder) and the number of beams."""
        model = self._model_name(source, target)
        if Path(model).is_dir():
            version = f"sha256:{folder_digest(Path(model), FILES)}"
        else:
            version = f"{model}@{hub_commit(model, self._params.revision)}"
        return f"{version} beams={self._params.beams}"

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Translate; None for a text of more than `max_length` tokens (or than the model has positions)."""
        tokenizer, model = self._load(self._model_name(source, target))
        limit = min(self._params.max_length, model.config.max_position_embeddings)
        tokens = tokenizer(list(texts))["input_ids"]
        translations: list[str | None] = [None] * len(texts)
        for batch in self._batches([len(ids) if len(ids) <= limit else None for ids in tokens]):
            for index, ids in zip(batch, self._generate(model, [tokens[index] for index in batch], limit), strict=True):
                translations[index] = tokenizer.decode(ids, skip_special_tokens=True).strip() or None
        return translations

    def _generate(self, model: MarianMTModel, tokens: Sequence[list[int]], limit: int) -> list[list[int]]:
        """Source tokens -> target tokens, with padding and special tokens."""
        ids = pad_sequence([torch.tensor(row) for row in tokens], batch_first=True, padding_value=-1)
        inputs = {
            "input_ids": ids.masked_fill(ids == -1, model.config.pad_token_id),
            "attention_mask": (ids != -1).long(),
        }
        try:
            with torch.inference_mode():
                moved = {name: value.to(model.device) for name, value in inputs.items()}
                output = model.generate(**moved, num_beams=self._params.beams, do_sample=False, max_new_tokens=limit)
        except torch.OutOfMemoryError:
            raise InputError(
                "back_translation.translator.marian.tokens_per_batch: the GPU's memory is full: lower it and run again"
            ) from None
        return output.tolist()

    def _batches(self, lengths: Sequence[int | None]) -> list[list[int]]:
        """Indices of the texts that have a length, longest first, with at most `tokens_per_batch` padded tokens."""
        known = {index: length for index, length in enumerate(lengths) if length is not None}
        batches: list[list[int]] = []
        for index in sorted(known, key=lambda index: (-known[index], index)):
            if not batches or (len(batches[-1]) + 1) * known[batches[-1][0]] > self._params.tokens_per_batch:
                batches.append([])
            batches[-1].append(index)
        return batches

    def _load(self, model: str) -> tuple[MarianTokenizer, MarianMTModel]:
        if model not in self._loaded:
            device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
            config = self._from_pretrained(MarianConfig.from_pretrained, model)
            if config.architectures != ["MarianMTModel"]:  # a missing config.json gives transformers' default one
                raise InputError(f"{model}: config.json is missing or not that of a MarianMT model")
            options = {"config": config, "dtype": dtype, "use_safetensors": True, "output_loading_info": True}
            network, loading = self._from_pretrained(MarianMTModel.from_pretrained, model, **options)
            if loading["missing_keys"]:
                raise InputError(
                    f"{model}: the weights lack {', '.join(sorted(loading['missing_keys']))}: get it again"
                )
            tokenizer = self._from_pretrained(MarianTokenizer.from_pretrained, model)
            self._loaded[model] = (tokenizer, network.to(device).eval())
        return self._loaded[model]

    def _from_pretrained(self, load: Callable[..., Loaded], model: str, **options: object) -> Loaded:
        where = {} if Path(model).is_dir() else {"revision": self._params.revision}
        try:
            return load(model, **where, **options)
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, AssertionError, SafetensorError) as error:
            if isinstance(error, OSError) and error.errno:
                raise
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise InputError(
                f"back_translation.translator.marian: {model} cannot be loaded ({reason}): expected a MarianMT model "
                "with safetensors weights and SentencePiece files, of the hub (online, or downloaded before) or in a "
                "local folder"
            ) from None

    def _model_name(self, source: str, target: str) -> str:
        return self._params.model.format(source=source, target=target)
