"""Scores of generated sonnets: chrF against the real poems and its floors, form, variety and copying.

The headline is the chrF of the whole poem with its three given lines, as in the course; `completion` leaves those out.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.config.tasks import SeededEvaluation
from pipeline.errors import InputError
from pipeline.evaluation.chrf import chrf, intervals
from pipeline.evaluation.significance import student_interval
from pipeline.files import read_jsonl
from pipeline.text.prepared import SONNET_LINES, Generated, Poem, lines_of, word_matches, words_of

Draws = dict[int, list[Generated]]  # poems of each draw


def read_generated(path: Path, whole: bool = True) -> Draws:
    """Poems by draw; every draw must hold the same prompts, each once, unless they are candidates: not `whole`."""
    draws: Draws = {}
    for number, row in enumerate(read_jsonl(path), 1):
        try:
            poem = Generated(**row)
            wrong = "" if poem.text.startswith(poem.prompt) else "the text does not begin with its prompt"
        except (TypeError, AttributeError):
            wrong = "expected id, draw, prompt and text"
        if wrong:
            raise InputError(f"{path}:{number}: {wrong}; delete it and run `dvc repro`")
        draws.setdefault(poem.draw, []).append(poem)
    if not draws:
        raise InputError(f"{path}: no poems; delete it and run `dvc repro`")
    expected = sorted({poem.id for poems in draws.values() for poem in poems})
    for draw, poems in draws.items():
        if whole and sorted(poem.id for poem in poems) != expected:
            raise InputError(f"{path}: draw {draw} does not hold each prompt once; delete it and run `dvc repro`")
    return dict(sorted(draws.items()))


def full_text(poem: Poem) -> str:
    """The text of a poem that must have one."""
    if poem.text is None or not poem.text.startswith(poem.prompt):
        raise InputError(f"sonnet {poem.id}: expected a poem that begins with its prompt; run `dvc repro prepare`")
    return poem.text


def tail(poem: Poem) -> str:
    """Everything after the three given lines of a real poem."""
    return full_text(poem)[len(poem.prompt) :]


def draw_summary(name: str, values: Sequence[float], confidence: float) -> dict[str, float]:
    """Mean over draws, standard deviation and Student's interval of the mean (of more draws for these same prompts)."""
    if len(values) < 2:
        return {f"{name}_mean": float(np.mean(values))}
    mean, sd, low, high = student_interval(values, confidence)
    return {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_over_draws_low": low, f"{name}_over_draws_high": high}


def beside_real(draws: Draws, real: Mapping[int, Poem], path: Path) -> list[list[tuple[Generated, Poem]]]:
    """The poems of each draw, in order of their prompts, with the real ones; `path` is for errors."""
    found = {poem.id for poems in draws.values() for poem in poems}
    if found != set(real):
        differing = f"unknown {sorted(found - set(real))}, missing {sorted(set(real) - found)}"
        raise InputError(f"{path}: prompts differ from the real poems ({differing}); run `dvc repro`")
    return [[(poem, real[poem.id]) for poem in sorted(poems, key=lambda own: own.id)] for poems in draws.values()]


def chrf_of_draws(drawn: Sequence[Sequence[tuple[Generated, Poem]]]) -> list[float]:
    """chrF of the whole poems of each draw, as `beside_real` gives them."""
    return [chrf(*zip(*((poem.text, full_text(real)) for poem, real in poems), strict=True)) for poems in drawn]


def chrf_scores(drawn: Sequence[Sequence[tuple[Generated, Poem]]], settings: SeededEvaluation) -> dict[str, float]:
    """chrF of whole poems and of completions, and the intervals of the first."""
    whole = [[(poem.text, full_text(real)) for poem, real in poems] for poems in drawn]
    tails = [chrf(*zip(*((poem.completion, tail(real)) for poem, real in poems), strict=True)) for poems in drawn]
    means = draw_summary("chrf", chrf_of_draws(drawn), settings.confidence)
    means |= draw_summary("chrf_completion", tails, settings.confidence)
    ends = intervals(whole, settings.bootstrap, settings.confidence, settings.seed)
    return means | {f"chrf_{name}": value for name, value in ends.items()}


def distinct(texts: Iterable[str], order: int) -> float:
    """Distinct word n-grams over all n-grams of some texts (Li et al. 2016, distinct-n): it falls with more text."""
    words = map(words_of, texts)
    grams = [gram for own in words for gram in zip(*(own[start:] for start in range(order)), strict=False)]
    return len(set(grams)) / max(len(grams), 1)


def repeated_4grams(text: str) -> float:
    """Share of the runs of four words in a text that repeat an earlier one (Welleck et al. 2020, seq-rep-4)."""
    return 1 - distinct([text], 4) if len(words_of(text)) >= 4 else 0.0


class Copying:
    """What generated text shares with the poems the models were trained or selected on."""

    def __init__(self, poems: Sequence[Poem]) -> None:
        texts = [full_text(poem) for poem in poems]
        self._lines = {" ".join(words_of(line)) for text in texts for line in lines_of(text)}
        # Two spaces stand between poems, so that no run of words spans two of them.
        self._words = "  ".join(["", *(" ".join(words_of(text)) for text in texts), ""])

    def copied_lines(self, lines: Sequence[str]) -> float:
        """Share of the lines that occur in a training poem, up to case and punctuation."""
        return sum(" ".join(words_of(line)) in self._lines for line in lines) / max(len(lines), 1)

    def longest_shared(self, text: str) -> int:
        """Words in the longest run that also occurs in one training poem."""
        return max(self._shared(words_of(text)), default=0)

    def shared_characters(self, text: str, words: int) -> set[int]:
        """Places in a text that belong to a run of at least `words` words in common with one training poem."""
        spans, places = [match.span() for match in word_matches(text)], set()
        for last, longest in enumerate(self._shared(words_of(text))):
            if longest >= words:
                places |= set(range(spans[last - longest + 1][0], spans[last][1]))
        return places

    def _shared(self, words: Sequence[str]) -> Iterator[int]:
        """For each word, the length of the longest shared run that ends there."""
        start = 0
        for end in range(1, len(words) + 1):
            while f" {' '.join(words[start:end])} " not in self._words:
                start += 1
            yield end - start


def shared_with_real(draws: Draws, real: Mapping[int, Poem]) -> dict[str, float]:
    """Words in the longest run that a completion shares with the real one, and with that of the next poem: means.

    If the first is the longer one, the model may have read the dev poems before, as a pre-trained one can.
    """
    ids = sorted(real)
    ends = {number: Copying([Poem(number, "", tail(real[number]))]) for number in ids}
    other = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    poems = [poem for members in draws.values() for poem in members]
    own = [ends[poem.id].longest_shared(poem.completion) for poem in poems]
    next_one = [ends[other[poem.id]].longest_shared(poem.completion) for poem in poems]
    return {"longest_shared_with_real": float(np.mean(own)), "longest_shared_with_another": float(np.mean(next_one))}


def text_scores(draws: Draws, copying: Copying) -> dict[str, float]:
    """Length, variety, copying, perplexity (of the mean log-likelihood): means over poems, of distinct-n over draws."""
    poems = [poem for members in draws.values() for poem in members]
    texts = [[poem.completion for poem in members] for members in draws.values()]
    scores = lengths([poem.lines for poem in poems])
    scores |= {f"distinct_{order}": float(np.mean([distinct(own, order) for own in texts])) for order in (1, 2, 3)}
    if known := [poem.nll for poem in poems if poem.nll is not None]:
        scores["perplexity"] = math.exp(float(np.mean(known)))
    return scores | {
        "repeated_4grams": float(np.mean([repeated_4grams(poem.completion) for poem in poems])),
        "longest_shared_words": float(np.mean([copying.longest_shared(poem.completion) for poem in poems])),
        "copied_line_share": copying.copied_lines([line for poem in poems for line in poem.new_lines]),
    }


def lengths(poems: Sequence[list[str]]) -> dict[str, float]:
    """Mean number of lines and share of poems of 14, from the lines of each."""
    lines = np.array([len(poem) for poem in poems])
    return {"lines_mean": float(lines.mean()), "exactly_14_lines": float((lines == SONNET_LINES).mean())}


def floors(train: Sequence[Poem], dev: Sequence[Poem], confidence: float, seed: int) -> dict[str, float]:
    """The three floors: the prompt alone, a random training tail (20 seeded draws), one consensus training tail."""
    tails, whole, ends = [tail(poem) for poem in train], [full_text(poem) for poem in dev], [tail(poem) for poem in dev]
    picks = np.random.default_rng(seed).integers(len(tails), size=(20, len(dev)))
    draws = [[tails[pick] for pick in row] for row in picks] + [[consensus(tails)] * len(dev)]
    poems = [[poem.prompt + text for poem, text in zip(dev, texts, strict=True)] for texts in draws]
    *random, one_for_all = [chrf(texts, whole) for texts in poems]
    *random_ends, one_end = [chrf(texts, ends) for texts in draws]
    return {
        "prompt_only_chrf": chrf([poem.prompt for poem in dev], whole),
        **draw_summary("random_train_tail_chrf", random, confidence),
        **draw_summary("random_train_tail_chrf_completion", random_ends, confidence),
        "consensus_train_tail_chrf": one_for_all,
        "consensus_train_tail_chrf_completion": one_end,
    }


def consensus(tails: Sequence[str]) -> str:
    """The tail with the highest mean sentence chrF against all other tails: no dev poem is looked at."""
    from fastchrf import pairwise_chrf

    scores = np.array(pairwise_chrf([list(tails)], [list(tails)])[0])  # (N, N), [hypothesis, reference]
    np.fill_diagonal(scores, 0)
    return tails[int(scores.sum(axis=1).argmax())]
