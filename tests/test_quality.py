"""Verdicts on back-translations, the class prior and the counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.quality import ACCEPTED, REJECTIONS, judge, summary
from pipeline.augment.surface.chrf import chrf

SOURCE = "How do I lose 5 kg in a month without going hungry?"
GOOD = "In what way can I drop five kilos within one month without being hungry?"
CHECKS = {"near_copy": 0.9, "length_ratio": 2.0, "threshold": 0.75}


@pytest.mark.parametrize(
    ("translation", "similarity", "verdict"),
    [
        (GOOD, 0.8, "accepted"),
        (GOOD, 0.75, "accepted"),
        (GOOD, 0.7499, "drift"),
        (GOOD, None, "drift"),
        (None, 0.8, "untranslated"),
        ("", 0.8, "untranslated"),
        (" ?! ", 0.8, "untranslated"),
        ("How do I *lose five kilos in a month without hunger?", 0.8, "untranslated"),
        ("How do I @lose five kilos in a month without hunger?", 0.8, "untranslated"),
        ("How do I #lose five kilos in a month without hunger?", 0.8, "untranslated"),
        (SOURCE, 0.8, "copy"),
        ("how do i lose 5kg in a month - without going hungry ?", 0.8, "copy"),
        ("How do I lose 5 kg in a month without going so hungry?", 0.8, "near_copy"),
        ("Can I lose 5 kilos?", 0.8, "length"),
        (GOOD.replace("five", "six"), 0.8, "numbers"),
        (GOOD.replace("without being", "and be"), 0.8, "negation"),
    ],
)
def test_verdicts(translation: str | None, similarity: float | None, verdict: str) -> None:
    assert judge(SOURCE, translation, similarity, **CHECKS) == verdict


def test_the_first_reason_counts() -> None:
    """Each text also fails every later check."""
    assert judge(SOURCE, "*no", 0.1, **CHECKS) == "untranslated"
    assert judge(SOURCE, "Never 6", 0.1, **CHECKS) == "length"
    assert judge(SOURCE, "How do I lose 6 kg in a month and go very hungry?", 0.1, 1.0, 2.0, 0.75) == "numbers"
    assert judge(SOURCE, "How do I lose 5 kg in a month and go very hungry?", 0.1, 1.0, 2.0, 0.75) == "negation"


def test_without_a_threshold_the_similarity_is_not_looked_at() -> None:
    assert judge(SOURCE, GOOD, None, 0.9, 2.0, None) == "accepted"


def test_marks_of_the_source_are_no_fault_of_the_translator() -> None:
    assert (
        judge("What does @home mean on Twitter?", "What means @home when used on Twitter?", 0.9, **CHECKS) == ACCEPTED
    )
    assert judge("Is 3*4 more than 11?", "Does 3*4 exceed 11 in value?", 0.9, **CHECKS) == ACCEPTED


TEXT = st.text(st.sampled_from("ab 1?*é"), max_size=12)


@given(TEXT, st.none() | TEXT, st.none() | st.floats(-1, 1), st.floats(0, 1), st.floats(1.1, 3), st.floats(0, 1))
def test_every_candidate_gets_a_known_verdict(
    source: str, translation: str | None, similarity: float | None, near: float, ratio: float, threshold: float
) -> None:
    verdict = judge(source, translation, similarity, near, ratio, threshold)
    assert verdict in (ACCEPTED, *REJECTIONS)
    if verdict == ACCEPTED:
        assert translation and similarity is not None
        assert similarity >= threshold
        assert chrf(source, translation) < near
    if translation == source:
        assert verdict in ("untranslated", "copy")


def test_summary() -> None:
    translations = [GOOD, SOURCE, None, GOOD.replace("five", "six")]
    verdicts = ["accepted", "copy", "untranslated", "numbers"]
    figures = summary([SOURCE] * 4, translations, verdicts, [0.8, 1.0, None, 0.7])
    assert figures == {
        "candidates": 4,
        "accepted": 1,
        "acceptance_rate": 0.25,
        **dict.fromkeys(REJECTIONS, 0),
        "copy": 1,
        "untranslated": 1,
        "numbers": 1,
        "mean_similarity": 0.8,
        "chrf_to_source": chrf(SOURCE, GOOD),
        "distinct_2": 1.0,
    }
    assert set(summary([], [], [], [])) == {"candidates", "accepted", "acceptance_rate", *REJECTIONS}


@given(st.lists(st.sampled_from((ACCEPTED, *REJECTIONS)), max_size=40))
def test_the_counts_add_up(verdicts: list[str]) -> None:
    size = len(verdicts)
    figures = summary(["a b c"] * size, ["a b d"] * size, verdicts, [None] * size)
    assert figures["accepted"] + sum(figures[reason] for reason in REJECTIONS) == figures["candidates"] == size
    assert "mean_similarity" not in figures
