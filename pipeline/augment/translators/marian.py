"""Backend `marian`: neural translation on this machine (MarianMT).

Marian: Junczys-Dowmunt et al. 2018, https://aclanthology.org/P18-4020. The OPUS-MT models, one per direction:
Tiedemann & Thottingal 2020, https://aclanthology.org/2020.eamt-1.61. They come from the hub or from a local folder, as
safetensors only, and run on the GPU in bf16 where there is one.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers.models.marian.configuration_marian import MarianConfig
from transformers.models.marian.modeling_marian import MarianMTModel
from transformers.models.marian.tokenization_marian import MarianTokenizer

from pipeline.augment.hub import folder_digest, hub_commit, loading, refuse_missing
from pipeline.config.augmentation import Marian
from pipeline.errors import InputError
from pipeline.text.batches import batches_by_length

EXPECTED = (
    "a MarianMT model with safetensors weights and SentencePiece files, of the hub (online, or downloaded before) or "
    "in a local folder"
)
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
        tokens = {index: ids for index, ids in enumerate(tokenizer(list(texts))["input_ids"]) if len(ids) <= limit}
        places = list(tokens)
        translations: list[str | None] = [None] * len(texts)
        for batch in batches_by_length(list(tokens.values()), self._params.tokens_per_batch):
            inputs = tokenizer.pad({"input_ids": [tokens[places[row]] for row in batch]}, return_tensors="pt")
            for row, ids in zip(batch, self._generate(model, inputs, limit), strict=True):
                translations[places[row]] = tokenizer.decode(ids, skip_special_tokens=True).strip() or None
        return translations

    @torch.inference_mode()
    def _generate(self, model: MarianMTModel, inputs: dict[str, torch.Tensor], limit: int) -> list[list[int]]:
        """Source tokens (batch, longest) -> target tokens, with padding and special tokens."""
        moved = {name: value.to(model.device) for name, value in inputs.items()}
        try:
            output = model.generate(**moved, num_beams=self._params.beams, do_sample=False, max_new_tokens=limit)
        except torch.OutOfMemoryError:
            raise InputError(
                "back_translation.translator.marian.tokens_per_batch: the GPU's memory is full: lower it and run again"
            ) from None
        return output.tolist()

    def _load(self, name: str) -> tuple[MarianTokenizer, MarianMTModel]:
        if name not in self._loaded:
            device, dtype = ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
            where = {} if Path(name).is_dir() else {"revision": self._params.revision}
            options = {"dtype": dtype, "use_safetensors": True, "output_loading_info": True}
            with loading(f"back_translation.translator.marian: {name}", EXPECTED):
                config = MarianConfig.from_pretrained(name, **where)
                if config.architectures != ["MarianMTModel"]:  # a missing config.json gives transformers' default one
                    raise ValueError("config.json is missing or not that of a MarianMT model")
                tokenizer = MarianTokenizer.from_pretrained(name, **where)
                model, report = MarianMTModel.from_pretrained(name, config=config, **where, **options)
            refuse_missing(name, report["missing_keys"])
            self._loaded[name] = (tokenizer, model.to(device).eval())
        return self._loaded[name]

    def _model_name(self, source: str, target: str) -> str:
        return self._params.model.format(source=source, target=target)
