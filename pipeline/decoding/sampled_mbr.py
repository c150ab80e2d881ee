"""Sampling-based MBR, Eikema & Aziz 2022 (https://aclanthology.org/2022.emnlp-main.754): the sample with the highest
expected chrF against all samples. They are epsilon samples, Freitag et al. 2023 (https://arxiv.org/abs/2305.09860).
"""

from collections.abc import Sequence
from typing import Literal

from pipeline.decoding.epsilon import Pool, samples
from pipeline.decoding.mbr import mbr
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.text.prepared import Poem


class Options(Pool):
    """Samples and what they are compared with."""

    decoder: Literal["sampled_mbr"]
    aggregated: bool  # references: exact costs N squared, aggregated N


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """The best sample of each prompt."""
    pool = samples(writer, poems, options.samples, options)
    return chosen(poems, pool, lambda _, texts: texts[mbr(texts, options.aggregated)])
