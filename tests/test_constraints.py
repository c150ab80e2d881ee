"""Constraints: what they ban is exactly what breaks them, and every decoder obeys them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import END, TEXT, options, tiny_model, tiny_tokenizer

from pipeline.decoding.constraints import Constraints, Copying, visible
from pipeline.decoding.writer import Writer
from pipeline.text.prepared import Poem, lines_of, words_of

TOKENIZER = tiny_tokenizer()
PIECES = [visible(TOKENIZER.decode([token])) for token in range(TOKENIZER.get_vocab_size())]
LINES = [*TEXT[3].split("\n"), "'Tis the old red river; the old red garden!", "a paint-box and the river"]
POEMS = [Poem(1, TEXT[3], None), Poem(2, "A warm song\nof one river\nand grey", None)]
STRICT = {"exact_lines": True, "line_length": True, "no_copy_words": 1}
CHANGED: dict[str, dict[str, object]] = {
    "top_k": {"top_k": 300, "draws": 3},
    "beam_search": {"no_repeat_ngram": 3},
    "contrastive_search": {},
    "contrastive_decoding": {},
    "ensemble_mbr": {"no_repeat_ngram": 3},
    "line_mbr": {"epsilon": 0.001},
}


def runs_of(line: str) -> set[tuple[str, ...]]:
    """All runs of words in a line."""
    words = words_of(line)
    return {tuple(words[first:last]) for first in range(len(words)) for last in range(first + 1, len(words) + 1)}


KNOWN = set().union(*map(runs_of, LINES))


def longest_run(line: str) -> int:
    """Words in the longest run of a line that some training line holds: every run looked up."""
    return max((len(run) for run in runs_of(line) & KNOWN), default=0)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.data())
def test_exactly_the_tokens_that_copy_are_banned(words: int, data: st.DataObject) -> None:
    copying, line = Copying(LINES, words, PIECES), ""
    parts = TOKENIZER.encode(data.draw(st.sampled_from(LINES)).lower()).ids
    for part in parts + parts:
        banned = set(copying.banned(line))
        copies = {
            token for token, piece in enumerate(PIECES) if "\n" not in piece and longest_run(line + piece) > words
        }
        assert banned == copies
        token = part if part not in banned else data.draw(st.integers(0, len(PIECES) - 1))
        if token not in banned and "\n" not in PIECES[token]:
            line += PIECES[token]
    assert longest_run(line) <= words


@pytest.mark.parametrize("name", CHANGED)
def test_every_decoder_obeys(name: str) -> None:
    end, size = TOKENIZER.token_to_id(END), TOKENIZER.get_vocab_size()
    model, amateur = (tiny_model(size, end, positions=700, spread=0.2, seed=seed).double() for seed in (0, 1))
    system = options(name, **CHANGED[name], **STRICT)
    poems, pool = system.module.write(Writer(model, TOKENIZER, 1, lambda: LINES, lambda: amateur), POEMS, system)
    lengths = [len(code.ids) for code in TOKENIZER.encode_batch(LINES)]
    for poem in [*poems, *pool]:
        assert poem.text.count("\n") == 13 and len(lines_of(poem.text)) == 14
        assert max(map(longest_run, poem.new_lines)) <= 1
        # What was written may be encoded shorter than it was written, and never longer.
        assert max(len(TOKENIZER.encode(line).ids) for line in poem.new_lines) <= max(lengths)


def test_lines_are_as_long_as_those_of_training_and_a_blank_one_does_not_end() -> None:
    lines = ["one two three", "one two three four five"]
    constraints = Constraints(TOKENIZER, lambda: lines, options("top_k", exact_lines=True, line_length=True))
    shortest, longest = (len(TOKENIZER.encode(line).ids) for line in lines)
    prompt = TOKENIZER.encode("a\nb\nc\n").ids
    (newline,), end, word = TOKENIZER.encode("\n").ids, TOKENIZER.token_to_id(END), TOKENIZER.encode("g").ids
    logits = torch.zeros(1, TOKENIZER.get_vocab_size())
    for written in range(longest + 1):
        allowed = constraints(logits, [prompt + word * written])[0].isfinite()
        assert bool(allowed[newline]) == (written >= shortest)
        assert bool(allowed[word[0]]) == (written < longest)
        assert not allowed[end]
    last = prompt + [*word * shortest, newline] * 10
    assert not constraints(logits, [last])[0].isfinite()[end]
    assert constraints(logits, [last + word * shortest])[0].isfinite()[end]
