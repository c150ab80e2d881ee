"""Minimum Bayes risk decoding with chrF as utility: the candidate that is closest, on average, to all others.

Kumar & Byrne 2004 (https://aclanthology.org/N04-1022) for n-best lists, Eikema & Aziz 2022
(https://aclanthology.org/2022.emnlp-main.754) for samples. With aggregated references (Vamvas & Sennrich 2024,
https://arxiv.org/abs/2402.04251) the n-gram counts of all references are averaged first, so that the cost grows with
N instead of N squared. chrF is computed by fastchrf, which agrees with sacrebleu's sentence chrF.
"""

from collections.abc import Sequence, Set


def expected_chrf(candidates: Sequence[str], references: Sequence[str], aggregated: bool) -> list[float]:
    """Mean chrF (0 to 100) of each candidate over the references, or its chrF against their averaged n-gram counts."""
    from fastchrf import aggregate_chrf, pairwise_chrf

    if aggregated:
        return list(aggregate_chrf([list(candidates)], [list(references)])[0])
    scores = pairwise_chrf([list(candidates)], [list(references)])[0]
    return [sum(row) / len(row) for row in scores]


def mbr(candidates: Sequence[str], aggregated: bool = False) -> int:
    """The index of the best of `candidates`, each of them also a reference; the first one of equals."""
    distinct = list(
        dict.fromkeys(candidates)
    )  # a repeated candidate counts as often as a reference, but is scored once
    scores = expected_chrf(distinct, candidates, aggregated)
    return candidates.index(distinct[max(range(len(distinct)), key=scores.__getitem__)])


def line_mbr(prompt: str, pool: Sequence[str], forbidden: Set[str], sweeps: int) -> str:
    """The poem, put together line by line from the pool, with the highest expected chrF against it: coordinate ascent.

    It starts from the pool's MBR choice. At each line in turn, every pooled line of that place is tried and the best
    one kept, until a sweep changes nothing. This optimises the measure itself: label the result chrF-optimal.

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
    chosen = [start[place] if place < len(start) and start[place] in choices[place] else "" for place in range(places)]
    for _ in range(sweeps):
        before = list(chosen)
        for place, lines in enumerate(choices):
            options = list(dict.fromkeys([chosen[place], *lines]))
            poems = [_join(given, [*chosen[:place], line, *chosen[place + 1 :]]) for line in options]
            scores = expected_chrf(poems, pool, aggregated=True)
            chosen[place] = options[max(range(len(options)), key=scores.__getitem__)]
        if chosen == before:
            break
    return _join(given, chosen)


def _join(given: Sequence[str], lines: Sequence[str]) -> str:
    return "\n".join([*given, *filter(None, lines)])
