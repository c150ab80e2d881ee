"""MBR over the candidates of several systems, as in MBR system combination, González-Rubio et al. 2011
(https://aclanthology.org/P11-1127): the one with the highest expected chrF against all of them.
"""

from collections.abc import Sequence
from typing import Literal

from pipeline.config.sonnet import Pools
from pipeline.decoding.sampled_mbr import utilities
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.text.prepared import Poem


class Options(Pools):
    decoder: Literal["pool_mbr"]


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    pool, weights = writer.pooled(poems, options)
    return chosen(poems, pool, lambda poem, texts: texts[utilities(texts, weights[poem.id]).argmax()])
