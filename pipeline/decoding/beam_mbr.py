"""MBR over an n-best list, Kumar & Byrne 2004 (https://aclanthology.org/N04-1022): the finished text of a beam search
with the highest expected chrF against all of them.
"""

from typing import Literal

from pipeline.decoding.beam_search import Beams, candidates
from pipeline.decoding.sampled_mbr import mbr
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.text.prepared import Poem


class Options(Beams):
    decoder: Literal["beam_mbr"]


def write(writer: Writer, poems: list[Poem], options: Options) -> Written:
    return chosen(poems, candidates(writer, poems, options), lambda _, texts: texts[mbr(texts)])
