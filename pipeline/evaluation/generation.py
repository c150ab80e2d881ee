"""Scores of generated sonnets: chrF against the real poems and its floors, form, variety and copying.

chrF is Popovic 2015 as sacrebleu computes it for a corpus: character n-grams up to 6, no word n-grams, beta 2 (recall
counts twice as much as precision), white space removed, from 0 to 100. The headline is the whole poem including its
three given lines, as in the course; `completion` leaves those out. A score is computed for each draw (one poem per
prompt) and then averaged over draws: the best draw is not a score, since no one could pick it without the answer.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.evaluation.significance import student_interval
from pipeline.files import read_jsonl
from pipeline.text.prepared import SONNET_LINES, Generated, Poem, lines_of, word_matches, words_of

RANDOM_DRAWS = 20  # of training tails


def read_generated(path: Path) -> dict[int, list[Generated]]:
    """Poems by draw; every draw must hold the same prompts, each once."""
    poems = [_generated(path, number, row) for number, row in enumerate(read_jsonl(path), 1)]
    if not poems:
        raise InputError(f"{path}: no poems; delete it and run `dvc repro`")
    draws: dict[int, list[Generated]] = {}
    for poem in poems:
        draws.setdefault(poem.draw, []).append(poem)
    expected = Counter(poem.id for poem in next(iter(draws.values())))
    for draw, members in draws.items():
        if Counter(poem.id for poem in members) != expected or max(expected.values()) > 1:
            raise InputError(f"{path}: draw {draw} does not hold each prompt once; delete it and run `dvc repro`")
    return dict(sorted(draws.items()))


def _generated(path: Path, number: int, row: dict[str, Any]) -> Generated:
    try:
        poem = Generated(row["id"], row["draw"], row["prompt"], row["text"], row.get("nll"))
        continues = poem.text.startswith(poem.prompt)
    except (KeyError, TypeError, AttributeError):
        message = f"{path}:{number}: expected id, draw, prompt and text; delete it and run `dvc repro`"
        raise InputError(message) from None
    if not continues:
        raise InputError(f"{path}:{number}: the text does not begin with its prompt; delete it and run `dvc repro`")
    return poem


def references_for(poems: Sequence[Generated], real: Mapping[int, Poem], path: Path) -> list[Poem]:
    """The real poem of every generated one, in order."""
    unknown = sorted({poem.id for poem in poems} - set(real))
    missing = sorted(set(real) - {poem.id for poem in poems})
    if unknown or missing:
        differing = f"unknown {unknown}, missing {missing}"
        raise InputError(f"{path}: prompts differ from the dev poems ({differing}); run `dvc repro`")
    return [real[poem.id] for poem in poems]


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus chrF of n texts against one reference each, 0 to 100."""
    from sacrebleu.metrics import CHRF

    return float(CHRF(char_order=6, word_order=0, beta=2).corpus_score(list(hypotheses), [list(references)]).score)


def full_text(poem: Poem) -> str:
    """The text of a poem that must have one."""
    if poem.text is None or not poem.text.startswith(poem.prompt):
        raise InputError(f"sonnet {poem.id}: expected a poem that begins with its prompt; run `dvc repro prepare`")
    return poem.text


def tail(poem: Poem) -> str:
    """Everything after the three given lines of a real poem."""
    return full_text(poem)[len(poem.prompt) :]


def draw_summary(name: str, values: Sequence[float], confidence: float) -> dict[str, float]:
    """Mean over draws, standard deviation and Student interval of the mean; one draw has a mean only.

    The interval answers "how would more draws for these same prompts change the mean"; it does not cover other prompts.
    """
    if len(values) < 2:
        return {f"{name}_mean": float(np.mean(values))}
    mean, sd, low, high = student_interval(values, confidence)
    return {f"{name}_mean": mean, f"{name}_sd": sd, f"{name}_low": low, f"{name}_high": high}


def chrf_scores(
    draws: Mapping[int, list[Generated]], real: Mapping[int, Poem], confidence: float, path: Path
) -> dict[str, float]:
    """chrF of whole poems and of completions, summarised over draws."""
    whole, completions = [], []
    for poems in draws.values():
        references = references_for(poems, real, path)
        whole.append(chrf([poem.text for poem in poems], [full_text(poem) for poem in references]))
        completions.append(chrf([poem.completion for poem in poems], [tail(poem) for poem in references]))
    return draw_summary("chrf", whole, confidence) | draw_summary("chrf_completion", completions, confidence)


def distinct(texts: Iterable[str], order: int) -> float:
    """Distinct word n-grams over all word n-grams of some texts (Li et al. 2016, distinct-n); 0 without any.

    It falls with the amount of text, so it is computed for one draw (all prompts) at a time.
    """
    grams = [gram for text in texts for gram in word_grams(text, order)]
    return len(set(grams)) / max(len(grams), 1)


def repeated(text: str, order: int = 4) -> float:
    """Share of the word n-grams of one text that repeat an earlier one (Welleck et al. 2020, seq-rep-n)."""
    grams = word_grams(text, order)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def word_grams(text: str, order: int) -> list[tuple[str, ...]]:
    """All runs of `order` words, across line ends."""
    words = words_of(text)
    return [tuple(words[start : start + order]) for start in range(len(words) - order + 1)]


class Copying:
    """What generated text shares with the poems the models were trained or selected on."""

    def __init__(self, poems: Sequence[Poem]) -> None:
        texts = [full_text(poem) for poem in poems]
        self._lines = {" ".join(words_of(line)) for text in texts for line in lines_of(text)}
        self._index: dict[str, int] = {}
        words = [word for text in texts for word in [*words_of(text), ""]]  # "": no run of words spans two poems
        self._corpus = np.array([self._index.setdefault(word, len(self._index)) for word in words], dtype=np.int64)

    def is_copied(self, line: str) -> bool:
        """Whether a line occurs in a training poem, up to case and punctuation."""
        return " ".join(words_of(line)) in self._lines

    def longest_shared(self, text: str) -> int:
        """Words in the longest run that also occurs in one training poem."""
        return max(self._shared(words_of(text)), default=0)

    def shared_spans(self, text: str, words: int) -> list[tuple[int, int]]:
        """Where a text (begin, end) shares a run of at least `words` words with a training poem; none overlap."""
        matches = word_matches(text)
        copied = [False] * len(matches)
        for place, longest in enumerate(self._shared([match.group().lower() for match in matches])):
            if longest >= words:
                copied[place - longest + 1 : place + 1] = [True] * longest
        spans: list[tuple[int, int]] = []
        for place, match in enumerate(matches):
            if copied[place] and place > 0 and copied[place - 1]:
                spans[-1] = (spans[-1][0], match.end())
            elif copied[place]:
                spans.append(match.span())
        return spans

    def _shared(self, words: Sequence[str]) -> Iterator[int]:
        """For each word, the length of the longest shared run that ends there (longest common substring, O(n m))."""
        run = np.zeros(len(self._corpus) + 1, dtype=np.int64)
        for word in words:
            run[1:] = np.where(self._corpus == self._index.get(word, -2), run[:-1] + 1, 0)
            yield int(run.max())


def text_scores(draws: Mapping[int, list[Generated]], copying: Copying) -> dict[str, float]:
    """Length, variety and copying: means over poems, or over draws for distinct-n.

    Perplexity is e to the mean over poems of the completion's mean negative log-likelihood a token.
    """
    poems = [poem for members in draws.values() for poem in members]
    new_lines = [line for poem in poems for line in poem.new_lines]
    scores = {
        "lines_mean": float(np.mean([len(poem.lines) for poem in poems])),
        "exactly_14_lines": float(np.mean([len(poem.lines) == SONNET_LINES for poem in poems])),
    }
    for order in (1, 2, 3):
        values = [distinct((poem.completion for poem in members), order) for members in draws.values()]
        scores[f"distinct_{order}"] = float(np.mean(values))
    known = [poem.nll for poem in poems if poem.nll is not None]
    if known:
        scores["perplexity"] = math.exp(float(np.mean(known)))
    scores["repeated_4grams"] = float(np.mean([repeated(poem.completion) for poem in poems]))
    scores["longest_shared_words"] = float(np.mean([copying.longest_shared(poem.completion) for poem in poems]))
    scores["copied_line_share"] = sum(map(copying.is_copied, new_lines)) / max(len(new_lines), 1)
    return scores


def floors(train: Sequence[Poem], dev: Sequence[Poem], confidence: float, seed: int) -> dict[str, float]:
    """The three floors: the prompt alone, a random training tail (seeded draws), one consensus training tail."""
    rng = np.random.default_rng(seed)
    tails = [tail(poem) for poem in train]
    picks = rng.integers(len(tails), size=(RANDOM_DRAWS, len(dev)))
    random_draws = [_tail_scores([tails[pick] for pick in row], dev) for row in picks]
    whole, completion = _tail_scores([consensus(tails)] * len(dev), dev)
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


def _tail_scores(tails: Sequence[str], dev: Sequence[Poem]) -> tuple[float, float]:
    """chrF of whole poems and of completions when each dev prompt is continued with its tail."""
    whole = chrf([poem.prompt + text for poem, text in zip(dev, tails, strict=True)], [full_text(poem) for poem in dev])
    return whole, chrf(tails, [tail(poem) for poem in dev])
