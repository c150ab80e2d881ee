"""MBR against brute force with sacrebleu; line-level MBR never gets worse and never uses what is forbidden."""

import pytest
from fastchrf import aggregate_chrf
from hypothesis import given, settings
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from pipeline.decoding.line_mbr import References, line_mbr
from pipeline.decoding.sampled_mbr import mbr

SACREBLEU = CHRF()
WORDS = st.sampled_from("shall I compare thee to a summer day rough winds do shake the darling buds of may".split())
LINE = st.lists(WORDS, min_size=2, max_size=6).map(" ".join)
POEMS = st.lists(st.lists(LINE, min_size=1, max_size=4).map("\n".join), min_size=1, max_size=7)


def brute_force(candidates: list[str]) -> list[float]:
    return [
        sum(SACREBLEU.sentence_score(candidate, [reference]).score for reference in candidates) / len(candidates)
        for candidate in candidates
    ]


@settings(max_examples=50, deadline=None)
@given(POEMS)
def test_the_choice_is_that_of_brute_force_with_sacrebleu(candidates: list[str]) -> None:
    expected = brute_force(candidates)
    assert expected[mbr(candidates)] == pytest.approx(max(expected), abs=1e-9)


def test_a_repeated_candidate_counts_as_often_as_it_comes() -> None:
    candidates = ["a rough wind", "the darling buds", "the darling buds", "summer"]
    assert mbr(candidates) == 1
    assert mbr(["aa", "bb", "cc"]) == 0  # all alike: the first


def aggregated(candidates: list[str], references: list[str]) -> list[float]:
    """chrF against averaged n-gram counts, by fastchrf."""
    return list(aggregate_chrf([candidates], [references])[0])


@settings(max_examples=25, deadline=None)
@given(POEMS)
def test_aggregated_references_are_those_of_fastchrf(candidates: list[str]) -> None:
    expected = aggregated(candidates, candidates)
    assert expected[mbr(candidates, aggregated=True)] == pytest.approx(max(expected), abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("ab c\n\u00e9", max_size=12), min_size=1, max_size=6), st.data())
def test_changed_texts_have_the_chrf_of_fastchrf(texts: list[str], data: st.DataObject) -> None:
    references = [*texts, "abc\u00e9"]
    before, *options, after = data.draw(st.lists(st.text("ab c\u00e9", max_size=9), min_size=4, max_size=4))
    scores = References(references).scores(options, [before], [after])
    assert scores == pytest.approx(aggregated([before + option + after for option in options], references), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(LINE, min_size=1, max_size=4), min_size=1, max_size=6), st.integers(1, 3))
def test_line_mbr_is_at_least_as_good_as_the_best_sample(tails: list[list[str]], sweeps: int) -> None:
    pool = ["\n".join(["given", "lines", *tail]) for tail in tails]
    text = line_mbr("given\nlines", pool, set(), sweeps)
    assert text.startswith("given\nlines\n")
    (best,) = aggregated([text], pool)
    assert best >= max(aggregated(pool, pool)) - 1e-6
    for place, line in enumerate(text.split("\n")[2:]):
        assert any(line in tail[place:] for tail in tails)
    again = line_mbr("given\nlines", pool, set(), 50)
    assert aggregated([again], pool)[0] >= best - 1e-6


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(LINE, min_size=2, max_size=4), min_size=1, max_size=6), st.data())
def test_line_mbr_never_uses_a_forbidden_line(tails: list[list[str]], data: st.DataObject) -> None:
    every = sorted({line for tail in tails for line in tail})
    forbidden = set(data.draw(st.lists(st.sampled_from(every))))
    pool = ["\n".join(["given", *tail]) for tail in tails]
    assert not forbidden & set(line_mbr("given", pool, forbidden, 3).split("\n"))
