"""What may train: verdicts on back-translations, and augmented pairs mixed in: the bound, the balance, the order."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_project import REPOSITORY

from pipeline.augment import adversarial
from pipeline.augment.back_translation import (
    ACCEPTED,
    REJECTIONS,
    BackTranslated,
    judge_translation,
    quality_figures,
)
from pipeline.augment.gates import sentence_chrf
from pipeline.augment.mixing import mix, read_pool
from pipeline.config.augmentation import Checks, TrainingSet
from pipeline.errors import InputError
from pipeline.files import write_csv
from pipeline.stages import training_set as stage
from pipeline.text.prepared import Pair, read_pairs, write_pairs

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


def pairs(labels: list[int], name: str) -> list[Pair]:
    return [Pair(f"{name}{index}", f"{name} {index}?", "other?", label) for index, label in enumerate(labels)]


LABELS = st.lists(st.sampled_from([0, 1]), max_size=60)


@given(LABELS.filter(len), LABELS, st.floats(0.01, 0.9), st.integers(0, 99))
def test_share_is_bounded_and_balance_kept(train: list[int], pool: list[int], share: float, seed: int) -> None:
    added = mix(pairs(train, "train"), [pairs(pool, "new")], share, random.Random(seed))
    assert len(added) <= share * (len(train) + len(added)) + 1e-9
    assert len({pair.id for pair in added}) == len(added) and {pair.id for pair in added} <= {
        pair.id for pair in pairs(pool, "new")
    }
    prior = sum(train) / len(train)
    assert abs(sum(pair.label or 0 for pair in added) - prior * len(added)) < 1


def test_uses_all_that_the_scarcer_label_allows() -> None:
    added = mix(pairs([1] * 40 + [0] * 60, "train"), [pairs([1] * 10 + [0] * 100, "new")], 0.5, random.Random(0))
    assert len(added) == 25  # 10 positives are 40 % of 25


@given(LABELS.filter(len), LABELS, st.floats(0.01, 0.9), st.integers(0, 99))
def test_positives_alone_shift_the_balance(train: list[int], pool: list[int], share: float, seed: int) -> None:
    added = mix(pairs(train, "train"), [pairs(pool, "new")], share, random.Random(seed), labels="positive")
    assert {pair.label for pair in added} <= {1} and len(added) <= share * (len(train) + len(added)) + 1e-9
    room = int(share / (1 - share) * len(train))
    assert len(added) == len({pair.id for pair in added}) == min(room, sum(pool))


def test_ordinary_positives_only_fill_up() -> None:
    train, preferred, ordinary = pairs([1, 0] * 10, "train"), pairs([1, 1, 0, 0, 0, 0], "adv"), pairs([1] * 9, "ord")
    names = [pair.id for pair in mix(train, [preferred, ordinary], 0.25, random.Random(0))]
    assert {"adv0", "adv1"} <= set(names) and sum(name.startswith("ord") for name in names) == 1


def training_set(source: str, texts: str = "augmented") -> TrainingSet:
    return TrainingSet.model_validate({"source": source, "share": 0.25, "texts": texts, "labels": "balanced"})


def test_control_repeats_the_pairs_that_were_augmented(tmp_path: Path) -> None:
    rows = [
        BackTranslated("7", "sentence2", 1, "old?", "new?", "first?", 0.9, 0.5, "accepted"),
        BackTranslated("8", "sentence1", 0, "one?", "uno?", "two?", None, 0.4, "accepted"),
        BackTranslated("9", "sentence1", 0, "three?", "three?", "four?", 1.0, 1.0, "copy"),
    ]
    write_csv(tmp_path / "augmented/back_translation/es/candidates.csv", BackTranslated._fields, rows)
    (augmented,) = read_pool(training_set("augmented/back_translation"), tmp_path)
    (original,) = read_pool(training_set("augmented/back_translation", "original"), tmp_path)
    assert [(pair.sentence1, pair.sentence2, pair.label) for pair in augmented] == [
        ("first?", "new?", 1),
        ("uno?", "two?", 0),
    ]
    assert [(pair.sentence1, pair.sentence2, pair.label) for pair in original] == [
        ("first?", "old?", 1),
        ("one?", "two?", 0),
    ]
    # The same draw on both: the control is made of the very pairs whose augmented forms the other set has.
    train = pairs([1, 0], "train")
    chosen = [mix(train, [pool], 0.5, random.Random(3)) for pool in (augmented, original)]
    assert [pair.id for pair in chosen[0]] == [pair.id for pair in chosen[1]] != []


def test_labels_of_adversarial_candidates_follow_their_verdicts(tmp_path: Path) -> None:
    rows = [
        adversarial.Candidate("q?", f"{verdict}?", "lm", 0, 0.9, 0.8, 0.3, verdict) for verdict in adversarial.VERDICTS
    ]
    adversarial.write_candidates(tmp_path / "augmented/adversarial/candidates.csv", rows)
    assert adversarial.read_candidates(tmp_path / "augmented/adversarial/candidates.csv") == rows
    preferred, ordinary = read_pool(training_set("augmented/adversarial"), tmp_path)
    labels = {pair.sentence2: pair.label for pair in preferred}
    assert labels == {"adversarial?": 1, "hard_negative?": 0}
    assert [(pair.sentence2, pair.label) for pair in ordinary] == [("ordinary?", 1)]


@pytest.mark.parametrize("rows", [[], pairs([1, 0], "human")])
def test_human_pairs_are_read_and_may_be_missing(tmp_path: Path, rows: list[Pair]) -> None:
    write_pairs(tmp_path / "prepared/ap_h/train.csv", rows)
    pool = read_pool(training_set("prepared/ap_h"), tmp_path)
    assert pool == [rows]
    assert mix(pairs([1, 0], "train"), pool, 0.5, random.Random(0)) == rows[::-1]


def test_a_set_that_adds_nothing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the baseline once more under another name."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text((REPOSITORY / "profiles/sample.yaml").read_text())
    write_pairs(Path("data/prepared/paraphrase/train.csv"), pairs([0, 1] * 9, "train"))
    write_pairs(Path("data/prepared/ap_h/train.csv"), [])
    with pytest.raises(
        InputError, match=r"^training_sets.apt_human: data/prepared/ap_h has 0 pairs.*leave it and them out"
    ):
        stage.main("apt_human")
    assert not Path("data/augmented").exists()
    write_pairs(Path("data/prepared/ap_h/train.csv"), pairs([0, 1] * 9, "human"))
    stage.main("apt_human")
    assert len(read_pairs(Path("data/augmented/paraphrase/apt_human/train.csv"))) == 24
