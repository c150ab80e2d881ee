"""Minimum Bayes risk: seconds for one choice among poems, by sacrebleu pair by pair and by this project.

    OMP_NUM_THREADS=1 python -m benchmarks.mbr [--rounds 3]

Reads data/prepared/sonnets/train.jsonl. A candidate is a real prompt and 11 lines, each from a random poem.
"""

import argparse
import random
from collections.abc import Sequence
from functools import partial

import numpy as np
from sacrebleu.metrics import CHRF

from benchmarks.measure import Work, interleaved, seconds, write
from pipeline.decoding.sampled_mbr import mbr
from pipeline.text.prepared import PREPARED, SONNET_LINES, read_poems

FEW, MANY = 64, 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mbr")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    poems = [poem.text.split("\n") for poem in read_poems(PREPARED / "sonnets" / "train.jsonl") if poem.text]
    pool = candidates(poems, MANY)
    slow, fast = f"sacrebleu, {FEW} candidates", f"this project, {FEW} candidates"
    rows: dict[str, Work] = {
        slow: partial(reference, pool[:FEW]),
        fast: partial(ours, pool[:FEW], False),
        f"this project, {MANY:,} candidates, aggregated": partial(ours, pool, True),
    }
    found = interleaved(rows, options.rounds, "s")
    assert int(np.argmax(sacrebleu_scores(pool[:FEW]))) == mbr(pool[:FEW])
    table = [
        {
            "name": name,
            "seconds": round(row.median, 3),
            "times_as_fast": round(found[slow].median / row.median, 1) if name in (slow, fast) else None,
            "peak_mib": row.peak_mib,
            "values": [round(value, 4) for value in row.values],
        }
        for name, row in found.items()
    ]
    write(
        "mbr",
        "Minimum Bayes risk",
        f"One choice among poems of {SONNET_LINES} lines with chrF, every candidate against every other; aggregated: "
        f"against the averaged n-gram counts of all. Among {FEW} both choose the same.",
        options.rounds,
        table,
    )


def candidates(poems: Sequence[Sequence[str]], count: int) -> list[str]:
    """Poems with the first poem's first three lines, every further line from the same place of a random poem."""
    rng = random.Random(0)
    whole = [poem for poem in poems if len(poem) == SONNET_LINES]
    given = whole[0][:3]
    return ["\n".join([*given, *(rng.choice(whole)[place] for place in range(3, SONNET_LINES))]) for _ in range(count)]


def sacrebleu_scores(texts: Sequence[str]) -> list[float]:
    """The mean chrF of every text against all of them, one sentence pair after the other."""
    chrf = CHRF()
    return [sum(chrf.sentence_score(one, [other]).score for other in texts) / len(texts) for one in texts]


def reference(texts: Sequence[str], _: int) -> float:
    """Seconds of sacrebleu."""
    start = seconds()
    scores = sacrebleu_scores(texts)
    max(range(len(texts)), key=scores.__getitem__)
    return seconds() - start


def ours(texts: Sequence[str], aggregated: bool, _: int) -> float:
    """Seconds of this project."""
    mbr(texts[:4], aggregated)  # warm
    start = seconds()
    mbr(texts, aggregated)
    return seconds() - start


if __name__ == "__main__":
    main()
