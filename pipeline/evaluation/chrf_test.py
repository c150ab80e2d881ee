"""Is one system's corpus chrF higher than another's on the same poems? sacrebleu's paired bootstrap (Koehn 2004)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class ChrfTest(NamedTuple):
    """A system against the baseline: both corpus chrF scores and the two-sided p-value of their difference."""

    name: str
    chrf: float
    baseline: float
    p_value: float


def paired_bootstrap(
    baseline: Sequence[str], systems: Mapping[str, Sequence[str]], references: Sequence[str], resamples: int
) -> list[ChrfTest]:
    """Resample the poems (with sacrebleu's fixed seed), the same ones for both systems.

    Args:
        baseline, systems, references: one text a prompt, in one order.
    """
    from sacrebleu.metrics import CHRF
    from sacrebleu.significance import PairedTest

    named = [("baseline", list(baseline)), *((name, list(texts)) for name, texts in systems.items())]
    test = PairedTest(named, {"chrF": CHRF()}, [list(references)], test_type="bs", n_samples=resamples)
    _, columns = test()
    base, *others = next(values for key, values in columns.items() if key != "System")
    return [
        # sacrebleu counts resamples that differ MORE than the texts do: without any difference that is none of them.
        ChrfTest(
            name, float(found.score), float(base.score), 1.0 if found.score == base.score else float(found.p_value)
        )
        for name, found in zip(systems, others, strict=True)
    ]
