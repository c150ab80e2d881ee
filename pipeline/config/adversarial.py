"""Block `adversarial`: paraphrases that keep the meaning and look different (Nighojkar & Licato 2021)."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import Block
from pipeline.config.shards import Shards
from pipeline.config.training import Training


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
