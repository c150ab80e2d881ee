"""Backend `marian`: neural translation on this machine (MarianMT).

Marian: Junczys-Dowmunt et al. 2018, https://aclanthology.org/P18-4020. The OPUS-MT models, one per direction:
Tiedemann & Thottingal 2020, https://aclanthology.org/2020.eamt-1.61. They run on the GPU in bf16 where there is one.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from transformers.models.marian.modeling_marian import MarianMTModel
from transformers.models.marian.tokenization_marian import MarianTokenizer

from pipeline.augment.hub import folder_digest, hub_commit, load_model
from pipeline.config.augmentation import Marian
from pipeline.errors import InputError
from pipeline.text.batches import batches_by_length


class MarianTranslator:
    """Translates in batches of similar length, greedily or by beam search; nothing is sampled."""

    name = "marian"
    batch_size = 128

    def __init__(self, params: Marian) -> None:
        self.params = params

    def revision(self, source: str, target: str) -> str:
        """The model (name and commit on the hub, digest of a local folder), its code and the number of beams."""
        model = self.params.model.format(source=source, target=target)
        if Path(model).is_dir():  # its weights, configuration and vocabulary
            version = f"sha256:{folder_digest(Path(model), ('*.safetensors', '*.json', '*.spm'))}"
        else:
            version = f"{model}@{hub_commit(model, self.params.revision)}"
        code = f" into {self.params.codes[target]}" if target in self.params.codes else ""
        return f"{version}{code} beams={self.params.beams}"

    @torch.inference_mode()
    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Translate; None for a text of more than `max_length` tokens (or than the model has positions)."""
        name = self.params.model.format(source=source, target=target)
        tokenizer, model = load(name, self.params.revision)
        begin = self._begin(name, tokenizer, target)
        limit = min(self.params.max_length, model.config.max_position_embeddings)
        tokens = {
            index: ids
            for index, ids in enumerate(tokenizer([begin + text for text in texts])["input_ids"])
            if len(ids) <= limit
        }
        places = list(tokens)
        translations: list[str | None] = [None] * len(texts)
        for batch in batches_by_length(list(tokens.values()), self.params.tokens_per_batch):
            inputs = tokenizer.pad({"input_ids": [tokens[places[row]] for row in batch]}, return_tensors="pt")
            inputs = inputs.to(model.device)
            try:
                output = model.generate(**inputs, num_beams=self.params.beams, do_sample=False, max_new_tokens=limit)
            except torch.OutOfMemoryError:
                key = "back_translation.translator.marian.tokens_per_batch"
                raise InputError(f"{key}: the GPU's memory is full: lower it and run again") from None
            for row, ids in zip(batch, output.tolist(), strict=True):
                translations[places[row]] = tokenizer.decode(ids, skip_special_tokens=True).strip() or None
        return translations

    def _begin(self, name: str, tokenizer: MarianTokenizer, target: str) -> str:
        """What a model of several target languages wants before a text, such as ">>ara<< "; of others nothing."""
        if not (known := tokenizer.supported_language_codes):
            return ""
        code = f">>{self.params.codes.get(target, target)}<<"
        if code not in known:
            key = f"back_translation.translator.marian.codes.{target}"
            raise InputError(
                f"{key}: {name} has no {code}; expected one of {', '.join(known)[:120]}, without >> and <<"
            )
        return f"{code} "


@cache
def load(name: str, revision: str) -> tuple[MarianTokenizer, MarianMTModel]:
    """The tokenizer and the model of one direction."""
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    label = f"back_translation.translator.marian: {name}"
    return load_model((MarianTokenizer, MarianMTModel), name, revision, label, dtype)
