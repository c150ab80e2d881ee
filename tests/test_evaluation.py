"""Classification scores and significance tests against scikit-learn, scipy and figures worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF
from sklearn import metrics as reference

from pipeline.errors import InputError
from pipeline.evaluation import classification, significance
from pipeline.evaluation.predictions import Predictions, read_any_predictions, read_predictions, write_predictions
from pipeline.files import write_csv


def made_up(rows: int, classes: int, seed: int = 0) -> Predictions:
    """Random predictions, with equal scores among them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    raw = rng.random((rows, classes)).round(1) + 0.05 + 0.4 * np.eye(classes)[labels]
    return Predictions([str(index) for index in range(rows)], labels, raw / raw.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (500, 2), (400, 5)])
def test_scores_agree_with_scikit_learn(rows: int, classes: int) -> None:
    dev = made_up(rows, classes)
    counts = classification.confusion(dev)
    labels = list(range(classes))
    options = {"labels": labels, "average": "macro", "zero_division": 0}
    assert counts.tolist() == reference.confusion_matrix(dev.labels, dev.predicted, labels=labels).tolist()
    assert classification.accuracy(counts) == pytest.approx(reference.accuracy_score(dev.labels, dev.predicted))
    macro_f1 = reference.f1_score(dev.labels, dev.predicted, **options)
    assert classification.SCORES["macro_f1"](counts) == pytest.approx(macro_f1)


def test_binary_scores_agree_with_scikit_learn() -> None:
    dev = made_up(700, 2, seed=3)
    positive, scores = dev.probabilities[:, 1], classification.binary_scores(made_up(700, 2, seed=3))
    expected = {
        "positive_f1": reference.f1_score(dev.labels, dev.predicted),
        "precision": reference.precision_score(dev.labels, dev.predicted),
        "recall": reference.recall_score(dev.labels, dev.predicted),
        "average_precision": reference.average_precision_score(dev.labels, positive),
        "brier": reference.brier_score_loss(dev.labels, positive),
    }
    assert scores == pytest.approx(expected)


def test_average_precision_without_positives_is_zero() -> None:
    assert classification.average_precision(np.array([0, 0]), np.array([0.2, 0.9])) == 0


def test_calibration_error_by_hand() -> None:
    # 15 bins: .52 lies in [.467, .533), .92 and .93 in [.867, .933): gaps |0 - .52| / 3 and |2 - 1.85| / 3
    answers = np.array([[0.52, 0.48], [0.08, 0.92], [0.07, 0.93]])
    dev = Predictions(["a", "b", "c"], np.array([1, 1, 1]), answers)
    assert classification.expected_calibration_error(dev) == pytest.approx((0.52 + 0.15) / 3)
    sure = Predictions(["a"], np.array([0]), np.array([[1.0, 0.0]]))
    assert classification.expected_calibration_error(sure) == 0


def test_bootstrap_of_counts_is_the_bootstrap_of_rows() -> None:
    dev = made_up(200, 2, seed=5)
    found = classification.scores(dev, 4000, 0.95, seed=1)
    picks = np.random.default_rng(1).integers(200, size=(4000, 200))
    right = (dev.predicted == dev.labels)[picks].mean(axis=1)
    macro = [reference.f1_score(dev.labels[pick], dev.predicted[pick], average="macro") for pick in picks[:300]]
    ends = [found["accuracy_low"], found["accuracy_high"]]
    assert ends == pytest.approx(np.quantile(right, [0.025, 0.975]).tolist(), abs=0.006)
    ends = [found["macro_f1_low"], found["macro_f1_high"]]
    assert ends == pytest.approx(np.quantile(macro, [0.025, 0.975]).tolist(), abs=0.012)


def test_interval_of_the_accuracy_has_the_binomial_width() -> None:
    rows = 40_000
    labels = np.zeros(rows, dtype=np.int64)
    probabilities = np.tile([0.9, 0.1], (rows, 1))
    probabilities[: rows // 10] = [0.1, 0.9]
    dev = Predictions([""] * rows, labels, probabilities)
    scores = classification.scores(dev, 2000, 0.95, seed=7)
    margin = 1.96 * (0.9 * 0.1 / rows) ** 0.5
    assert scores["accuracy"] == pytest.approx(0.9)
    assert scores["accuracy_high"] - scores["accuracy_low"] == pytest.approx(2 * margin, rel=0.1)
    assert scores == classification.scores(dev, 2000, 0.95, seed=7)
    assert classification.further_scores(dev, dev)["majority_accuracy"] == 1


def test_reads_what_the_stages_write(tmp_path: Path) -> None:
    write_csv(tmp_path / "dev.csv", ["id", "label", "p_0", "p_1"], [["a", 1, 0.25, 0.75], ["b", 0, 0.5, 0.5]])
    dev = read_predictions(tmp_path / "dev.csv")
    assert (dev.ids, dev.labels.tolist(), dev.predicted.tolist()) == (["a", "b"], [1, 0], [1, 0])


def test_unlabelled_splits_are_written_and_read(tmp_path: Path) -> None:
    rows = np.array([[0.25, 0.75], [0.5, 0.5]])
    write_predictions(tmp_path, "test", ["a", "b"], [None, None], rows, "Header")
    assert (tmp_path / "test.csv").read_text() == "id,label,p_0,p_1\na,,0.250000,0.750000\nb,,0.500000,0.500000\n"
    assert (tmp_path / "submission.csv").read_text() == "id \t Header \na, 1 \nb, 0 \n"
    test = read_any_predictions(tmp_path / "test.csv")
    assert test.labels.tolist() == [-1, -1] and np.array_equal(test.probabilities, rows)
    write_predictions(tmp_path, "ap_h", [], [], np.zeros((0, 2)), "Header")
    assert read_any_predictions(tmp_path / "ap_h.csv").probabilities.shape == (0, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ap_h.csv", "submission.csv", "test.csv"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label,p_0\na,0,1.0\n", "column p_1"),
        ("id,label,p_0,p_1\n", "no rows"),
        ("id,label,p_0,p_1\na,0,nan,nan\n", ":2: probabilities nan, nan"),
        ("id,label,p_0,p_1\na,0,.5,.5\nb,0,.9,.2\n", ":3: probabilities 0.9, 0.2"),
        ("id,label,p_0,p_1\na,0,1.5,-0.5\n", ":2: probabilities 1.5, -0.5"),
        ("id,label,p_0,p_1\na,2,.5,.5\n", ":2: label 2 is not a class from 0 to 1"),
        ("id,label,p_0,p_1\na,0.5,.5,.5\n", ":2: label 0.5"),
        ("id,label,p_0,p_1\na,nan,.5,.5\n", ":2: label nan"),
        ("id,label,p_0,p_1\na,1,.5,.5\nb,,.5,.5\n", ":3: label is ''"),
        ("id,label,p_0,p_1\na,-1,.5,.5\n", ":2: label -1"),
        ("id,label,p_0,p_1\na,one,.5,.5\n", ":2: label is 'one', expected a number"),
        ("id,label,p_0,p_1\na,1,.5,.5\nb,1,.5\n", ":3: p_1 is"),
        ("id,label,p_0,p_1\na,1,.5,.5\nb,1,.5,.5,.5\n", "not a table"),
        ("", "not a table"),
    ],
)
def test_broken_predictions_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "dev.csv").write_text(text)
    with pytest.raises(InputError, match="dev.csv") as caught:
        read_predictions(tmp_path / "dev.csv")
    assert message in str(caught.value)


def test_mcnemar_by_hand() -> None:
    # 1 against 5 discordant rows: 2 (C(6,0) + C(6,1)) / 64 = 14 / 64
    assert significance.mcnemar(1, 5) == pytest.approx(14 / 64)
    assert significance.mcnemar(0, 0) == significance.mcnemar(4, 4) == 1
    # Fagerland et al. 2013, table 1: 1 and 7 discordant pairs give exact p .0703
    assert significance.mcnemar(1, 7) == significance.mcnemar(7, 1) == pytest.approx(0.0703, abs=5e-5)


def test_holm_by_hand() -> None:
    # Holm 1979: sorted .005 * 4, .01 * 3, .03 * 2, .04 * 1, then never falling
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([]) == []
    assert significance.holm([0.4, 0.9]) == pytest.approx([0.8, 0.9])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    adjusted = significance.holm(p_values)
    assert all(raw <= new <= min(1, raw * len(p_values)) + 1e-12 for raw, new in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_paired_bootstrap_has_the_paired_width() -> None:
    rng = np.random.default_rng(0)
    correct_a, correct_b = rng.random(4000) < 0.9, rng.random(4000) < 0.88
    value, low, high, *only = significance.paired_bootstrap(correct_a, correct_b, 4000, 0.95, seed=1)
    paired = correct_a.astype(float) - correct_b
    assert value == pytest.approx(paired.mean()) and only == [(paired > 0).sum(), (paired < 0).sum()]
    assert high - low == pytest.approx(2 * 1.96 * paired.std() / 4000**0.5, rel=0.06)
    assert significance.paired_bootstrap(correct_a, correct_a, 100, 0.95, seed=1) == (0, 0, 0, 0, 0)


def test_chrf_bootstrap_tells_a_copy_from_a_different_system() -> None:
    references = [f"Shall I compare thee to a summer's day number {number}?" for number in range(12)]
    near = [text.replace("compare", "liken") for text in references]
    far = [f"Rough winds do shake the darling buds {number}" for number in range(12)]
    # Six poems better and six worse than the baseline by nearly as much.
    mixed = [*references[:6], *(text.replace("summer", "winter") for text in near[6:])]
    systems = {"copy": near, "far": far, "mixed": [text.replace("compare", "measure") for text in mixed]}
    base = CHRF().corpus_score(near, [references]).score
    found = significance.chrf_bootstrap(near, systems, references, 300)
    for name, score, difference, _ in found:
        assert score == pytest.approx(CHRF().corpus_score(systems[name], [references]).score)
        assert difference == pytest.approx(score - base)
    copy, far_p, mixed_p = (p_value for *_, p_value in found)
    assert copy == 1.0 and far_p < 0.01 < mixed_p
    assert significance.chrf_bootstrap(near, {"far": far}, references, 300) == found[1:2]
