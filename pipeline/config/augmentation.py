"""Blocks `back_translation`, `adversarial` and `training_sets`: pairs that are made of the training pairs."""

from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from pipeline.config.base import Block
from pipeline.config.training import Training


def _counted(shards: list[int]) -> list[int]:
    if not shards or shards != list(range(len(shards))):
        raise ValueError("expected the numbers from 0 on: [0] for one stage, [0, 1, 2] for three")
    return shards


Shards = Annotated[list[int], AfterValidator(_counted)]  # a list, as DVC makes a stage of each


def _unique(items: list) -> list:
    repeated = [str(item) for item, count in Counter(items).items() if count > 1]
    if repeated:
        raise ValueError(f"{', '.join(repeated)} is named more than once")
    return items


def _not_english(language: str) -> str:
    if language == "en":
        raise ValueError("'en' is the language of the sentences: name another one")
    return language


# A code such as es, de or zh-tw; it names a stage and a folder.
Language = Annotated[
    str,
    StringConstraints(min_length=2, max_length=8, pattern=r"^[a-z]+(-[a-z]+)*$"),
    AfterValidator(_not_english),
]


class Marian(Block):
    """Neural translation on this machine (MarianMT): `{source}` and `{target}` stand for the language codes."""

    model: str = Field(pattern=r"^[^{}]*(\{(source|target)\}[^{}]*){2}$")  # of the hub, or a local folder
    revision: str = Field(min_length=1)  # of the hub: a commit, or main
    beams: int = Field(ge=1)
    max_length: int = Field(ge=8)  # tokens; a longer sentence is not translated
    tokens_per_batch: int = Field(ge=8)  # padded source tokens


class Network(Block):
    """Web services: how often to ask, and when to stop asking. API keys come from the environment, never from here."""

    url: str = Field(pattern=r"^https?://\S+$")  # of a LibreTranslate server; the others have their own
    batch_size: int = Field(ge=1)  # sentences between two commits to the memory
    requests_per_second: float = Field(gt=0)
    retries: int = Field(ge=0)  # of one request, after the first attempt
    backoff: float = Field(ge=0)  # seconds before the first retry; doubles each time
    give_up_after: int = Field(ge=1)  # consecutive sentences without a translation


class Translator(Block):
    """Who translates; `memory` only repeats what was translated before. The sub-blocks of the others are not used."""

    backend: Literal["memory", "apertium", "marian", "google", "libre", "mymemory"]
    marian: Marian
    network: Network


class Selection(Block):
    """Which training sentences are translated."""

    pairs: int | None = Field(ge=1)  # sampled for each language; null: all
    sentences: Annotated[list[Literal["sentence1", "sentence2"]], Field(min_length=1), AfterValidator(_unique)]
    labels: Annotated[list[Literal[0, 1]], Field(min_length=1), AfterValidator(_unique)]


class Checks(Block):
    """What a back-translation must pass."""

    near_copy: float = Field(gt=0, le=1)  # chrF against the source; at or above it the translation is a near copy
    length_ratio: float = Field(gt=1)
    similarity: float | None = Field(ge=-1, le=1)  # cosine below which the meaning drifted; null: no encoder is loaded


class BackTranslation(Block):
    """Back-translation of training sentences through each of `languages`."""

    languages: Annotated[list[Language], Field(min_length=1), AfterValidator(_unique)]
    shards: Shards  # of each language
    translator: Translator
    selection: Selection
    checks: Checks


class Checkpoint(Block):
    """A model of the hub at a revision (a commit, or `main`), or a local folder; safetensors only."""

    name: str = Field(min_length=1)
    revision: str = Field(min_length=1)


class Generator(Block):
    """What writes candidates: the backbone fine-tuned on the positive pairs, or a sequence-to-sequence paraphraser."""

    kind: Literal["lm", "seq2seq"]
    lm: Training
    seq2seq: Checkpoint


class Sampling(Block):
    """Top-k and top-p sampling, wider at every retry of the questions that have no adversarial paraphrase yet."""

    candidates: int = Field(ge=1)  # a question and round
    top_k: int = Field(ge=1)
    top_p: float = Field(gt=0, le=1)
    retries: int = Field(ge=0)
    widen_top_k: int = Field(ge=0)  # added at each retry
    widen_top_p: float = Field(ge=0, lt=1)  # added at each retry, up to 1
    max_new_tokens: int = Field(ge=4)


class Meaning(Block):
    """Do the two sentences imply each other? The score of both directions must reach the threshold."""

    gate: Literal["nli", "encoder_rules", "classifier"]
    threshold: float = Field(ge=0, le=1)
    nli: Checkpoint


class Surface(Block):
    """Do they look different? The mean score of both directions must stay below the threshold."""

    gate: Literal["bleurt", "chrf"]
    threshold: float
    bleurt: Checkpoint


class Adversarial(Block):
    """The whole block; the stage `generator` reads `generator`, the stage `adversarial_search` the rest."""

    generator: Generator
    questions: int | None = Field(ge=1)  # training questions to paraphrase; null takes all
    back_translations: bool  # candidates from back-translation besides the generator's
    shards: Shards
    sampling: Sampling
    meaning: Meaning
    surface: Surface
    classifier: str  # what the gate `classifier` reads: models/paraphrase/<row>; without that gate models/backbone

    @field_validator("classifier")
    @classmethod
    def _in_models(cls, path: str) -> str:
        parts = path.split("/")
        if path != "models/backbone" and (parts[:2] != ["models", "paraphrase"] or len(parts) != 3):
            raise ValueError("expected models/backbone or models/paraphrase/<row>")
        return path

    @model_validator(mode="after")
    def _gate_has_its_model(self) -> "Adversarial":
        if (self.meaning.gate == "classifier") != (self.classifier != "models/backbone"):
            raise ValueError(
                "classifier: the gate `classifier` wants models/paraphrase/<row>, the others models/backbone"
            )
        return self


Source = Literal["augmented/back_translation", "augmented/adversarial", "prepared/ap_h"]  # folders of data/


class TrainingSet(Block):
    """All training pairs, and augmented ones."""

    source: Source
    share: float = Field(gt=0, lt=1)  # at most so much of all updates is augmented
    texts: Literal["augmented", "original"]  # original: each augmented pair is the pair it was made of (the control)
    labels: Literal["balanced", "positive"]  # balanced: as the training pairs; positive: duplicates only, as reported

    @model_validator(mode="after")
    def _has_originals(self) -> "TrainingSet":
        if self.texts == "original" and self.source != "augmented/back_translation":
            raise ValueError("texts: original: only back-translated pairs have an original pair")
        return self
