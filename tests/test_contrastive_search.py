"""Contrastive search against a slow one without cache, siblings, batch or padding; its options; the n-gram ban."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import NEWLINES, QUIET, tiny_model
from tiny import options as system
from torch import Tensor
from transformers import NoRepeatNGramLogitsProcessor, RepetitionPenaltyLogitsProcessor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.constraints import ban_repeated, penalised
from pipeline.decoding.contrastive_search import Options, contrastive_search
from pipeline.decoding.running import Limits

VOCABULARY, END, POSITIONS = 40, 0, 40
EVERYTHING = {
    "k": 3, "alpha": 0.4, "dynamic_alpha": True, "mean_similarity": True, "repetition_penalty": 1.2,
    "no_repeat_ngram": 2,
}  # fmt: skip
SETTINGS: list[Options] = [
    system("contrastive_search", **changed)
    for changed in ({}, {"dynamic_alpha": True}, {"mean_similarity": True}, {"repetition_penalty": 1.3}, EVERYTHING)
]


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    return tiny_model(VOCABULARY, END, POSITIONS, spread=0.25, seed=3).double()


def prompts_of(lengths: Sequence[int], seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[END, *rng.integers(1, 32, length - 1).tolist()] for length in lengths]


@torch.no_grad()
def reference(model: GPT2LMHeadModel, prompt: list[int], options: Options, lines: int) -> list[int]:
    """The definition, one text at a time: every state anew for every candidate."""
    text, written = list(prompt), 0
    while len(text) < POSITIONS and sum(NEWLINES[token] for token in text) < lines:
        logits = model(torch.tensor([text])).logits
        ids, last = torch.tensor([text]), logits[:, -1]
        if options.repetition_penalty != 1:
            spared = torch.tensor([token == END or bool(NEWLINES[token]) for token in range(VOCABULARY)])
            last = last.where(spared, RepetitionPenaltyLogitsProcessor(options.repetition_penalty)(ids, last))
        if options.no_repeat_ngram:
            last = NoRepeatNGramLogitsProcessor(options.no_repeat_ngram)(ids, last)
        probabilities = last.softmax(-1)[0]
        alpha = options.alpha * (min(1, (written + 1) / 128) if options.dynamic_alpha else 1)
        scores = {}
        for token in probabilities.argsort(descending=True)[: options.k].tolist():
            states = model(torch.tensor([[*text, token]]), output_hidden_states=True).hidden_states[-1][0]
            cosines = torch.nn.functional.cosine_similarity(states[:-1], states[-1:], dim=-1)
            alike = cosines.mean() if options.mean_similarity else cosines.max()
            scores[token] = float((1 - alpha) * probabilities[token] - alpha * alike)
        best = max(scores, key=scores.__getitem__)
        if best == END:
            break
        text.append(best)
        written += 1
    return text[len(prompt) :]


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_texts_equal_a_slow_reference(model: GPT2LMHeadModel, options: Options, seed: int) -> None:
    prompts = prompts_of([12, 5, 9, 2, 20], seed)
    texts = contrastive_search(model, prompts, options, Limits(NEWLINES, 3))
    assert texts == [reference(model, prompt, options, 3) for prompt in prompts]
    assert len({len(text) for text in texts}) > 1 and sum(map(len, texts)) > 20


def test_a_text_does_not_depend_on_its_batch(model: GPT2LMHeadModel) -> None:
    prompts = prompts_of([10, 3, 17, 5], 2)
    alone = [contrastive_search(model, [prompt], SETTINGS[4], QUIET)[0] for prompt in prompts]
    assert contrastive_search(model, prompts, SETTINGS[4], QUIET) == alone
    assert contrastive_search(model, prompts[::-1], SETTINGS[4], QUIET) == alone[::-1]


def test_a_limit_of_tokens_cuts_what_is_written(model: GPT2LMHeadModel) -> None:
    prompts = prompts_of([10, 3], 2)
    whole = contrastive_search(model, prompts, SETTINGS[0], QUIET)
    assert min(map(len, whole)) > 6
    cut = contrastive_search(model, prompts, SETTINGS[0], Limits(QUIET.breaks, new_tokens=6))
    assert cut == [text[:6] for text in whole]


def test_alpha_of_zero_is_greedy(model: GPT2LMHeadModel) -> None:
    (prompt,) = prompts_of([6], 4)
    (text,) = contrastive_search(model, [prompt], system("contrastive_search", alpha=0.0), QUIET)
    expected = model.generate(torch.tensor([prompt]), do_sample=False, max_length=POSITIONS, pad_token_id=END)
    assert [*prompt, *text] == [token for token in expected[0].tolist() if token != END or token == prompt[0]][
        : len(prompt) + len(text)
    ]


def test_nothing_to_write(model: GPT2LMHeadModel) -> None:
    full = prompts_of([POSITIONS], 0)[0]
    assert contrastive_search(model, [], SETTINGS[0], QUIET) == []
    assert contrastive_search(model, [full, [END, 33, 33]], SETTINGS[0], Limits(NEWLINES, 2)) == [[], []]
    first = contrastive_search(model, [full, [END, 5]], SETTINGS[0], Limits(NEWLINES, 2))
    assert first == [[], reference(model, [END, 5], SETTINGS[0], 2)]


@given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=30), min_size=1, max_size=4), st.integers(1, 4))
def test_an_ngram_never_comes_twice(texts: list[list[int]], order: int) -> None:
    allowed = ban_repeated(torch.zeros(len(texts), 7), texts, order).isfinite()
    for text, row in zip(texts, allowed.tolist(), strict=True):
        grams = {tuple(text[start : start + order]) for start in range(len(text) - order + 1)}
        assert row == [tuple([*text, token][-order:]) not in grams for token in range(7)]


def test_when_every_token_is_banned_one_is_written_all_the_same() -> None:
    logits = torch.randn(1, 3)
    assert torch.equal(ban_repeated(logits, [[0, 1, 2]], 1), logits)
    assert ban_repeated(logits, [[0, 1]], 1).isfinite().tolist() == [[False, False, True]]


@given(
    st.lists(st.floats(-9, 9, allow_subnormal=False), min_size=5, max_size=5),
    st.sets(st.integers(0, 4)),
    st.sets(st.integers(0, 4)),
    st.floats(1.01, 3),
)
def test_the_penalty_makes_a_written_token_less_likely(
    values: list[float], seen: set[int], spared: set[int], penalty: float
) -> None:
    logits = torch.tensor([values], dtype=torch.float64)
    lowered: Tensor = penalised(logits, [[*seen, *seen]], penalty, sorted(spared))
    for token in range(5):
        if token in seen - spared and values[token] != 0:
            assert lowered[0, token] < logits[0, token]
        else:
            assert lowered[0, token] == logits[0, token]
