"""chrF that needs no model: what copying from the training sonnets scores on the dev prompts."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.generation import chrf, draw_summary, full_text, tail
from pipeline.text.prepared import Poem

RANDOM_DRAWS = 20


def floors(train: Sequence[Poem], dev: Sequence[Poem], confidence: float, seed: int) -> dict[str, float]:
    """The three floors: the prompt alone, a random training tail (seeded draws), one consensus training tail."""
    rng = np.random.default_rng(seed)
    tails = [tail(poem) for poem in train]
    picks = rng.integers(len(tails), size=(RANDOM_DRAWS, len(dev)))
    random_draws = [_scores([tails[pick] for pick in row], dev) for row in picks]
    whole, completion = _scores([consensus(tails)] * len(dev), dev)
    return {
        "prompt_only_chrf": chrf([poem.prompt for poem in dev], [full_text(poem) for poem in dev]),
        **draw_summary("random_train_tail_chrf", [first for first, _ in random_draws], confidence),
        **draw_summary("random_train_tail_chrf_completion", [second for _, second in random_draws], confidence),
        "consensus_train_tail_chrf": whole,
        "consensus_train_tail_chrf_completion": completion,
    }


def consensus(tails: Sequence[str]) -> str:
    """The tail with the highest mean sentence chrF against all other tails: no dev poem is looked at."""
    from fastchrf import pairwise_chrf

    scores = np.array(pairwise_chrf([list(tails)], [list(tails)])[0])  # (N, N), [hypothesis, reference]
    np.fill_diagonal(scores, 0)
    return tails[int(scores.sum(axis=1).argmax())]


def _scores(tails: Sequence[str], dev: Sequence[Poem]) -> tuple[float, float]:
    """chrF of whole poems and of completions when each dev prompt is continued with its tail."""
    whole = chrf([poem.prompt + text for poem, text in zip(dev, tails, strict=True)], [full_text(poem) for poem in dev])
    return whole, chrf(tails, [tail(poem) for poem in dev])
