"""Gate `chrf`: the sentence chrF of the second sentence against the first, over 100 (Popovic 2015).

https://aclanthology.org/W15-3049; character n-grams up to 6, no word n-grams, beta 2, white space removed: what
sacrebleu computes for a sentence. It sees characters only, where BLEURT sees similar words too.
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version


class ChrF:
    """Sentence chrF / 100 of (reference, candidate)."""

    name = "chrf"

    @cached_property
    def revision(self) -> str:
        """The version of the package that computes it."""
        return f"fastchrf-{version('fastchrf')}"

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """0 (no n-gram shared) to 1."""
        return [chrf(*pair) for pair in pairs]


def chrf(reference: str, candidate: str) -> float:
    """Sentence chrF / 100 of one candidate."""
    from fastchrf import pairwise_chrf

    # fastchrf knows fewer white space characters than sacrebleu, so they are removed here.
    hypothesis, target = "".join(candidate.split()), "".join(reference.split())
    return float(pairwise_chrf([[hypothesis]], [[target]])[0][0][0]) / 100
