"""Blocks `back_translation`, `adversarial` and `training_sets`: pairs that are made of the training pairs."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipeline.config.base import Block, Different
from pipeline.config.training import Training


def _counted(shards: list[int]) -> list[int]:
    if not shards or shards != list(range(len(shards))):
        raise ValueError("expected the numbers from 0 on: [0] for one stage, [0, 1, 2] for three")
    return shards


def _not_english(language: str) -> str:
    if language == "en":
        raise ValueError("'en' is the language of the sentences: name another one")
    return language


Shards = Annotated[list[int], AfterValidator(_counted)]  # a list, as DVC makes a stage of each
Code = StringConstraints(min_length=2, max_length=8, pattern=r"^[a-z]+(-[a-z]+)*$")  # such as es, de or zh-tw
Language = Annotated[str, Code, AfterValidator(_not_english)]  # it names a stage and a folder


class Marian(Block):
    """Neural translation on this machine (MarianMT): `{source}` and `{target}` stand for the language codes."""

    model: str = Field(pattern=r"^[^{}]*(\{(source|target)\}[^{}]*){2}$")  # of the hub, or a local folder
    revision: str = Field(min_length=1)  # of the hub: a commit, or main
    beams: int = Field(ge=1)
    max_length: int = Field(ge=8)  # tokens; a longer sentence is not translated
    tokens_per_batch: int = Field(ge=8)  # padded source tokens
    codes: dict[str, str]  # of languages that a model with several targets calls otherwise: >>ara<< for ar


class Network(Block):
    """Web services: how often to ask, and when to stop asking. API keys come from the environment, never from here."""

    url: str = Field(pattern=r"^https?://\S+$")  # of a LibreTranslate server; the others have their own
    batch_size: int = Field(ge=1)  # sentences between two commits to the memory
    requests_per_second: float = Field(gt=0)
    retries: int = Field(ge=0)  # of one request, after the first attempt
    backoff: float = Field(ge=0)  # seconds before the first retry; doubles each time
    give_up_after: int = Field(ge=1)  # consecutive sentences without a translation


class Translator(Block):
    backend: Literal["memory", "apertium", "marian", "google", "libre", "mymemory"]  # memory: only what was translated
    marian: Marian  # not used by other backends
    network: Network  # of google, libre and mymemory


class Selection(Block):
    pairs: int | None = Field(ge=1)  # sampled for each language; null: all
    sentences: Different[Literal["sentence1", "sentence2"]] = Field(min_length=1)
    labels: Different[Literal[0, 1]] = Field(min_length=1)


class Checks(Block):
    near_copy: float = Field(gt=0, le=1)  # chrF against the source; at or above it the translation is a near copy
    length_ratio: float = Field(gt=1)
    similarity: float | None = Field(ge=-1, le=1)  # cosine below which the meaning drifted; null: no encoder is loaded


class BackTranslation(Block):
    languages: Different[Language] = Field(min_length=1)  # each translates the sentences there and back
    shards: Shards  # of each language
    translator: Translator
    selection: Selection  # which training sentences are translated
    checks: Checks  # what a back-translation must pass


class Checkpoint(Block):
    """A model of the hub at a revision (a commit, or `main`), or a local folder; safetensors only."""

    name: str = Field(min_length=1)
    revision: str = Field(min_length=1)


class Generator(Block):
    kind: Literal["lm", "seq2seq", "backbone"]  # what writes candidates; backbone: as it is, without training
    lm: Training  # of the backbone, on the positive pairs
    seq2seq: Checkpoint  # a sequence-to-sequence paraphraser


class Sampling(Block):
    candidates: int = Field(ge=1)  # a question and round
    top_k: int = Field(ge=1)
    top_p: float = Field(gt=0, le=1)
    retries: int = Field(ge=0)  # of the questions that have no adversarial paraphrase yet
    widen_top_k: int = Field(ge=0)  # added at each retry
    widen_top_p: float = Field(ge=0, lt=1)  # added at each retry, up to 1
    max_new_tokens: int = Field(ge=4)


class Meaning(Block):
    gate: Literal["nli", "encoder_rules", "classifier"]  # do the two sentences imply each other?
    threshold: float = Field(ge=0, le=1)  # which the scores of both directions must reach
    nli: Checkpoint


class Surface(Block):
    gate: Literal["bleurt", "chrf"]  # do they look different?
    threshold: float  # below which the mean score of both directions must stay
    bleurt: Checkpoint


class Adversarial(Block):
    generator: Generator  # for the stage `generator`; the rest is for `adversarial_search`
    questions: int | None = Field(ge=1)  # training questions to paraphrase; null takes all
    back_translations: bool  # candidates from back-translation besides the generator's
    shards: Shards
    sampling: Sampling
    meaning: Meaning
    surface: Surface
    # What the gate `classifier` reads: models/paraphrase/<row>; without that gate models/backbone.
    classifier: str = Field(pattern=r"^models/(backbone|paraphrase/[^/]+)$")

    @model_validator(mode="after")
    def _gate_has_its_model(self) -> "Adversarial":
        if (self.meaning.gate == "classifier") != (self.classifier != "models/backbone"):
            message = "classifier: the gate `classifier` wants models/paraphrase/<row>, the others models/backbone"
            raise ValueError(message)
        return self


class TrainingSet(Block):
    # Of the augmented pairs, which join all training pairs: a folder of data/.
    source: Literal["augmented/back_translation", "augmented/adversarial", "prepared/ap_h"]
    share: float = Field(gt=0, lt=1)  # at most so much of all updates is augmented
    texts: Literal["augmented", "original"]  # original: each augmented pair is the pair it was made of (the control)
    labels: Literal["balanced", "positive"]  # balanced: as the training pairs; positive: duplicates only, as reported

    @model_validator(mode="after")
    def _has_originals(self) -> "TrainingSet":
        if self.texts == "original" and self.source != "augmented/back_translation":
            raise ValueError("texts: original: only back-translated pairs have an original pair")
        return self
