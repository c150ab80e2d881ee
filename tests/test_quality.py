"""Verdicts on back-translations, the class prior and the counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.augment.back_translation import BackTranslated
from pipeline.augment.gates import sentence_chrf
from pipeline.augment.quality import ACCEPTED, REJECTIONS, judge_translation, quality_figures
from pipeline.config.augmentation import Checks

SOURCE = "How do I lose 5 kg in a month without going hungry?"
GOOD = "In what way can I drop five kilos within one month without being hungry?"
CHECKS = Checks(near_copy=0.9, length_ratio=2.0, similarity=0.75)


def judge(source: str, translation: str, similarity: float | None, checks: Checks = CHECKS) -> str:
    return judge_translation(source, translation, similarity, sentence_chrf(source, translation), checks)


@pytest.mark.parametrize(
    ("translation", "similarity", "verdict"),
    [
        (GOOD, 0.8, "accepted"),
        (GOOD, 0.75, "accepted"),
        (GOOD, 0.7499, "drift"),
        (GOOD, None, "drift"),
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
def test_verdicts(translation: str, similarity: float | None, verdict: str) -> None:
    assert judge(SOURCE, translation, similarity) == verdict


def test_the_first_reason_counts() -> None:
    """Each text also fails every later check."""
    lenient = Checks(near_copy=1.0, length_ratio=2.0, similarity=0.75)
    assert judge(SOURCE, "*no", 0.1) == "untranslated"
    assert judge(SOURCE, "Never 6", 0.1) == "length"
    assert judge(SOURCE, "How do I lose 6 kg in a month and go very hungry?", 0.1, lenient) == "numbers"
    assert judge(SOURCE, "How do I lose 5 kg in a month and go very hungry?", 0.1, lenient) == "negation"


def test_without_a_threshold_the_similarity_is_not_looked_at() -> None:
    assert judge(SOURCE, GOOD, None, Checks(near_copy=0.9, length_ratio=2.0, similarity=None)) == "accepted"


def test_marks_of_the_source_are_no_fault_of_the_translator() -> None:
    assert judge("What does @home mean on Twitter?", "What means @home when used on Twitter?", 0.9) == ACCEPTED
    assert judge("Is 3*4 more than 11?", "Does 3*4 exceed 11 in value?", 0.9) == ACCEPTED


TEXT = st.text(st.sampled_from("ab 1?*é"), max_size=12)


RATES = st.floats(0.01, 1)


@given(TEXT, TEXT, st.none() | st.floats(-1, 1), RATES, st.floats(1.1, 3), RATES)
def test_every_candidate_gets_a_known_verdict(
    source: str, translation: str, similarity: float | None, near: float, ratio: float, threshold: float
) -> None:
    checks = Checks(near_copy=near, length_ratio=ratio, similarity=threshold)
    verdict = judge(source, translation, similarity, checks)
    assert verdict in (ACCEPTED, *REJECTIONS)
    if verdict == ACCEPTED:
        assert translation and similarity is not None
        assert similarity >= threshold
        assert sentence_chrf(source, translation) < near
    if translation == source:
        assert verdict in ("untranslated", "copy")


def judged(translation: str, similarity: float | None, verdict: str) -> BackTranslated:
    alike = sentence_chrf(SOURCE, translation)
    return BackTranslated("1", "sentence1", 1, SOURCE, translation, "other?", similarity, alike, verdict)


def test_summary() -> None:
    rows = [(GOOD, 0.8, "accepted"), (SOURCE, 1.0, "copy"), ("", None, "untranslated"), ("six", 0.7, "numbers")]
    figures = quality_figures([judged(*row) for row in rows])
    assert figures == {
        "candidates": 4,
        "accepted": 1,
        "acceptance_rate": 0.25,
        **dict.fromkeys(REJECTIONS, 0),
        "copy": 1,
        "untranslated": 1,
        "numbers": 1,
        "mean_similarity": 0.8,
        "chrf_to_source": sentence_chrf(SOURCE, GOOD),
        "distinct_2": 1.0,
    }
    assert set(quality_figures([])) == {"candidates", "accepted", "acceptance_rate", *REJECTIONS}


@given(st.lists(st.sampled_from((ACCEPTED, *REJECTIONS)), max_size=40))
def test_the_counts_add_up(verdicts: list[str]) -> None:
    figures = quality_figures([judged("a b d", None, verdict) for verdict in verdicts])
    assert figures["accepted"] + sum(figures[reason] for reason in REJECTIONS) == figures["candidates"] == len(verdicts)
    assert "mean_similarity" not in figures
