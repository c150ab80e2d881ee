"""Contrastive decoding against a slow one without cache, batch or padding."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny import NEWLINES, options, tiny_model
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.contrastive_decoding import contrast, contrastive_decoding
from pipeline.decoding.running import Limits

VOCABULARY, END, POSITIONS = 40, 0, 40


@pytest.fixture(scope="module")
def models() -> tuple[GPT2LMHeadModel, GPT2LMHeadModel]:
    expert, amateur = (tiny_model(VOCABULARY, END, POSITIONS, spread=0.25, seed=seed).double() for seed in (3, 4))
    return expert, amateur


def prompts_of(lengths: Sequence[int], seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[END, *rng.integers(1, 32, length - 1).tolist()] for length in lengths]


@torch.no_grad()
def reference(models: tuple[GPT2LMHeadModel, ...], prompt: list[int], alpha: float, order: int) -> list[int]:
    text = list(prompt)
    while len(text) < POSITIONS and sum(NEWLINES[token] for token in text) < 3:
        expert, amateur = (model(torch.tensor([text])).logits[0, -1].softmax(-1).tolist() for model in models)
        grams = {tuple(text[start : start + order]) for start in range(len(text) - order + 1)} if order else set()
        allowed = [
            token
            for token in range(VOCABULARY)
            if expert[token] >= alpha * max(expert) and tuple([*text, token][-order:]) not in grams
        ]
        best = max(allowed, key=lambda token: np.log(expert[token]) - np.log(amateur[token]))
        if best == END:
            break
        text.append(best)
    return text[len(prompt) :]


@pytest.mark.parametrize(("alpha", "order"), [(0.1, 0), (0.5, 0), (0.1, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_texts_equal_a_slow_reference(
    models: tuple[GPT2LMHeadModel, GPT2LMHeadModel], alpha: float, order: int, seed: int
) -> None:
    prompts = prompts_of([12, 5, 9, 2, 20], seed)
    system = options("contrastive_decoding", alpha=alpha, no_repeat_ngram=order)
    texts = contrastive_decoding(models, prompts, system, Limits(NEWLINES, 3))
    assert texts == [reference(models, prompt, alpha, order) for prompt in prompts]
    assert len({len(text) for text in texts}) > 1


def test_a_limit_of_tokens_cuts_what_is_written(models: tuple[GPT2LMHeadModel, GPT2LMHeadModel]) -> None:
    prompts, system = prompts_of([12, 5, 9], 0), options("contrastive_decoding", no_repeat_ngram=0)
    whole = contrastive_decoding(models, prompts, system, Limits(NEWLINES, 3))
    assert max(map(len, whole)) > 4
    cut = contrastive_decoding(models, prompts, system, Limits(NEWLINES, 3, new_tokens=4))
    assert cut == [text[:4] for text in whole]


def test_alpha_of_one_is_greedy_and_a_model_against_itself_says_nothing() -> None:
    expert = torch.randn(5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    amateur = torch.randn(5, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert torch.equal(contrast(expert, amateur, 1.0).argmax(1), expert.argmax(1))
    assert contrast(expert, expert, 0.01).nan_to_num(neginf=0).abs().max() < 1e-12


def test_nothing_to_write(models: tuple[GPT2LMHeadModel, GPT2LMHeadModel]) -> None:
    full, system = prompts_of([POSITIONS], 0)[0], options("contrastive_decoding")
    assert contrastive_decoding(models, [], system, Limits(NEWLINES, 2)) == []
    assert contrastive_decoding(models, [full, [END, 33, 33]], system, Limits(NEWLINES, 2)) == [[], []]
