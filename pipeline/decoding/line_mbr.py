"""MBR line by line: a poem put together from the lines of samples; chrF-optimal, and ours.

It starts from the pool's MBR choice. At each line in turn, every pooled line of that place is tried and the one kept
with which the whole poem has the highest expected chrF, until a sweep changes nothing: coordinate ascent. This
optimises the measure itself: label the result chrF-optimal.
"""

from collections.abc import Sequence, Set
from typing import Literal

from pydantic import Field

from pipeline.decoding.epsilon import Pool, samples
from pipeline.decoding.mbr import References, best, mbr
from pipeline.decoding.writer import Writer, Written, chosen
from pipeline.text.prepared import Poem


class Options(Pool):
    """Samples, and how often to go through the lines."""

    decoder: Literal["line_mbr"]
    sweeps: int = Field(ge=1)  # at most


def write(writer: Writer, poems: Sequence[Poem], options: Options) -> Written:
    """A poem for each prompt that has no line of a training poem."""
    pool, forbidden = samples(writer, poems, options.samples, options), set(writer.training_lines())
    return chosen(poems, pool, lambda poem, texts: line_mbr(poem.prompt, texts, forbidden, options.sweeps))


def line_mbr(prompt: str, pool: Sequence[str], forbidden: Set[str], sweeps: int) -> str:
    """The poem from the lines of the pool with the highest expected chrF against it.

    Args:
        prompt: the given lines, joined by newlines; they stay.
        pool: whole poems that begin with the prompt.
        forbidden: lines that may not be used, such as those of training poems; a line that has no other choice is
            left out.
        sweeps: most passes over all lines.
    """
    given = prompt.split("\n")
    split = [poem.split("\n")[len(given) :] for poem in pool]
    places = max(map(len, split))
    choices = [sorted({lines[place] for lines in split if place < len(lines)} - forbidden) for place in range(places)]
    start = split[mbr(pool, aggregated=True)]
    lines = [start[place] if place < len(start) and start[place] in choices[place] else "" for place in range(places)]
    references = References(pool)
    for _ in range(sweeps):
        before = list(lines)
        for place, found in enumerate(choices):
            tried = list(dict.fromkeys([lines[place], *found]))
            scores = references.scores(tried, [*given, *lines[:place]], lines[place + 1 :])
            lines[place] = tried[best(scores)]
        if lines == before:
            break
    return "\n".join([*given, *filter(None, lines)])
