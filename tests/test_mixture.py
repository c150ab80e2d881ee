"""Mixtures of models: the product of their distributions, as a slow reference multiplies it, under every decoder."""

from functools import partial

import numpy as np
import pytest
import test_decoding
import torch
from tiny import END, NEWLINES, options, tiny_model, tiny_tokenizer
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.running import Limits, sample
from pipeline.decoding.top_p import top_p
from pipeline.decoding.verse import Critic
from pipeline.decoding.writer import Writer
from pipeline.models.adapters import text_length
from pipeline.models.output import Mixture, surprisals
from pipeline.text.prepared import Poem

VOCABULARY, POSITIONS = test_decoding.VOCABULARY, test_decoding.POSITIONS
CHOOSE = partial(top_p, p=0.9, temperature=1.2)
PROMPTS = test_decoding.prompts_of([5, 12, 9, 2, 12, 11])
WEIGHTS = [0.3, 0.7]


@pytest.fixture(scope="module")
def models() -> list[GPT2LMHeadModel]:
    """Two models of other widths and contexts, with one vocabulary."""
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=POSITIONS + 9, n_embd=48, n_layer=1, n_head=2, initializer_range=0.3,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    torch.manual_seed(1)
    return [tiny_model(VOCABULARY, 0, POSITIONS, spread=0.25).double(), GPT2LMHeadModel(config).eval().double()]


@torch.no_grad()
def product(models: list[GPT2LMHeadModel], ids: list[int], weights: list[float]) -> np.ndarray:
    """Next-token probabilities: those of the models, multiplied and renormalised."""
    shares = [model(torch.tensor([ids])).logits[0, -1].softmax(-1).numpy() for model in models]
    found = np.prod([share**weight for share, weight in zip(shares, weights, strict=True)], axis=0)
    return found / found.sum()


def reference(models: list[GPT2LMHeadModel], prompt: list[int], seed: int, weights: list[float]) -> list[int]:
    text, stream = list(prompt), test_decoding.uniforms(POSITIONS, seed)
    for numbers in stream.tolist():
        if sum(NEWLINES[token] for token in text) >= 3 or len(text) == POSITIONS:
            break
        scores = torch.tensor(np.log(product(models, text, weights)))
        token = test_decoding.reference_token(scores, numbers, 0.9, 1.2)
        if token == 0:
            break
        text.append(token)
    return text[len(prompt) :]


def test_samples_are_those_of_the_product(models: list[GPT2LMHeadModel]) -> None:
    mixture = Mixture(models, WEIGHTS)
    assert text_length(mixture) == POSITIONS
    texts = sample(mixture, PROMPTS, range(6), CHOOSE, Limits(NEWLINES, 3))
    assert texts == [reference(models, prompt, seed, WEIGHTS) for seed, prompt in enumerate(PROMPTS)]
    for model in models:
        assert sample(model, PROMPTS, range(6), CHOOSE, Limits(NEWLINES, 3)) != texts


@pytest.mark.parametrize("weights", [[1.0, 0.0], [0.4, 0.6]])
def test_one_model_is_its_own_mixture(models: list[GPT2LMHeadModel], weights: list[float]) -> None:
    """All weight on the first of two models, or a model with itself: the first, token for token."""
    mixture = Mixture(models if weights[1] == 0 else [models[0], models[0]], weights)
    expected = sample(models[0], PROMPTS, range(6), CHOOSE, Limits(NEWLINES, 4))
    assert sample(mixture, PROMPTS, range(6), CHOOSE, Limits(NEWLINES, 4)) == expected
    beams = options("beam_search", beams=4)
    texts, others = (beam_search(model, PROMPTS, beams, Limits(NEWLINES, 3)) for model in (models[0], mixture))
    assert texts == others


def test_one_beam_takes_the_likeliest_token_of_the_product(models: list[GPT2LMHeadModel]) -> None:
    (texts,) = beam_search(Mixture(models, WEIGHTS), PROMPTS[1:2], options("beam_search", beams=1), Limits(NEWLINES, 3))
    text = list(PROMPTS[1])
    for token in texts[0]:
        assert token == product(models, text, WEIGHTS).argmax()
        text.append(token)
    assert len(texts[0]) > 2


def test_the_critic_of_verse_ranks_by_the_product() -> None:
    tokenizer = tiny_tokenizer()
    pair = [tiny_model(tokenizer.get_vocab_size(), 0, 64, spread=0.2, seed=seed).double() for seed in (0, 1)]
    prompts, texts = [[5, 9, 8, 7], [5, 4]], [[7, 9], [3], []]
    critic = Critic(Writer(Mixture(pair, WEIGHTS), tokenizer, 1))
    with torch.inference_mode():
        sums, following = critic.read(prompts, [0, 1, 0], texts)
    for row, text, total, after in zip([0, 1, 0], texts, sums, following, strict=True):
        seen = [prompts[row] + text[:place] for place in range(len(text) + 1)]
        shares = [product(pair, ids, WEIGHTS) for ids in seen]
        expected = sum(np.log(share[token]) for share, token in zip(shares, text, strict=False))
        assert total == pytest.approx(expected, abs=1e-9)
        np.testing.assert_allclose(after.exp().numpy(), shares[-1], atol=1e-12)


def test_likelihoods_do_not_depend_on_how_many_are_asked_for_at_once(models: list[GPT2LMHeadModel]) -> None:
    hidden = torch.randn(600, 32 + 48, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    targets = torch.arange(600) % VOCABULARY
    mixture = Mixture(models, WEIGHTS)
    with torch.inference_mode():
        together = surprisals(mixture, hidden, targets)
        torch.testing.assert_close(together[590:], surprisals(mixture, hidden[590:], targets[590:]))
        assert surprisals(mixture, hidden[:0], targets[:0]).shape == (0,)


@pytest.mark.parametrize("decoder", ["top_k", "min_p", "epsilon", "sampled_mbr", "line_mbr", "beam_mbr", "verse"])
def test_every_such_decoder_writes_with_a_mixture(decoder: str) -> None:
    tokenizer = tiny_tokenizer()
    model, other = (
        tiny_model(tokenizer.get_vocab_size(), tokenizer.token_to_id(END), 110, 0.15, seed).double() for seed in (0, 1)
    )
    poems = [Poem(156, "A warm song\nof one river\nand grey", None), Poem(2, "a\nb\nc", None)]
    system = options(decoder, model={"backbone": 0.5, "sonnet/any": 0.5})
    write = system.module.write
    alone = write(Writer(model, tokenizer, 1), poems, system)
    assert write(Writer(Mixture([model, model], [0.5, 0.5]), tokenizer, 1), poems, system) == alone
    assert write(Writer(Mixture([model, other], [0.5, 0.5]), tokenizer, 1), poems, system) != alone
