"""Gate `classifier`: the project's own paraphrase model, P(yes) for the first and the second sentence in this order."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.augment.revision import folder_digest
from pipeline.errors import InputError
from pipeline.files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from pipeline.models.classifier import GPT2Classifier

_FILES = ("config.json", "model.safetensors", "tokenizer.json")


class Classifier:
    """P(yes) by a folder models/paraphrase/<row>; a prompt may be as long as the model has positions."""

    name = "classifier"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        missing = [name for name in _FILES if not (folder / name).is_file()]
        if missing:
            raise InputError(f"{folder} has no {', '.join(missing)}; run `dvc repro train_paraphrase@{folder.name}`")
        config = read_json(folder / "config.json")
        if "pooling" not in config or len(config.get("id2label", {})) not in (0, 2):
            raise InputError(f"{folder}: is no paraphrase model of this project; expected models/paraphrase/<row>")

    @cached_property
    def revision(self) -> str:
        """The digest of the folder."""
        return folder_digest(self._folder)

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """P(yes), 0 to 1, without dropout."""
        from pipeline.text.prepared import Pair
        from pipeline.text.prompts import encode_pairs
        from pipeline.training.predict import predict

        if not pairs:
            return []
        model, tokenizer = self._loaded
        prompts = encode_pairs(tokenizer, [Pair("", *pair, None) for pair in pairs], model.config.n_positions)
        return predict(model, prompts)[:, 1].tolist()

    @cached_property
    def _loaded(self) -> "tuple[GPT2Classifier, Tokenizer]":
        import torch
        from safetensors import SafetensorError

        from pipeline.models.classifier import GPT2Classifier
        from pipeline.text.tokenizer import load_tokenizer

        try:
            model = GPT2Classifier.from_pretrained(self._folder, use_safetensors=True, dtype=torch.get_default_dtype())
        except (OSError, ValueError, SafetensorError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"{self._folder}: cannot be loaded ({reason}); delete it and run `dvc repro`") from None
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return model.to(device), load_tokenizer(self._folder)
