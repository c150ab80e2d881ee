"""Probabilities by the trained classifiers: models/<task>/<row>, loaded with the parameters of the row."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import entry
from pipeline.config.params import load_params
from pipeline.config.tasks import Paraphrase, Sentiment
from pipeline.errors import InputError
from pipeline.evaluation.ensemble import mixed
from pipeline.evaluation.predictions import ENSEMBLES, Floats
from pipeline.files import read_json
from pipeline.models.classifier import GPT2Classifier
from pipeline.models.mtan import MtanClassifier
from pipeline.models.weights import load_weights
from pipeline.text.prepared import Pair
from pipeline.text.prompts import encode_pairs, encode_texts, load_tokenizer, swap
from pipeline.training.fine_tune import Split, probabilities
from pipeline.training.pair_rows import new_classifier

MODELS = Path("models")


def pair_probabilities(row: str, pairs: Sequence[Pair]) -> Floats:
    """(pairs, 2) probabilities of no and yes by a row of paraphrase.methods or paraphrase.ensembles.

    Those of an ensemble are the mean over its members, with the weights that its stage has written.
    """
    paraphrase = load_params().paraphrase
    if row in paraphrase.ensembles:
        members, path = paraphrase.ensembles[row].members, ENSEMBLES / row / "weights.json"
        found = np.stack([pair_probabilities(member, pairs) for member in members])
        weights = read_json(path)
        if set(weights) != set(members):
            raise InputError(f"{path}: its members are not those of params.yaml; run `dvc repro ensemble@{row}`")
        return mixed(np.array([weights[member] for member in members]), found)
    if row not in paraphrase.methods:
        known = ", ".join([*paraphrase.methods, *paraphrase.ensembles])
        raise InputError(f"params.yaml: paraphrase has no row {row!r}; it has {known}")
    settings = paraphrase.methods[row]
    model, tokenizer = load_classifier(MODELS / "paraphrase" / row, settings)
    prompts, swapped = (encode_pairs(tokenizer, order, settings.max_length) for order in (pairs, swap(pairs)))
    split = Split([pair.id for pair in pairs], prompts, [None] * len(pairs), swapped)
    return predicted(model, split, settings.orders == "both")


def sentiment_probabilities(row: str, texts: Sequence[str]) -> Floats:
    """(texts, classes) probabilities by a row of sentiment.methods; class 0 is the worst."""
    settings = entry(load_params().sentiment.methods, row, "sentiment.methods")
    model, tokenizer = load_classifier(MODELS / "sentiment" / row, settings)
    prompts = encode_texts(tokenizer, texts, settings.max_length)
    return predicted(model, Split([str(number) for number in range(len(texts))], prompts, [None] * len(texts)))


def load_classifier(folder: Path, settings: Sentiment | Paraphrase) -> tuple[PreTrainedModel, Tokenizer]:
    """The trained row in `folder` with its tokenizer; an adapter goes on the backbone that the row started from."""
    adapted = isinstance(settings, Paraphrase) and settings.adapter is not None
    names = ("adapter_config.json", "adapter_model.safetensors") if adapted else ("config.json", "model.safetensors")
    again = f"run `dvc repro train_{folder.parent.name}@{folder.name}`"
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise InputError(f"{folder}: no {', '.join(missing)}; {again}")
    make_deterministic(load_params().seed, load_params().compute)  # as the training stage computes
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else a warning that the backbone under an adapter has no head
    try:
        tokenizer = load_tokenizer(folder)
        if isinstance(settings, Paraphrase) and adapted:
            model = cast(PreTrainedModel, new_classifier(MODELS / settings.start, tokenizer, settings))
            load_weights(model, folder)
            return model, tokenizer
        kind = MtanClassifier if isinstance(settings, Paraphrase) and settings.tasks else GPT2Classifier
        dtype = torch.get_default_dtype()
        model, report = kind.from_pretrained(folder, use_safetensors=True, dtype=dtype, output_loading_info=True)
        if report["missing_keys"]:  # transformers would go on with random weights
            raise ValueError(f"no weights for {min(report['missing_keys'])}")
        return model, tokenizer
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{folder}: cannot be loaded ({reason}); {again}") from None


def predicted(model: PreTrainedModel, split: Split, both_orders: bool = False) -> Floats:
    """(rows, classes) probabilities, computed as in training stages."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return probabilities(model.to(device), split, load_params().compute.precision, both_orders)[0]
