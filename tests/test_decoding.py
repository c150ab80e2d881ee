"""Top-p against its definition by sorting; the sampling loop against a slow one without cache, batch or padding."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tiny import NEWLINES, QUIET, tiny_model
from torch import Tensor
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding import running
from pipeline.decoding.running import REDRAWS, Limits, sample
from pipeline.decoding.top_p import top_p

LOGITS = st.lists(st.floats(-12, 12, width=32) | st.integers(-3, 3).map(float), min_size=1, max_size=24)
VOCABULARY, END, POSITIONS = 40, 0, 48


def nucleus(logits: Sequence[float], p: float, temperature: float = 1.0, slack: float = 0.0) -> np.ndarray:
    """Probabilities of the nucleus, not renormalised: sort, add up, keep tokens until p is reached (ties together)."""
    scaled = np.array(logits, dtype=np.float64) / temperature
    weights = np.exp(scaled - scaled.max())
    probabilities = weights / weights.sum()
    order = np.argsort(-probabilities, kind="stable")
    kept, total = np.zeros_like(probabilities), 0.0
    for place, token in enumerate(order):
        tied = place > 0 and probabilities[token] == probabilities[order[place - 1]]
        if total >= p + slack and not tied:
            break
        kept[token] = probabilities[token]
        total += probabilities[token]
    return kept


def uniforms(rows: int, seed: int = 0, draws: int = REDRAWS) -> Tensor:
    return torch.rand(rows, draws, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draw(logits: Sequence[float], rows: int, p: float, temperature: float = 1.0, seed: int = 0) -> np.ndarray:
    """Many tokens from the same logits."""
    return top_p(torch.tensor([logits]).expand(rows, -1), uniforms(rows, seed), p, temperature).numpy()


@settings(max_examples=120, deadline=None)
@given(LOGITS, st.floats(0.01, 1), st.sampled_from([0.5, 1.0, 2.0]), st.integers(0, 10**6))
def test_no_token_outside_the_nucleus(logits: list[float], p: float, temperature: float, seed: int) -> None:
    logits = np.array(logits, dtype=np.float32).tolist()
    allowed = nucleus(logits, p, temperature, slack=1e-9)
    assert np.all(allowed[draw(logits, 100, p, temperature, seed)] > 0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-4, 4).map(lambda n: n / 2), min_size=1, max_size=8), st.sampled_from([0.31, 0.6, 0.9, 1.0])
)
def test_every_token_of_the_nucleus(logits: list[float], p: float) -> None:
    # A fine grid of first uniforms instead of chance: every token is met, and no others but those of the nucleus.
    grid = torch.cat([(torch.arange(4000, dtype=torch.float64)[:, None] + 0.5) / 4000, uniforms(4000)], 1)
    found = set(top_p(torch.tensor([logits]).expand(4000, -1), grid, p, 1.0).tolist())
    sure, possible = (set(np.flatnonzero(nucleus(logits, p, slack=slack))) for slack in (-1e-9, 1e-9))
    assert sure <= found <= possible


@pytest.mark.parametrize(
    ("p", "temperature"), [(0.9, 1.0), (0.9, 1.2), (0.6, 1.0), (0.8, 0.5), (1.0, 1.0), (0.95, 3.0)]
)
def test_the_distribution_is_the_nucleus_renormalised(p: float, temperature: float) -> None:
    logits = np.random.default_rng(5).normal(scale=1.5, size=14).astype(np.float32).tolist()
    expected = nucleus(logits, p, temperature)
    inside = expected > 0
    assert p == 1.0 or not inside.all()
    counts = np.bincount(draw(logits, 20_000, p, temperature, seed=11), minlength=14)
    assert counts[~inside].sum() == 0
    assert chisquare(counts[inside], 20_000 * expected[inside] / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("vocabulary", [1, 30, 400])
def test_p_one_is_the_inverse_of_the_distribution_function(vocabulary: int) -> None:
    logits = np.random.default_rng(2).normal(size=(500, vocabulary))
    numbers = uniforms(500, seed=4)
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    first = numbers[:, 0].numpy()
    expected = [int((row.cumsum() <= u).sum()) for row, u in zip(probabilities, first, strict=True)]
    assert top_p(torch.tensor(logits), numbers, 1.0, 1.0).tolist() == expected


def test_a_large_vocabulary_draws_as_its_definition_by_sorting() -> None:
    logits = 2 * torch.randn(200, 400, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    numbers = uniforms(200, seed=6)
    drawn = zip(logits, numbers.tolist(), strict=True)
    assert top_p(logits, numbers, 0.8, 1.3).tolist() == [reference_token(row, own, 0.8, 1.3) for row, own in drawn]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2**-53])
def test_banned_tokens_are_never_drawn(dtype: torch.dtype, number: float) -> None:
    logits = torch.full((2, 400), -torch.inf, dtype=dtype)
    logits[0, [105, 109]] = 0.0
    logits[1, 7] = -80.0  # the only one, however unlikely it looks
    tokens = top_p(logits, torch.full((2, REDRAWS), number, dtype=torch.float64), 1.0, 1.0).tolist()
    assert tokens == [105 if number < 0.5 else 109, 7]


def test_temperature_divides_the_logits() -> None:
    logits = torch.randn(300, 20, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    numbers = uniforms(300)
    assert torch.equal(top_p(logits, numbers, 0.8, 2.0), top_p(logits / 2, numbers, 0.8, 1.0))
    assert torch.equal(top_p(logits, numbers, 1.0, 1e-4), logits.argmax(-1))


def test_rows_do_not_share_their_streams() -> None:
    logits, numbers = torch.randn(50, 20, generator=torch.Generator().manual_seed(3)), uniforms(50)
    together = top_p(logits, numbers, 0.7, 1.3)
    alone = torch.cat([top_p(logits[[row]], numbers[[row]], 0.7, 1.3) for row in range(50)])
    assert torch.equal(together, alone)


def test_a_row_whose_draws_all_miss_takes_its_likeliest_token() -> None:
    logits = torch.tensor([[0.0, 2.0, 0.0]])
    assert top_p(logits, torch.full((1, REDRAWS), 0.999, dtype=torch.float64), 0.5, 1.0).tolist() == [1]


def reference_token(logits: Tensor, numbers: Sequence[float], p: float, temperature: float) -> int:
    """Draw by inverse CDF until the token is in the sorted nucleus."""
    values = logits.tolist()
    everything, inside = nucleus(values, 2.0, temperature), nucleus(values, p, temperature)
    for number in numbers:
        token = int((everything.cumsum() <= number).sum())
        if inside[token] > 0:
            return token
    return int(everything.argmax())


@torch.no_grad()
def reference_text(
    model: GPT2LMHeadModel, prompt: list[int], seed: int, max_lines: int, p: float, temperature: float
) -> tuple[list[int], str]:
    """New tokens of one text and why it ended: the whole text anew for every token, no cache, batch or padding."""
    ids, stream = list(prompt), uniforms(POSITIONS, seed)
    for numbers in stream.tolist():
        if sum(NEWLINES[token] for token in ids) >= max_lines:
            return ids[len(prompt) :], "lines"
        if len(ids) == POSITIONS:
            break
        token = reference_token(model(torch.tensor([ids])).logits[0, -1], numbers, p, temperature)
        if token == END:
            return ids[len(prompt) :], "end"
        ids.append(token)
    return ids[len(prompt) :], "context"


@pytest.fixture(scope="module")
def model() -> GPT2LMHeadModel:
    return tiny_model(VOCABULARY, END, POSITIONS, spread=0.15).double()


def prompts_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [[END, *rng.integers(1, 32, length - 1).tolist()] for length in lengths]


@pytest.mark.parametrize("seed", [0, 1, 4])
def test_texts_equal_a_slow_reference(model: GPT2LMHeadModel, seed: int) -> None:
    prompts = prompts_of([12] * 8, seed) + prompts_of([5, 9, 2, 11], seed)
    seeds, p, temperature, lines = [1000 * seed + row for row in range(12)], 0.9, 1.2, 3
    texts = sample(model, prompts, seeds, partial(top_p, p=p, temperature=temperature), Limits(NEWLINES, lines))
    pairs = zip(prompts, seeds, strict=True)
    expected = [reference_text(model, prompt, stream, lines, p, temperature) for prompt, stream in pairs]
    ends = {reason for _, reason in expected}
    assert ends == {"lines", "end"} and len({len(text) for text, _ in expected}) > 4
    assert texts == [text for text, _ in expected]


def test_a_text_ends_with_the_context(model: GPT2LMHeadModel) -> None:
    choose = partial(top_p, p=0.9, temperature=1.2)
    prompts, seeds = prompts_of([12] * 20), list(range(20))
    texts = sample(model, prompts, seeds, choose, QUIET)
    assert max(map(len, texts)) == POSITIONS - 12
    longest = max(range(20), key=lambda row: len(texts[row]))
    assert sample(model, [prompts[longest]], [seeds[longest]], choose, QUIET) == [texts[longest]]


@pytest.mark.parametrize("rows", [1, 3, 256])
def test_a_text_does_not_depend_on_its_batch(
    model: GPT2LMHeadModel, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    choose = partial(top_p, p=0.9, temperature=1.1)
    prompts, seeds = prompts_of([10] * 10), list(range(10))
    together = sample(model, prompts, seeds, choose, Limits(NEWLINES, 5))
    monkeypatch.setattr(running, "ROWS_PER_BATCH", rows)
    assert sample(model, prompts[::-1], seeds[::-1], choose, Limits(NEWLINES, 5))[::-1] == together
    assert len(set(map(tuple, together))) == 10


def test_a_text_does_not_depend_on_longer_prompts_beside_it(model: GPT2LMHeadModel) -> None:
    choose = partial(top_p, p=0.9, temperature=1.1)
    prompts, seeds = [*prompts_of([3] * 8), *prompts_of([40])], list(range(9))
    alone = [sample(model, [prompt], [seed], choose, QUIET)[0] for prompt, seed in zip(prompts, seeds, strict=True)]
    assert sample(model, prompts, seeds, choose, QUIET) == alone


def test_a_text_ends_with_the_line_limit() -> None:
    model = tiny_model(VOCABULARY, END, POSITIONS)

    def breaks(logits: Tensor, _: Tensor) -> Tensor:
        return torch.full((len(logits),), 33)

    def two_breaks(logits: Tensor, _: Tensor) -> Tensor:
        return torch.full((len(logits),), 38)

    prompt = [END, 5, 33, 6, 33, 7, 33]  # three lines
    full = [END, *[33] * 14]
    assert sample(model, [prompt, full, [5]], [1, 2, 3], breaks, Limits(NEWLINES)) == [[33] * 11, [], [33] * 14]
    assert sample(model, [prompt], [1], two_breaks, Limits(NEWLINES)) == [[38] * 6]


def test_nothing_to_write_and_a_full_context() -> None:
    model, choose = tiny_model(VOCABULARY, END, POSITIONS), partial(top_p, p=0.9, temperature=1.0)
    assert sample(model, [], [], choose, Limits(NEWLINES)) == []
    assert sample(model, prompts_of([POSITIONS]), [1], choose, Limits(NEWLINES)) == [[]]


def test_other_seeds_give_other_texts(model: GPT2LMHeadModel) -> None:
    texts = sample(model, prompts_of([4]) * 20, range(20), partial(top_p, p=0.9, temperature=1.2), Limits(NEWLINES))
    assert len(set(map(tuple, texts))) >= 18
