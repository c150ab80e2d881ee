"""Block `back_translation`: training sentences translated into another language and back."""

from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from pipeline.config.base import Block
from pipeline.config.shards import Shards
from pipeline.errors import InputError


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


def named_language(argument: str, block: BackTranslation) -> str:
    """The language that a stage's argument names."""
    if argument not in block.languages:
        raise InputError(f"params.yaml: back_translation.languages has no {argument!r}")
    return argument
