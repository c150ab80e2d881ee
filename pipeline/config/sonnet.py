"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.config.base import PARAMS, Block, Name, check, entry
from pipeline.config.tasks import Tables
from pipeline.config.training import Adapter, Training


class Sonnet(Training):
    """One fine-tuned sonnet model."""

    adapter: Adapter | None  # null trains all weights
    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class Writer(Block):
    """What all systems share. All options but the last ban tokens before each choice (decoding/constraints.py)."""

    model: str = Field(min_length=1)  # a folder of models/: `backbone` or `sonnet/<a key of sonnet.methods>`
    exact_lines: bool  # a poem ends with its 14th line, and not before
    line_length: bool  # no line is shorter or longer, in tokens, than all lines of the training sonnets
    no_copy_words: int | None = Field(ge=1)  # no line shares more words in a row with a training line; null: no limit
    max_new_tokens: int | None = Field(ge=1)  # after the prompt, as the report's 128; null: up to the context


class Sampler(Writer):
    """What all samplers share."""

    temperature: float = Field(gt=0)
    draws: int = Field(ge=1)  # independent poems per prompt


class TopP(Sampler):
    """pipeline/decoding/top_p.py."""

    decoder: Literal["top_p"]
    top_p: float = Field(gt=0, le=1)


class TopK(Sampler):
    """pipeline/decoding/top_k.py."""

    decoder: Literal["top_k"]
    top_k: int = Field(ge=1)


class MinP(Sampler):
    """pipeline/decoding/min_p.py."""

    decoder: Literal["min_p"]
    min_p: float = Field(gt=0, le=1)


class Epsilon(Sampler):
    """pipeline/decoding/epsilon.py."""

    decoder: Literal["epsilon"]
    epsilon: float = Field(gt=0, lt=1)


class Contrastive(Writer):
    """pipeline/decoding/contrastive_search.py."""

    decoder: Literal["contrastive_search"]
    k: int = Field(ge=1)
    alpha: float = Field(ge=0, le=1)
    dynamic_alpha: bool
    mean_similarity: bool
    repetition_penalty: float = Field(ge=1)
    no_repeat_ngram: int = Field(ge=0)


class Beams(Writer):
    """What beam search and MBR over its texts share."""

    beams: int = Field(ge=1)
    length_penalty: float
    no_repeat_ngram: int = Field(ge=0)


class Beam(Beams):
    """pipeline/decoding/beam_search.py."""

    decoder: Literal["beam_search"]


class ContrastiveDecoding(Writer):
    """pipeline/decoding/contrastive_decoding.py: `model` is the expert, the backbone the amateur."""

    model: str = Field(pattern=r"^sonnet/")
    decoder: Literal["contrastive_decoding"]
    alpha: float = Field(gt=0, le=1)
    no_repeat_ngram: int = Field(ge=0)


class Sampled(Writer):
    """A pool of epsilon samples to choose from."""

    samples: int = Field(ge=1)  # per prompt
    epsilon: float = Field(gt=0, lt=1)
    temperature: float = Field(gt=0)


class SampledMBR(Sampled):
    """pipeline/decoding/mbr.py: the sample with the highest expected chrF."""

    decoder: Literal["sampled_mbr"]
    aggregated: bool  # references: exact costs N squared, aggregated N


class LineMBR(Sampled):
    """pipeline/decoding/mbr.py: put together line by line; chrF-optimal."""

    decoder: Literal["line_mbr"]
    sweeps: int = Field(ge=1)


class BeamMBR(Beams):
    """pipeline/decoding/mbr.py over the finished texts of a beam search."""

    decoder: Literal["beam_mbr"]


class EnsembleMBR(Beams):
    """pipeline/decoding/mbr.py over the distinct texts of top-p sampling, contrastive search and beam search."""

    decoder: Literal["ensemble_mbr"]
    samples: int = Field(ge=1)  # of top-p, per prompt
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)
    k: int = Field(ge=1)  # of contrastive search
    alpha: float = Field(ge=0, le=1)


class Verse(Writer):
    """pipeline/decoding/verse.py: line by line, for rhyme, metre and likelihood, from top-p samples of each line."""

    decoder: Literal["verse"]
    max_new_tokens: None  # it writes whole lines
    candidates: int = Field(ge=1)  # for each line
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)


System = (
    TopP
    | TopK
    | MinP
    | Epsilon
    | Contrastive
    | ContrastiveDecoding
    | Beam
    | SampledMBR
    | LineMBR
    | BeamMBR
    | EnsembleMBR
    | Verse
)
DECODERS: dict[str, type[System]] = {
    "top_p": TopP,
    "top_k": TopK,
    "min_p": MinP,
    "epsilon": Epsilon,
    "contrastive_search": Contrastive,
    "contrastive_decoding": ContrastiveDecoding,
    "beam_search": Beam,
    "beam_mbr": BeamMBR,
    "sampled_mbr": SampledMBR,
    "line_mbr": LineMBR,
    "ensemble_mbr": EnsembleMBR,
    "verse": Verse,
}


class SonnetTables(Tables):
    """Block `sonnet`."""

    TABLES: ClassVar[Mapping[str, str]] = {"methods": "defaults", "systems": "system_defaults"}

    defaults: dict[str, Any]
    methods: dict[Name, Sonnet] = Field(min_length=1)
    scorer: str  # the row of methods whose model tells the perplexity of every system's poems
    system_defaults: dict[str, Any]
    systems: dict[Name, dict[str, Any]] = Field(min_length=1)

    def problems(self) -> Iterator[str]:
        """What is wrong between its tables."""
        scorers = [name for name, row in self.methods.items() if row.adapter is None]
        if self.scorer not in scorers:
            known = ", ".join(scorers)
            yield f"sonnet.scorer: expected a row of methods without an adapter, one of {known}; got {self.scorer!r}"
        models = ["backbone", *(f"sonnet/{name}" for name in self.methods)]
        for name, system in self.systems.items():
            key = f"sonnet.systems.{name}"
            if name == "floors":
                yield f"{key}: metrics/sonnets/floors.json holds the model-free floors; choose another name"
            if system.get("model") not in models:
                yield f"{key}.model: expected one of {', '.join(models)}, got {system.get('model')!r}"
            if system.get("decoder") not in DECODERS:
                yield f"{key}.decoder: expected one of {', '.join(DECODERS)}, got {system.get('decoder')!r}"

    def system(self, name: str, path: Path = PARAMS) -> System:
        """The checked entry of `systems`."""
        values = entry(self.systems, name, "sonnet.systems")
        system: System = check(values, DECODERS[values["decoder"]], f"sonnet.systems.{name}", path)
        return system
