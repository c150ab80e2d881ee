"""Beam search against a slow one without cache, batch or padding, and against transformers' own."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from tiny import NEWLINES, QUIET, tiny_model
from tiny import options as system
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.beam_search import Options, beam_search
from pipeline.decoding.running import Limits

VOCABULARY, END, POSITIONS = 40, 0, 32
SETTINGS: list[Options] = [
    system("beam_search", beams=beams, length_penalty=penalty, no_repeat_ngram=order)
    for beams, penalty, order in [(5, 0.6, 0), (1, 1.0, 0), (3, 0.0, 0), (4, 1.0, 2)]
]


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    return tiny_model(VOCABULARY, END, POSITIONS, spread=0.3, seed=5).double()


def prompts_of(lengths: Sequence[int], seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[END, *rng.integers(1, 32, length - 1).tolist()] for length in lengths]


def repeats(tokens: list[int], order: int) -> bool:
    grams = [tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1)]
    return len(grams) != len(set(grams))


@torch.no_grad()
def reference(model: GPT2LMHeadModel, prompt: list[int], options: Options, lines: int) -> list[list[int]]:
    """The definition: every continuation of every beam listed, sorted and taken one after the other."""
    running: list[tuple[list[int], float]] = [([], 0.0)]
    finished: list[tuple[float, list[int]]] = []
    while running and len(finished) < options.beams:
        every = []
        for text, total in running:
            scores = model(torch.tensor([prompt + text])).logits[0, -1].log_softmax(-1)
            for token in range(VOCABULARY):
                order = options.no_repeat_ngram
                if not (order and repeats([*prompt, *text, token], order)):
                    every.append((total + float(scores[token]), text, token))
        every.sort(key=lambda item: -item[0])
        running = []
        for rank, (total, text, token) in enumerate(every[: 2 * options.beams]):
            full = sum(NEWLINES[each] for each in [*prompt, *text, token]) >= lines
            if token == END or full or len(prompt) + len(text) + 1 == POSITIONS:
                if rank < options.beams:
                    score = total / (len(text) + 1) ** options.length_penalty
                    finished.append((score, text if token == END else [*text, token]))
            elif len(running) < options.beams:
                running.append(([*text, token], total))
    return [text for _, text in sorted(finished, key=lambda item: -item[0])]


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("seed", [0, 1])
def test_texts_equal_a_slow_reference(model: GPT2LMHeadModel, options: Options, seed: int) -> None:
    prompts = prompts_of([10, 4, 7, 2], seed)
    texts = beam_search(model, prompts, options, Limits(NEWLINES, 4))
    assert texts == [reference(model, prompt, options, 4) for prompt in prompts]
    assert len({len(text) for found in texts for text in found}) > 1


def test_a_text_does_not_depend_on_its_batch(model: GPT2LMHeadModel) -> None:
    prompts = prompts_of([10, 3, 17, 5], 2)
    alone = [beam_search(model, [prompt], SETTINGS[0], Limits(NEWLINES, 4))[0] for prompt in prompts]
    assert beam_search(model, prompts[::-1], SETTINGS[0], Limits(NEWLINES, 4))[::-1] == alone


def test_one_beam_is_greedy_and_equals_transformers(model: GPT2LMHeadModel) -> None:
    for prompt in prompts_of([6, 9], 4):
        (text,) = beam_search(model, [prompt], SETTINGS[1], QUIET)[0]
        new = model.generate(torch.tensor([prompt]), do_sample=False, max_length=POSITIONS, pad_token_id=END)
        expected = new[0, len(prompt) :].tolist()
        assert text == (expected[: expected.index(END)] if END in expected else expected)


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_the_best_text_is_that_of_transformers(
    model: GPT2LMHeadModel, length_penalty: float, limit: int | None
) -> None:
    for prompt in prompts_of([6, 9, 3], 6):
        options = system("beam_search", beams=4, length_penalty=length_penalty)
        ours = beam_search(model, [prompt], options, Limits(QUIET.breaks, new_tokens=limit))[0][0]
        found = model.generate(
            torch.tensor([prompt]), num_beams=4, do_sample=False, pad_token_id=END, length_penalty=length_penalty,
            max_new_tokens=limit or POSITIONS - len(prompt), early_stopping=True,
        )[0, len(prompt) :].tolist()  # fmt: skip
        theirs = found[: found.index(END)] if END in found else found
        assert ours == theirs


def test_no_ngram_comes_twice(model: GPT2LMHeadModel) -> None:
    prompts = prompts_of([4, 6], 3)
    for prompt, texts in zip(prompts, beam_search(model, prompts, SETTINGS[3], QUIET), strict=True):
        assert not any(repeats([*prompt, *text], 2) for text in texts)


def test_nothing_to_write(model: GPT2LMHeadModel) -> None:
    full = prompts_of([POSITIONS], 0)[0]
    assert beam_search(model, [], SETTINGS[0], QUIET) == []
    assert beam_search(model, [full, [END, 33, 33]], SETTINGS[0], Limits(NEWLINES, 2)) == [[[]], [[]]]
