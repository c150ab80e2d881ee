"""Accuracy on slices, reliability, thresholds, curves and order flips, against scikit-learn, scipy and by hand."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve
from small_project import evaluation_words

from pipeline.evaluation import classification, significance
from pipeline.evaluation.classification import by_quantile, measures
from pipeline.evaluation.predictions import Floats, Integers, Predictions, write_predictions
from pipeline.files import read_json
from pipeline.report.figures import precision_recall
from pipeline.stages import evaluate_paraphrase
from pipeline.text.prepared import PREPARED, Pair, write_pairs


def scored(rows: int, seed: int = 0) -> tuple[Integers, Floats]:
    """Labels and probabilities of class 1 with 2 decimals, so that many are equal."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=rows)
    return labels, np.clip(0.25 + 0.4 * labels + rng.normal(0, 0.25, rows), 0, 1).round(2)


def predictions(labels: Integers, positive: Floats) -> Predictions:
    return Predictions([f"q{index}" for index in range(len(labels))], labels, np.stack([1 - positive, positive], 1))


def test_a_drawn_curve_is_bounded_and_even_in_recall() -> None:
    labels, _ = scored(30_000)
    positive = np.random.default_rng(1).permutation(30_000) / 30_000 * 0.5 + 0.4 * labels
    recall = precision_recall(predictions(labels, positive), 200)["recall"].to_numpy()
    assert 190 <= len(recall) <= 200
    assert recall[0] == 1 / labels.sum() and recall[-1] == 1
    assert np.diff(recall).max() < 2 / 200 and (np.diff(recall) > 0).all()
    assert len(precision_recall(predictions(np.array([0]), np.array([0.3])))) == 0


def test_threshold_by_hand() -> None:
    # Right at .3, .6: q of 3 in 4; between .6 and .8 all four are right: the middle.
    labels, positive = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.8, 0.9])
    assert classification.best_threshold(labels, positive) == 0.7
    # Both 0.05 and 0.75 are right 3 times of 4; the nearer to 0.5 is taken.
    assert classification.best_threshold(np.array([1, 0, 1, 1]), np.array([0.1, 0.7, 0.8, 0.9])) == 0.75
    assert classification.best_threshold(np.array([0, 0]), np.array([0.4, 1.0])) > 1  # never answer 1
    assert classification.best_threshold(np.array([1, 1]), np.array([0.0, 0.2])) == 0  # always answer 1
    # A middle of 7 decimals is rounded up, so that the rounded threshold still cuts between the two.
    assert classification.best_threshold(np.array([0, 1]), np.array([0.500001, 0.500002])) == 0.500002


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1_000_000)), min_size=1, max_size=30))
def test_no_threshold_is_right_more_often(rows: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in rows])
    positive = np.array([float(f"{millionths / 1e6:.6f}") for _, millionths in rows])
    threshold = classification.best_threshold(labels, positive)
    found = classification.scores_at(threshold, labels, positive)["accuracy_at_threshold"]
    tried = [np.mean((positive >= other) == labels) for other in (*positive, 2.0)]
    assert found == pytest.approx(max(tried))
    assert threshold == float(f"{threshold:.6f}")  # as the metric file has it


def test_scores_at_a_threshold_agree_with_scikit_learn() -> None:
    labels, positive = scored(400, seed=2)
    found = classification.scores_at(0.37, labels, positive)
    answers = positive >= 0.37
    assert found["accuracy_at_threshold"] == pytest.approx(reference.accuracy_score(labels, answers))
    assert found["macro_f1_at_threshold"] == pytest.approx(reference.f1_score(labels, answers, average="macro"))


@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_interval_is_that_of_scipy(level: float) -> None:
    hits, rows = np.array([0, 3, 7, 950]), np.array([4, 11, 7, 1000])
    low, high = significance.wilson_interval(hits, rows, level)
    for place in range(4):
        theirs = binomtest(int(hits[place]), int(rows[place])).proportion_ci(level, method="wilson")
        assert (low[place], high[place]) == pytest.approx((theirs.low, theirs.high))


def test_reliability_is_that_of_scikit_learn() -> None:
    labels, positive = scored(900, seed=5)
    dev = predictions(labels, positive)
    bins = classification.reliability(dev, 0.95, bins=10)
    top = dev.probabilities.max(axis=1)
    # Where a probability lies on an edge the two differ: 2 decimals and 10 bins have such, so compare without them.
    off_edges = np.abs(top * 10 - np.round(top * 10)) > 1e-9
    inner = predictions(labels[off_edges], positive[off_edges])
    theirs = calibration_curve(inner.predicted == inner.labels, inner.probabilities.max(axis=1), n_bins=10)
    ours = classification.reliability(inner, 0.95, bins=10)
    assert ours["accuracy"].tolist() == pytest.approx(theirs[0].tolist())
    assert ours["confidence"].tolist() == pytest.approx(theirs[1].tolist())
    assert bins["rows"].sum() == 900
    assert (bins["accuracy_low"] <= bins["accuracy"]).all() and (bins["accuracy"] <= bins["accuracy_high"]).all()
    error = (bins["rows"] / 900 * (bins["accuracy"] - bins["confidence"]).abs()).sum()
    assert classification.expected_calibration_error(dev, bins=10) == pytest.approx(error)


def test_measures_by_hand() -> None:
    same, half = ("a b c", "A b, c"), ("a b c", "a b d e")
    pairs = [Pair(str(place), *texts, 0) for place, texts in enumerate([same, half, half, same])]
    right = np.array([True, True, False, True])
    # Words in common over all words, lower-cased: 3/3 and 2/5; words of both sentences: 6 and 7.
    expected = {"word_overlap": [[0.4, 0.4, 2, 0.5], [1, 1, 2, 1]], "words": [[6, 6, 2, 1], [7, 7, 2, 0.5]]}
    for measure, values in measures(pairs).items():
        parts = by_quantile(values, right, 0.95)
        assert parts[["low", "high", "rows", "accuracy"]].to_numpy().tolist() == expected[measure]


def test_deciles_hold_a_tenth_each() -> None:
    rng = np.random.default_rng(0)
    values, right = rng.permutation(1000).astype(float), rng.random(1000) < 0.7
    parts = by_quantile(values, right, 0.95)
    assert parts[["bin", "low", "high", "rows"]].to_numpy().tolist() == [
        [place + 1, 100 * place, 100 * place + 99, 100] for place in range(10)
    ]
    assert (parts["accuracy"] * parts["rows"]).sum() == pytest.approx(right.sum())
    third = right[(values >= 200) & (values < 300)]
    ends = binomtest(int(third.sum()), 100).proportion_ci(0.95, method="wilson")
    assert parts.loc[2, ["accuracy_low", "accuracy_high"]].tolist() == pytest.approx([ends.low, ends.high])


@given(st.lists(st.integers(0, 8), min_size=1, max_size=60))
def test_equal_values_share_a_bin_and_every_row_is_in_one(values: list[int]) -> None:
    parts = by_quantile(np.array(values, dtype=float), np.ones(len(values), dtype=bool), 0.95)
    assert parts["rows"].sum() == len(values) and parts["bin"].is_monotonic_increasing
    assert (parts["high"].to_numpy()[:-1] < parts["low"].to_numpy()[1:]).all()
    for part in parts.itertuples():
        assert part.rows == sum(part.low <= value <= part.high for value in values)


def test_order_flips() -> None:
    dev = predictions(np.array([1, 0, 1, 0]), np.array([0.9, 0.4, 0.6, 0.1]))
    swapped = predictions(np.array([1, 0, 1, 0]), np.array([0.7, 0.6, 0.4, 0.2]))
    assert classification.order_flip_rate(dev, swapped) == 0.5
    assert classification.order_flip_rate(dev, dev) == 0


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The predictions of `baseline` for 400 pairs, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((Path(__file__).parents[1] / "params.yaml").read_text())
    labels, positive = scored(400)
    pairs = [Pair(f"q{index}", f"a b {index % 7}", f"a {index % 5}", int(labels[index])) for index in range(400)]
    write_pairs(PREPARED / "paraphrase/dev.csv", pairs)
    folder = Path("predictions/paraphrase/baseline")
    for split, scores in (("dev", positive), ("select", scored(400)[1]), ("ap_h", positive)):
        answers = np.stack([1 - scores, scores], axis=1)
        write_predictions(folder, split, [pair.id for pair in pairs], labels.tolist(), answers, "Header")
    return folder


def test_the_stage_writes_metrics(row: Path) -> None:
    evaluate_paraphrase.main("baseline", *evaluation_words())
    metrics = read_json(Path("metrics/paraphrase/baseline.json"))
    assert "order_flip_rate" not in metrics
    labels, positive = scored(400)
    assert metrics["average_precision"] == pytest.approx(reference.average_precision_score(labels, positive), abs=1e-6)
    assert metrics["brier"] == pytest.approx(reference.brier_score_loss(labels, positive), abs=1e-6)
    answers = positive >= metrics["threshold_select"]
    assert metrics["accuracy_at_threshold"] == pytest.approx(np.mean(answers == labels))
    assert metrics["accuracy_at_threshold"] >= metrics["accuracy"]  # select is dev here
    # Swapped sentences: answers of one row in ten turned round.
    flipped = np.where(np.arange(400) % 10 == 0, 1 - positive, positive)
    ids, expected = [f"q{index}" for index in range(400)], np.mean((flipped > 0.5) != (positive > 0.5))
    write_predictions(row, "dev_swapped", ids, labels.tolist(), np.stack([1 - flipped, flipped], 1), "Header")
    evaluate_paraphrase.main("baseline", *evaluation_words())
    assert read_json(Path("metrics/paraphrase/baseline.json")) == metrics | {
        "order_flip_rate": pytest.approx(expected, abs=1e-6)
    }
