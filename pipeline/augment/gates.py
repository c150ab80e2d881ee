"""Gates: scorers that decide what a candidate is worth, by its meaning or by its surface.

The score(first, second) of a gate on meaning (`nli`, `encoder_rules`, `classifier`) is evidence that the first sentence
implies the second. That of a gate on the surface (`bleurt`, `chrf`) says how alike they look, the first being the
reference. A new gate is a class here, a branch in one of the functions `open_*` and its name in config/augmentation.py.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.augment import rules
from pipeline.augment.encoder import Encoder
from pipeline.augment.hub import PairModel, folder_digest, loading
from pipeline.augment.scores import Scorer
from pipeline.config.augmentation import Meaning, Surface
from pipeline.config.source import code
from pipeline.errors import InputError
from pipeline.files import read_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from pipeline.models.classifier import GPT2Classifier


def open_meaning_gate(settings: Meaning, classifier: Path) -> Scorer:
    """The gate that says whether the first sentence implies the second."""
    if settings.gate == "nli":
        return NLI(settings.nli.name, settings.nli.revision)
    return ParaphraseClassifier(classifier) if settings.gate == "classifier" else EncoderRules()


def open_surface_gate(settings: Surface) -> Scorer:
    """The gate that says how alike two sentences look."""
    return BLEURT(settings.bleurt.name, settings.bleurt.revision) if settings.gate == "bleurt" else ChrF()


class NLI(PairModel):
    """P(first entails second) by a natural language inference model.

    Nighojkar & Licato 2021 (https://aclanthology.org/2021.acl-long.552) use
    `ynie/roberta-large-snli_mnli_fever_anli_R1_R2_R3-nli` and call two sentences mutually implicative when each entails
    the other. Any classification checkpoint with a label that begins with "entail" will do.
    """

    name = "nli"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Softmax over all labels, 0 to 1."""
        logits = self.logits(pairs)
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        label = entailment_label(self.labels, self._source)
        return (exponentials[:, label] / exponentials.sum(axis=1)).tolist()


def entailment_label(labels: Mapping[int, str], source: str) -> int:
    """The index of the label that begins with "entail" in any case (`not_entailment` does not)."""
    found = [index for index, label in labels.items() if label.lower().startswith("entail")]
    if len(found) != 1:
        names = ", ".join(labels.values())
        raise InputError(
            f"{source}: expected one label that begins with 'entail', its labels are {names}; choose an NLI model or "
            "name the labels in its config.json (id2label)"
        )
    return found[0]


class BLEURT(PairModel):
    """A learnt regression of how well a candidate renders a reference (Sellam et al. 2020).

    https://aclanthology.org/2020.acl-main.704. Any checkpoint with a single output will do, such as the conversions of
    the original weights under `Elron/bleurt-*`. Most scores lie between 0 and 1, but nothing bounds them.
    """

    name = "bleurt"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The single output for each pair."""
        if len(self.labels) != 1:
            names = ", ".join(self.labels.values())
            raise InputError(
                f"{self._source}: expected a regression with one output, it has {len(self.labels)} ({names}); "
                "choose a BLEURT checkpoint"
            )
        return self.logits(pairs)[:, 0].tolist()


class EncoderRules:
    """Cosine of two sentence embeddings, 0 to 1, or 0 for a pair that violates a rule (`violated_rule` says which).

    An offline stand-in for an NLI model, and not one: it is symmetric, so a sentence that says less than the other
    passes in both directions, and it accepts changes of meaning that no rule knows ("buy" against "sell"). At .75 it
    passes 68 % of the sample's duplicate questions on dev and 2 % of the others (6 % without the rules). It fails where
    sentences share few words: of the sample's hand-written adversarial pairs it passes 5 % of the paraphrases and half
    of the others.
    """

    name = "encoder_rules"

    def __init__(self) -> None:
        self._encoder = Encoder()
        digest = hashlib.sha256(code(Path(rules.__file__)).encode()).hexdigest()
        self.revision = f"{self._encoder.revision}+rules-{digest[:16]}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The same in both directions."""
        scores = [0.0] * len(pairs)
        kept = [index for index, pair in enumerate(pairs) if rules.violated_rule(*pair) is None]
        for index, cosine in zip(kept, self._encoder.score([pairs[index] for index in kept]), strict=True):
            scores[index] = min(max(cosine, 0.0), 1.0)
        return scores


class ParaphraseClassifier:
    """P(yes) by the project's own paraphrase model, for the first and the second sentence in this order.

    Args:
        folder: models/paraphrase/<row>; a prompt may be as long as the model has positions.
    """

    name = "classifier"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        files = ("config.json", "model.safetensors", "tokenizer.json")
        if missing := [name for name in files if not (folder / name).is_file()]:
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

        from pipeline.models.classifier import GPT2Classifier
        from pipeline.text.prompts import load_tokenizer

        with loading(str(self._folder), "a trained model; delete it and run `dvc repro`"):
            model = GPT2Classifier.from_pretrained(self._folder, use_safetensors=True, dtype=torch.get_default_dtype())
        return model.to("cuda" if torch.cuda.is_available() else "cpu"), load_tokenizer(self._folder)


class ChrF:
    """Sentence chrF / 100 of (reference, candidate); it sees characters only, where BLEURT sees similar words too."""

    name = "chrf"

    @cached_property
    def revision(self) -> str:
        """The version of the package that computes it."""
        return f"fastchrf-{version('fastchrf')}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """0 (no n-gram shared) to 1."""
        return [sentence_chrf(*pair) for pair in pairs]


def sentence_chrf(reference: str, candidate: str) -> float:
    """chrF / 100 of one candidate (Popovic 2015, https://aclanthology.org/W15-3049), as sacrebleu computes it.

    Character n-grams up to 6, no word n-grams, beta 2, white space removed.
    """
    from fastchrf import pairwise_chrf

    # fastchrf knows fewer white space characters than sacrebleu, so they are removed here.
    hypothesis, target = "".join(candidate.split()), "".join(reference.split())
    return float(pairwise_chrf([[hypothesis]], [[target]])[0][0][0]) / 100
