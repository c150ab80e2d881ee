"""Verse: lines that must rhyme do, nothing forbidden is used, and a poem does not depend on the others."""

from collections.abc import Sequence

import pytest
import torch
from tiny import END, options, tiny_model
from tokenizers import Tokenizer
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from pipeline.decoding.verse import PARTNERS, Critic, split, verse
from pipeline.decoding.writer import Writer
from pipeline.evaluation.metre import rhymes
from pipeline.text.prepared import Poem
from pipeline.training.pretrain import train_tokenizer

WORDS = "day way may stay say night light sight bright love dove above heart part art time rhyme climb eyes skies lies"
PROMPTS = [
    "When summer came to shine upon the day\nI saw the moon that wandered in the night\nAnd sang of love along the way",
    "The silver moon\nan orange\nand the heart",  # nothing rhymes with orange
]
POEMS = [Poem(number, prompt, None) for number, prompt in enumerate(PROMPTS)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    line = " and".join(f" {word}" for word in WORDS.split())
    return train_tokenizer([f"{prompt}\n{line},\n" * 9 for prompt in PROMPTS], 420)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> GPT2LMHeadModel:
    end = tokenizer.token_to_id(END)
    found = tiny_model(tokenizer.get_vocab_size(), end, positions=512, spread=0.2).double()
    with torch.no_grad():  # words and line breaks often enough that lines are lines
        breaks = [token for token in range(tokenizer.get_vocab_size()) if "\n" in tokenizer.decode([token])]
        whole = [*Critic(Writer(found, tokenizer, 5)).words, *breaks]
        found.transformer.wte.weight[whole] += 0.5 * found.transformer.ln_f.weight
        found.transformer.ln_f.bias += 0.5
    return found


def write(model: GPT2LMHeadModel, tokenizer: Tokenizer, poems: list[Poem], forbidden: Sequence[str] = ()) -> list[str]:
    short = ["and the night", "I saw the moon that wandered in the night"]
    system = options("verse", candidates=6, top_p=0.95, exact_lines=True, line_length=True)
    return verse(Writer(model, tokenizer, 5, lambda: [*short, *forbidden]), poems, system)


def test_words_that_rhyme_are_found(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    critic = Critic(Writer(model, tokenizer, 5))
    found = {critic.words[token] for token in critic.rhymes("Day")}
    assert {"way", "may", "stay", "say"} <= found and "day" not in found
    assert all(rhymes("day", word) for word in found)
    assert critic.rhymes("orange") == []


def test_every_line_that_can_rhyme_does(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    critic = Critic(Writer(model, tokenizer, 5))
    rhymed = 0
    for poem, text in zip(POEMS, write(model, tokenizer, POEMS), strict=True):
        lines = text.split("\n")
        assert text.startswith(poem.prompt) and len(lines) == 14 == len(set(lines))
        for second, first in PARTNERS.items():
            if second < 3:
                continue
            partner = split(lines[first])
            assert partner is not None
            if critic.rhymes(partner[1]):
                rhymed += 1
                assert rhymes(lines[first], lines[second]), (lines[first], lines[second])
    assert rhymed >= 10  # of 12; the second prompt has an orange


def test_a_poem_depends_on_its_own_prompt_alone(
    model: GPT2LMHeadModel, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = write(model, tokenizer, POEMS)
    assert together == [write(model, tokenizer, [poem])[0] for poem in POEMS]
    assert together[::-1] == write(model, tokenizer, POEMS[::-1])
    system = options("verse", candidates=4, exact_lines=True, line_length=True)
    written = system.module.write(Writer(model, tokenizer, 1, list), POEMS, system)
    monkeypatch.setattr("pipeline.decoding.verse.ROWS_PER_BATCH", 4)  # one poem at a time
    assert system.module.write(Writer(model, tokenizer, 1, list), POEMS, system) == written


def test_forbidden_lines_are_not_used(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    lines = write(model, tokenizer, POEMS)[0].split("\n")
    others = write(model, tokenizer, POEMS, [lines[3], lines[5]])[0].split("\n")
    assert others[:3] == lines[:3] and not {lines[3], lines[5]} & set(others)


def test_likelihoods_are_those_of_a_pass_without_a_cache(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    prompts, rows, texts = [[0, 7, 90, 33], [0, 12]], [0, 1, 0, 1], [[5, 8, 260], [], [301], [4, 4, 4, 9, 17]]
    sums, following = Critic(Writer(model, tokenizer, 5)).read(prompts, rows, texts)
    for row, text, total, last in zip(rows, texts, sums, following, strict=True):
        prompt = prompts[row]
        with torch.inference_mode():
            plain = model(torch.tensor([prompt + text])).logits[0].log_softmax(-1)
        expected = sum(plain[len(prompt) - 1 + place, token].item() for place, token in enumerate(text))
        assert total == pytest.approx(expected, abs=1e-9)
        torch.testing.assert_close(last, plain[-1])


def test_the_last_word_of_a_line() -> None:
    assert split("Thy love's fair 'tis,") == ("Thy love's fair ", "'tis", ",")
    assert split("alone.") == ("", "alone", ".")
    assert split("...") is None


def test_a_context_that_ends_ends_the_poem(tokenizer: Tokenizer) -> None:
    small = tiny_model(tokenizer.get_vocab_size(), tokenizer.token_to_id(END), positions=64, spread=0.2)
    for text in write(small, tokenizer, POEMS):
        assert 3 <= len(text.split("\n")) < 14


def test_a_system_writes_it(model: GPT2LMHeadModel, tokenizer: Tokenizer) -> None:
    system = options("verse", exact_lines=True, line_length=True)
    written = system.module.write(Writer(model, tokenizer, 1, lambda: [PROMPTS[0].split("\n")[0]]), POEMS, system)
    assert [poem.id for poem in written.poems] == [0, 1] and not written.pool
    assert all(len(poem.lines) == 14 for poem in written.poems)
