"""Probabilities by the trained classifiers: models/<task>/<row> loaded again, with the row's parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from transformers.modeling_utils import PreTrainedModel
from transformers.utils import logging

from pipeline.compute.reproducible import make_deterministic
from pipeline.config.base import load_block, load_row, load_seed, read_params
from pipeline.config.tasks import Paraphrase, Sentiment, ensembles, load_ensemble, load_paraphrase
from pipeline.config.training import Compute
from pipeline.errors import InputError
from pipeline.evaluation.ensemble import mixed
from pipeline.evaluation.predictions import ENSEMBLES, Floats
from pipeline.files import read_json
from pipeline.models.classifier import GPT2Classifier
from pipeline.models.mtan import MtanClassifier
from pipeline.models.weights import load_weights
from pipeline.text.prepared import Pair
from pipeline.text.prompts import encode_pairs, encode_texts, swap
from pipeline.text.tokenizer import load_tokenizer
from pipeline.training.fine_tune import Split, probabilities
from pipeline.training.pair_rows import new_classifier

if TYPE_CHECKING:
    from peft import PeftModel

MODELS = Path("models")
AnyModel = TypeVar("AnyModel", bound=PreTrainedModel)


def pair_probabilities(row: str, pairs: Sequence[Pair]) -> Floats:
    """(pairs, 2) probabilities of no and yes by a row of paraphrase.methods or paraphrase.ensembles.

    An ensemble's are the mean of its members', with the weights that its stage has written.
    """
    if row in ensembles():
        members = load_ensemble(row).members
        found = np.stack([pair_probabilities(member, pairs) for member in members])
        return mixed(ensemble_weights(row, members), found)
    methods = read_params()["paraphrase"]["methods"]
    if row not in methods:
        raise InputError(f"params.yaml: paraphrase has no row {row!r}; it has {', '.join([*methods, *ensembles()])}")
    settings, folder = load_paraphrase(row), MODELS / "paraphrase" / row
    model, tokenizer = load_pair_classifier(folder, settings)
    prompts, swapped = (encode_pairs(tokenizer, order, settings.max_length) for order in (pairs, swap(pairs)))
    split = Split([pair.id for pair in pairs], prompts, [None] * len(pairs), swapped)
    return predicted(model, split, settings.orders == "both")


def ensemble_weights(name: str, members: Sequence[str]) -> Floats:
    """The weights (members,) in the order of `members`."""
    path = ENSEMBLES / name / "weights.json"
    weights = read_json(path)
    if set(weights) != set(members):
        raise InputError(f"{path}: other members than those of params.yaml; run `dvc repro ensemble@{name}`")
    return np.array([weights[member] for member in members])


def load_pair_classifier(
    folder: Path, settings: Paraphrase
) -> tuple[GPT2Classifier | MtanClassifier | PeftModel, Tokenizer]:
    """The trained row in `folder` with its tokenizer; an adapter goes on the backbone that the row started from."""
    if settings.adapter is None:
        return load_whole(MtanClassifier if settings.tasks else GPT2Classifier, folder)
    with loading(folder):
        require(folder, "adapter_config.json", "adapter_model.safetensors")
        tokenizer = load_tokenizer(folder)
        model = new_classifier(MODELS / settings.start, tokenizer, settings)
        load_weights(cast(PreTrainedModel, model), folder)
        return model, tokenizer


def sentiment_probabilities(row: str, texts: Sequence[str]) -> Floats:
    """(texts, classes) probabilities by a row of sentiment.methods; class 0 is the worst."""
    settings = load_row("sentiment", "methods", row, Sentiment)
    model, tokenizer = load_whole(GPT2Classifier, MODELS / "sentiment" / row)
    prompts = encode_texts(tokenizer, texts, settings.max_length)
    return predicted(model, Split([str(number) for number in range(len(texts))], prompts, [None] * len(texts)))


def load_whole(kind: type[AnyModel], folder: Path) -> tuple[AnyModel, Tokenizer]:
    """A model whose folder holds all its weights, with its tokenizer."""
    with loading(folder):
        require(folder, "config.json", "model.safetensors")
        model, report = kind.from_pretrained(
            folder, use_safetensors=True, dtype=torch.get_default_dtype(), output_loading_info=True
        )
        if report["missing_keys"]:  # transformers would go on with random weights
            raise ValueError(f"no weights for {min(report['missing_keys'])}")
        return model, load_tokenizer(folder)


def require(folder: Path, *names: str) -> None:
    """An InputError if the row was never trained."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise InputError(f"{folder}: no {', '.join(missing)}; run `dvc repro {stage_of(folder)}`")


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Load as the training stage computes; say which folder cannot be loaded, and how to make it again."""
    make_deterministic(load_seed(), load_block("compute", Compute))
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # else a warning that the backbone under an adapter has no head
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{folder}: cannot be loaded ({reason}); run `dvc repro {stage_of(folder)}`") from None


def stage_of(folder: Path) -> str:
    """The stage that writes models/<task>/<row>."""
    return f"train_{folder.parent.name}@{folder.name}"


def predicted(model: GPT2Classifier | MtanClassifier | PeftModel, split: Split, both_orders: bool = False) -> Floats:
    """(rows, classes) probabilities, computed as in training stages."""
    precision = load_block("compute", Compute).precision
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return probabilities(cast(PreTrainedModel, model.to(device)), split, precision, both_orders)[0]
