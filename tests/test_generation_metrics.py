"""Sonnet scores against sacrebleu and figures worked out by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF
from scipy.stats import t as student

from pipeline.config.tasks import SeededEvaluation
from pipeline.errors import InputError
from pipeline.evaluation import chrf, generation, metre
from pipeline.evaluation.generation import Copying
from pipeline.files import write_jsonl
from pipeline.text.prepared import Generated, Poem, word_matches, words_of

PROMPT = "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\nRough winds do shake"
REST = (
    "\nAnd summer's lease hath all too short a date;\nSometime too hot the eye of heaven shines,"
    "\nAnd often is his gold complexion dimmed;"
)
REAL = Poem(18, PROMPT, PROMPT + REST)
OTHER = Poem(2, "a\nb\nc", "a\nb\nc\nWhen forty winters shall besiege thy brow\nAnd dig deep trenches")


SETTINGS = SeededEvaluation(bootstrap=200, confidence=0.95, seed=1)


def poem(rest: str, number: int = 18, draw: int = 0) -> Generated:
    return Generated(number, draw, PROMPT, PROMPT + rest)


def test_chrf_is_sacrebleu_for_whole_poems_and_completions() -> None:
    draws = {0: [poem("\nThe night is long")], 1: [poem("\nAnd summer's lease is over", draw=1)]}
    scores = generation.chrf_scores(generation.beside_real(draws, {18: REAL}, Path("dev.jsonl")), SETTINGS)
    metric = CHRF()
    whole = [metric.corpus_score([draw[0].text], [[PROMPT + REST]]).score for draw in draws.values()]
    rest = [metric.corpus_score([draw[0].completion], [[REST]]).score for draw in draws.values()]
    assert scores["chrf_mean"] == pytest.approx(np.mean(whole))
    assert scores["chrf_completion_mean"] == pytest.approx(np.mean(rest))
    assert scores["chrf_sd"] == pytest.approx(np.std(whole, ddof=1))
    low, high = student.interval(0.95, 1, np.mean(whole), np.std(whole, ddof=1) / 2**0.5)
    assert (scores["chrf_over_draws_low"], scores["chrf_over_draws_high"]) == pytest.approx((low, high))
    assert (scores["chrf_low"], scores["chrf_high"]) == pytest.approx((min(whole), max(whole)))  # one prompt, two draws
    assert scores["chrf_over_prompts_low"] == pytest.approx(np.mean(whole))


def test_chrf_by_hand() -> None:
    # "abc" against "abd": precision = recall = 2/3, 1/2, 0 for orders 1 to 3; mean over the orders that exist is 7/18
    assert chrf.chrf(["abc"], ["abd"]) == pytest.approx(100 * (2 / 3 + 1 / 2) / 3, abs=1e-6)
    assert chrf.chrf(["a b c d e f g"], ["abcdefg"]) == pytest.approx(100)


TEXTS = st.text("abc \n", min_size=1, max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_added_counts_are_a_corpus(pairs: list[tuple[str, str]]) -> None:
    found = chrf.of_counts(np.sum([chrf.counts(*pair) for pair in pairs], 0))
    assert found == pytest.approx(chrf.chrf(*zip(*pairs, strict=True)), abs=1e-6)


def test_intervals_resample_prompts_and_draws() -> None:
    rng = np.random.default_rng(0)
    references = ["".join(rng.choice(list("abcd"), 60)) for _ in range(8)]
    draws = [[("".join(rng.choice(list("abcd"), 60)), reference) for reference in references] for _ in range(5)]
    found = chrf.intervals(draws, 4000, 0.9, 1)
    again = np.random.default_rng(2)
    over_prompts, both = [], []
    for _ in range(1500):
        rows = again.integers(8, size=8)
        scores = [chrf.chrf([draw[row][0] for row in rows], [draw[row][1] for row in rows]) for draw in draws]
        over_prompts.append(np.mean(scores))
        both.append(np.mean(again.choice(scores, 5)))
    for name, values in (("over_prompts_", over_prompts), ("", both)):
        expected = np.quantile(values, [0.05, 0.95])
        assert [found[f"{name}low"], found[f"{name}high"]] == pytest.approx(expected, abs=0.25)
    assert found["low"] < found["over_prompts_low"] < found["over_prompts_high"] < found["high"]
    alone = chrf.intervals(draws[:1], 200, 0.9, 1)
    assert alone["low"] == alone["over_prompts_low"]  # one draw: over prompts alone


def test_one_draw_has_no_interval() -> None:
    assert generation.draw_summary("chrf", [40.0], 0.95) == {"chrf_mean": 40.0}


def test_variety_by_hand() -> None:
    assert generation.words_of("O, feel'st 'Tis\n\u2019tis well-known; 12") == [
        "o", "feel'st", "'tis", "'tis", "well-known", "12",
    ]  # fmt: skip
    assert generation.distinct(["a b a", "b c"], 1) == pytest.approx(3 / 5)
    assert generation.distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert generation.distinct([""], 3) == 0
    assert generation.repeated_4grams("a b c d a b c d") == pytest.approx(1 / 5)
    assert generation.repeated_4grams("a b c") == 0


def test_copying_by_hand() -> None:
    copying = Copying([REAL, OTHER])
    assert copying.copied_lines(["  and DIG deep trenches!", "And dig deep"]) == 0.5 and copying.copied_lines([]) == 0
    assert copying.longest_shared("so forty winters shall besiege my brow") == 4
    assert copying.longest_shared("complexion dimmed a b") == 2  # no run spans two poems
    assert copying.longest_shared("zzz") == copying.longest_shared("") == 0
    scores = generation.text_scores({0: [poem("\nAnd dig deep trenches\n\nzzz zzz")]}, copying)
    assert (scores["lines_mean"], scores["exactly_14_lines"]) == (5, 0)
    assert scores["copied_line_share"] == pytest.approx(0.5)
    assert scores["longest_shared_words"] == 4
    assert scores["distinct_1"] == pytest.approx(5 / 6)


def test_runs_shared_with_the_real_poem_and_with_another_by_hand() -> None:
    real = {
        1: Poem(1, "First", "First\nNow is the winter of our discontent"),
        2: Poem(2, "Second", "Second\nAll that glisters"),
    }
    draws = {
        0: [Generated(1, 0, "First", "First\nnow is the SUMMER, all that"), Generated(2, 0, "Second", "Second\nzzz")]
    }
    found = generation.shared_with_real(draws, real)
    assert found == {"longest_shared_with_real": 1.5, "longest_shared_with_another": 1.0}
    prompt = {0: [Generated(number, 0, real[number].prompt, f"{real[number].prompt}\nFirst Second") for number in real]}
    assert set(generation.shared_with_real(prompt, real).values()) == {0.0}  # the given lines do not count


def test_a_poem_without_new_lines_is_scored() -> None:
    scores = generation.text_scores({0: [poem("")]}, Copying([REAL]))
    assert scores["copied_line_share"] == scores["distinct_2"] == scores["longest_shared_words"] == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("in the night", "so bright,", True),
        ("my love", "to prove", False),
        ("thou feel'st", "thou steel'st", True),  # not in the dictionary: by spelling
        ("the day", "a day", False),  # a word does not rhyme with itself
        ("...", "day", False),
    ],
)
def test_rhymes(first: str, second: str, expected: bool) -> None:
    assert metre.rhymes(first, second) is expected


def test_rhyme_agreement_by_hand() -> None:
    ends = ["day", "light", "may", "night", "see", "sun", "thee", "stone", "x", "y"]
    # (light, night) and (see, thee) rhyme, (sun, stone) does not, three later pairs are incomplete
    assert metre.rhyme_agreement([f"so {end}" for end in ends]) == pytest.approx(2 / 6)
    couplet = [f"so {end}" for end in [*ends[:4], "a", "be", "see", "tree", "ox", "cat", "fox", "hat", "moon", "june"]]
    assert metre.rhyme_agreement(couplet) == pytest.approx(5 / 6)
    assert metre.rhyme_agreement([]) == 0


def test_syllables_by_hand() -> None:
    assert metre.syllables("Shall I compare thee to a summer's day?") == 10
    assert metre.syllables("beauteouse") == 2  # not in the dictionary: eau, eou and a silent e
    assert metre.syllables("zzz") == 1
    assert metre.verse_scores([[]])["syllables_per_line"] == 0


def test_reading_generated_poems(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    rows = [{"id": 18, "draw": draw, "prompt": PROMPT, "text": PROMPT + "\nx"} for draw in (1, 0)]
    write_jsonl(path, rows)
    assert list(generation.read_generated(path)) == [0, 1]
    broken = [
        ([], "no poems"),
        ([{"id": 18}], ":1: expected id, draw"),
        ([rows[0] | {"text": None}], ":1: expected"),
        ([rows[0] | {"text": "other"}], ":1: the text does not begin"),
        ([rows[0], rows[0]], "each prompt once"),
        ([rows[0], rows[1] | {"id": 19}], "each prompt once"),
    ]
    for content, message in broken:
        write_jsonl(path, content)
        with pytest.raises(InputError, match=message):
            generation.read_generated(path)
    with pytest.raises(InputError, match=r"unknown \[18\], missing \[2\]"):
        generation.beside_real({0: [poem("\nx")]}, {2: OTHER}, path)


def test_floors() -> None:
    train = [Poem(n, "p\nq\nr", f"p\nq\nr{rest}") for n, rest in enumerate(["\nthe sun", "\nthe sunny sun", "\nxyz"])]
    assert generation.consensus([generation.tail(poem) for poem in train]) in ("\nthe sun", "\nthe sunny sun")
    found = generation.floors(train, [REAL, REAL], 0.95, seed=1)
    assert found == generation.floors(train, [REAL, REAL], 0.95, seed=1)
    assert found["prompt_only_chrf"] == pytest.approx(CHRF().corpus_score([PROMPT], [[PROMPT + REST]]).score)
    assert found["consensus_train_tail_chrf"] > found["prompt_only_chrf"]
    assert found["random_train_tail_chrf_over_draws_low"] < found["random_train_tail_chrf_mean"]


def test_consensus_is_the_best_mean_sentence_chrf() -> None:
    tails = [REST, "\nAnd summer's lease is done", "\nthe gold complexion of the day", "\nzzzz qqqq"]
    means = [np.mean([CHRF().sentence_score(one, [two]).score for two in tails if two != one]) for one in tails]
    assert generation.consensus(tails) == tails[int(np.argmax(means))]


WORDS = st.lists(st.sampled_from(["thy", "lovely", "days,", "O", "feel'st"]), max_size=14).map(" ".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(WORDS.filter(bool), min_size=1, max_size=3), WORDS, st.integers(1, 4))
def test_copied_words_are_the_runs_that_a_training_poem_has(known: list[str], text: str, words: int) -> None:
    copying = Copying([Poem(number, line, line) for number, line in enumerate(known)])
    places = word_matches(text)
    expected = set()
    for first in range(len(places) - words + 1):
        run = f" {' '.join(words_of(text)[first : first + words])} "
        if any(run in f" {' '.join(words_of(line))} " for line in known):
            expected |= set(range(first, first + words))
    shared = copying.shared_characters(text, words)
    marked = [{*range(*place.span())} <= shared for place in places]
    assert {number for number, mark in enumerate(marked) if mark} == expected
    assert all(text[place] in " ," for place in shared - {at for word in places for at in range(*word.span())})


def test_perplexity_is_that_of_the_mean_poem() -> None:
    draws = {0: [Generated(1, 0, PROMPT, PROMPT + "\nx", 2.0), Generated(2, 0, PROMPT, PROMPT)],
             1: [Generated(1, 1, PROMPT, PROMPT, 3.0), Generated(2, 1, PROMPT, PROMPT + "\nz", 4.0)]}  # fmt: skip
    assert generation.text_scores(draws, Copying([]))["perplexity"] == pytest.approx(math.exp(3))
