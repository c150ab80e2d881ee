"""Gates: scorers that decide what a candidate is worth, by its meaning or by its surface.

A new gate is a class here, a branch in one of the functions `open_*` and its name in config/augmentation.py.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from fastchrf import pairwise_chrf
from numpy.typing import NDArray

from pipeline.augment import rules
from pipeline.augment.encoder import Encoder
from pipeline.augment.hub import folder_digest, hub_commit, load_model, read_outputs
from pipeline.augment.memory import Scorer
from pipeline.config.augmentation import Meaning, Surface
from pipeline.config.source import code
from pipeline.errors import InputError
from pipeline.files import read_json


def open_meaning_gate(settings: Meaning, classifier: Path) -> Scorer:
    """The gate that says whether the first sentence implies the second."""
    if settings.gate == "nli":
        return NLI(settings.nli.name, settings.nli.revision)
    return ParaphraseClassifier(classifier) if settings.gate == "classifier" else EncoderRules()


def open_surface_gate(settings: Surface) -> Scorer:
    """The gate that says how alike the second sentence looks to the first, its reference."""
    return BLEURT(settings.bleurt.name, settings.bleurt.revision) if settings.gate == "bleurt" else ChrF()


class PairModel:
    """Logits of sentence pairs by any checkpoint for sequence classification, in a folder or of the hub.

    The commit behind the branch or tag `asked` is what is loaded: else the files might come from different versions,
    and transformers would ask the hub's bot to convert weights.
    """

    def __init__(self, source: str, asked: str = "main") -> None:
        self.source, self.asked = source, asked

    @cached_property
    def revision(self) -> str:
        """Of a folder the digest of its files; of a hub model its name and commit."""
        folder = Path(self.source)
        return folder_digest(folder) if folder.is_dir() else f"{self.source}@{hub_commit(self.source, self.asked)}"

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model, loaded when a score is missing: cached scores need no model library."""
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        commit = self.revision.split("@")[-1]  # a folder has none, and nobody looks at it
        classes = (AutoTokenizer, AutoModelForSequenceClassification)
        return load_model(classes, self.source, commit, self.source, torch.get_default_dtype())

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """(pairs, labels), without dropout; a pair too long for the model loses the ends of its longer sentence."""
        tokenizer, model = self.loaded
        positions = getattr(model.config, "max_position_embeddings", 512)
        if model.config.model_type in ("roberta", "camembert", "xlm-roberta", "xlm-roberta-xl"):
            positions -= model.config.pad_token_id + 1  # they begin after the padding's index
        columns, longest = list(map(list, zip(*pairs, strict=True))), min(positions, tokenizer.model_max_length)
        return read_outputs(self.loaded, columns, longest, lambda output, _: output.logits)


class NLI(PairModel):
    """P(first entails second), 0 to 1, by a natural language inference model with a label that begins with "entail".

    Nighojkar & Licato 2021 (https://aclanthology.org/2021.acl-long.552) use
    `ynie/roberta-large-snli_mnli_fever_anli_R1_R2_R3-nli`.
    """

    name = "nli"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Softmax over all labels; `not_entailment` does not begin with "entail"."""
        from scipy.special import softmax

        labels = self.loaded[1].config.id2label
        found = [index for index, label in labels.items() if label.lower().startswith("entail")]
        if len(found) != 1:
            problem = f"expected one label that begins with 'entail', its labels are {', '.join(labels.values())}"
            raise InputError(
                f"{self.source}: {problem}; choose an NLI model or name them in its config.json (id2label)"
            )
        return softmax(self.logits(pairs), axis=1)[:, found[0]].tolist()


class BLEURT(PairModel):
    """How well a candidate renders a reference, mostly 0 to 1 but unbounded, by a checkpoint such as `Elron/bleurt-*`.

    Sellam et al. 2020, https://aclanthology.org/2020.acl-main.704.
    """

    name = "bleurt"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The single output for each pair."""
        logits = self.logits(pairs)
        if logits.shape[1] != 1:
            problem = f"expected a regression with one output, it has {logits.shape[1]}; choose a BLEURT checkpoint"
            raise InputError(f"{self.source}: {problem}")
        return logits[:, 0].tolist()


class EncoderRules:
    """Cosine of two sentence embeddings, 0 to 1, or 0 for a pair that violates a rule (`violated_rule` says which).

    An offline stand-in for an NLI model: symmetric, and blind to changes that no rule knows ("buy" against "sell"). At
    .75 it passes 68 % of the sample's duplicate questions on dev and 2 % of the others (6 % without the rules), but of
    the hand-written adversarial pairs 5 % of the paraphrases and half of the others.
    """

    name = "encoder_rules"

    def __init__(self) -> None:
        self.encoder = Encoder()
        digest = hashlib.sha256(code(Path(rules.__file__)).encode()).hexdigest()
        self.revision = f"{self.encoder.revision}+rules-{digest[:16]}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The same in both directions."""
        kept = [pair for pair in pairs if rules.violated_rule(*pair) is None]
        cosines = dict(zip(kept, self.encoder.score(kept), strict=True))
        return [min(max(cosines.get(pair, 0.0), 0.0), 1.0) for pair in pairs]


class ParaphraseClassifier(PairModel):
    """P(yes) by the project's own paraphrase model in models/paraphrase/<row>, for the two sentences in this order."""

    name = "classifier"

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        config = read_json(path) if (path := folder / "config.json").is_file() else {}
        if "pooling" not in config or len(config.get("id2label", {})) not in (0, 2):
            raise InputError(f"{folder}: no paraphrase model; run `dvc repro train_paraphrase@{folder.name}`")

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The tokenizer and the model, loaded when a score is missing."""
        import torch

        from pipeline.models.classifier import load_classifier
        from pipeline.text.prompts import load_tokenizer

        model = load_classifier(Path(self.source))
        return load_tokenizer(Path(self.source)), model.to("cuda" if torch.cuda.is_available() else "cpu")

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """P(yes), 0 to 1, without dropout."""
        from pipeline.models.decoder import context
        from pipeline.text.prepared import Pair
        from pipeline.text.prompts import encode_pairs
        from pipeline.training.predict import predict

        tokenizer, model = self.loaded
        prompts = encode_pairs(tokenizer, [Pair("", *pair, None) for pair in pairs], context(model))
        return predict(model, prompts)[:, 1].tolist()


class ChrF:
    """`sentence_chrf` of (reference, candidate); it sees characters only, where BLEURT sees similar words too."""

    name = "chrf"
    revision = f"fastchrf-{version('fastchrf')}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """0 (no n-gram shared) to 1."""
        return [sentence_chrf(*pair) for pair in pairs]


def sentence_chrf(reference: str, candidate: str) -> float:
    """chrF / 100 of one candidate (Popovic 2015, https://aclanthology.org/W15-3049), as sacrebleu does by default."""
    # fastchrf knows fewer white space characters than sacrebleu, so they are removed here.
    hypothesis, target = "".join(candidate.split()), "".join(reference.split())
    return float(pairwise_chrf([[hypothesis]], [[target]])[0][0][0]) / 100
