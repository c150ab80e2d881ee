"""MBR over the distinct texts of three decoders: top-p sampling, contrastive search and beam search; ours."""

from typing import Literal

from pydantic import Field

from pipeline.decoding import beam_search, contrastive_search, top_p
from pipeline.decoding.sampled_mbr import mbr
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.text.prepared import Generated, Poem


class Options(beam_search.Beams):
    decoder: Literal["ensemble_mbr"]
    model: str  # no mixture: contrastive search
    samples: int = Field(ge=1)  # of top-p, per prompt
    top_p: float = Field(gt=0, le=1)
    temperature: float = Field(gt=0)
    k: int = Field(ge=1)  # of contrastive search
    alpha: float = Field(ge=0, le=1)


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    own = options.model_dump(exclude={"decoder"})
    sampler = top_p.Options.model_construct(**own, draws=options.samples)
    own |= {"dynamic_alpha": False, "mean_similarity": False, "repetition_penalty": 1.0}
    search = contrastive_search.Options.model_construct(**own)
    found = top_p.write(writer, poems, sampler).poems + contrastive_search.write(writer, poems, search).poems
    found += beam_search.candidates(writer, poems, options)
    pool = [
        Generated(poem.id, number, poem.prompt, text)
        for poem in poems
        for number, text in enumerate(dict.fromkeys(other.text for other in found if other.id == poem.id))
    ]
    return chosen(poems, pool, lambda _, texts: texts[mbr(texts)])
