"""MBR over the distinct texts of three decoders: top-p sampling, contrastive search and beam search; ours."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from pipeline.config.sonnet import System
from pipeline.decoding import beam_search, contrastive_search, top_p
from pipeline.decoding.mbr import mbr
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.text.prepared import Generated, Poem


class Options(beam_search.Beams):
    """Those of the three."""

    decoder: Literal["ensemble_mbr"]
    samples: int = Field(ge=1)  # of top-p, per prompt
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)
    k: int = Field(ge=1)  # of contrastive search
    alpha: float = Field(ge=0, le=1)


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """The best text of each prompt."""
    own = options.model_dump(include=set(System.model_fields))
    sampler = top_p.Options(
        **own, decoder="top_p", top_p=options.top_p, temperature=options.temperature, draws=options.samples
    )
    search = contrastive_search.Options(
        **own,
        decoder="contrastive_search",
        k=options.k,
        alpha=options.alpha,
        dynamic_alpha=False,
        mean_similarity=False,
        repetition_penalty=1.0,
        no_repeat_ngram=options.no_repeat_ngram,
    )
    pool = [*top_p.write(writer, poems, sampler).poems, *contrastive_search.write(writer, poems, search).poems]
    pool = distinct([*pool, *beam_search.candidates(writer, poems, options)])
    return chosen(poems, pool, lambda _, texts: texts[mbr(texts)])


def distinct(pool: Sequence[Generated]) -> list[Generated]:
    """The first of equal candidates of each prompt, numbered anew."""
    texts: dict[int, dict[str, Generated]] = {}
    for candidate in pool:
        texts.setdefault(candidate.id, {}).setdefault(candidate.text, candidate)
    return [
        Generated(candidate.id, number, candidate.prompt, candidate.text)
        for found in texts.values()
        for number, candidate in enumerate(found.values())
    ]
