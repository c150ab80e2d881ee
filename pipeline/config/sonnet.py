"""Block `sonnet`: fine-tuned language models (`methods`) and what writes with them (`systems`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.config.base import PARAMS, Block, check, check_name, read_params
from pipeline.config.training import Training
from pipeline.errors import InputError


class Sonnet(Training):
    """One fine-tuned sonnet model."""

    keep: int = Field(ge=1, le=10)  # best checkpoints kept, by chrF on held-out training sonnets
    select_draws: int = Field(ge=1)  # sampled continuations per held-out sonnet in that chrF


class Sampler(Block):
    """What all samplers share. `model` is a folder of models/: `backbone` or `sonnet/<a key of sonnet.methods>`."""

    model: str = Field(min_length=1)
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


class Contrastive(Block):
    """pipeline/decoding/contrastive_search.py."""

    model: str = Field(min_length=1)
    decoder: Literal["contrastive_search"]
    k: int = Field(ge=1)
    alpha: float = Field(ge=0, le=1)
    dynamic_alpha: bool
    mean_similarity: bool
    repetition_penalty: float = Field(ge=1)
    no_repeat_ngram: int = Field(ge=0)


class Beams(Block):
    """What beam search and MBR over its texts share."""

    model: str = Field(min_length=1)
    beams: int = Field(ge=1)
    length_penalty: float
    no_repeat_ngram: int = Field(ge=0)


class Beam(Beams):
    """pipeline/decoding/beam_search.py."""

    decoder: Literal["beam_search"]


class ContrastiveDecoding(Block):
    """pipeline/decoding/contrastive_decoding.py: `model` is the expert, the backbone the amateur."""

    model: str = Field(pattern=r"^sonnet/")
    decoder: Literal["contrastive_decoding"]
    alpha: float = Field(gt=0, le=1)
    no_repeat_ngram: int = Field(ge=0)


class Sampled(Block):
    """A pool of epsilon samples to choose from."""

    model: str = Field(min_length=1)
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


System = TopP | TopK | MinP | Epsilon | Contrastive | ContrastiveDecoding | Beam | SampledMBR | LineMBR | BeamMBR
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
}


def load_system(name: str, path: Path = PARAMS) -> System:
    """The checked entry of sonnet.systems: a model and a decoder; its model must be in params.yaml too."""
    sonnet = read_params(path)["sonnet"]
    systems = sonnet.get("systems") or {}
    if name not in systems:
        raise InputError(f"{path}: sonnet.systems has no entry {name!r}; it has {', '.join(map(str, systems))}")
    check_name(name, "sonnet.systems", path)
    key = f"sonnet.systems.{name}"
    decoder = systems[name].get("decoder") if isinstance(systems[name], Mapping) else None
    if decoder not in DECODERS:
        raise InputError(f"{path}: {key}.decoder: expected one of {', '.join(DECODERS)}, got {decoder!r}")
    system: System = check(systems[name], DECODERS[decoder], key, path)
    models = ["backbone", *(f"sonnet/{method}" for method in sonnet.get("methods") or {})]
    if name == "floors":
        raise InputError(f"{path}: {key}: metrics/sonnets/floors.json holds the model-free floors; choose another name")
    if system.model not in models:
        raise InputError(f"{path}: {key}.model: expected one of {', '.join(models)}, got {system.model!r}")
    return system
