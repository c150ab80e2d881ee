"""Weights of ensembles: the best there are, picked as in the paper, and scored honestly on the rows they come from."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.ensemble import FLOOR, PICKS, cross_fitted, fit_weights, greedy_weights, mixed
from pipeline.evaluation.predictions import Floats, Integers


def answers(labels: Integers, skill: float, rng: np.random.Generator) -> Floats:
    """Probabilities (rows, 2) of a classifier that knows more, the higher its skill; 0 knows nothing."""
    scores = skill * (2 * labels - 1) + rng.normal(size=len(labels))
    positive = 1 / (1 + np.exp(-2 * scores))
    return np.stack([1 - positive, positive], axis=1)


def log_loss(probabilities: Floats, labels: Integers) -> float:
    """Mean negative log probability of the labels (n,) in nats; probabilities are (n, classes)."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], FLOOR)).mean())


def made_up(rows: int, skills: tuple[float, ...], seed: int) -> tuple[Floats, Integers]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(2, size=rows)
    return np.stack([answers(labels, skill, rng) for skill in skills]), labels


@pytest.mark.parametrize("skills", [(1.0, 0.8), (0.6, 0.6), (1.5, 0.0)])
def test_two_weights_are_those_of_a_grid_search(skills: tuple[float, float]) -> None:
    probabilities, labels = made_up(800, skills, seed=4)
    grid = np.linspace(0, 1, 10_001)
    losses = [log_loss(mixed(np.array([share, 1 - share]), probabilities), labels) for share in grid]
    weights = fit_weights(probabilities, labels)
    assert weights[0] == pytest.approx(grid[np.argmin(losses)], abs=2e-4)
    assert log_loss(mixed(weights, probabilities), labels) <= min(losses) + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(1, 200), st.integers(0, 10**6), st.sampled_from([0.0, 0.7, 8.0]))
def test_weights_lie_on_the_simplex_and_cannot_be_improved(members: int, rows: int, seed: int, skill: float) -> None:
    probabilities, labels = made_up(rows, (skill,) * members, seed)
    probabilities = probabilities.round(6)  # as in the files, where a probability may be 0
    weights = fit_weights(probabilities, labels)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
    # The condition of Karush, Kuhn and Tucker bounds what any other weights could gain.
    likelihood = np.maximum(probabilities[:, np.arange(rows), labels], FLOOR)
    assert (likelihood / (weights @ likelihood)).mean(axis=1).max() - 1 < 5e-5


def test_mixture_is_the_mean_of_probabilities() -> None:
    probabilities = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.6, 0.4]]])
    assert mixed(np.array([0.5, 0.5]), probabilities) == pytest.approx(np.array([[0.7, 0.3], [0.4, 0.6]]))
    assert mixed(np.array([0.25, 0.75]), probabilities)[0] == pytest.approx([0.6, 0.4])


def test_no_label_has_a_part_in_its_own_prediction() -> None:
    probabilities, labels = made_up(60, (1.0, 0.9, 0.3), seed=2)
    before = cross_fitted(probabilities, labels, seed=3)
    assert not np.array_equal(before, cross_fitted(probabilities, labels, seed=4))
    for row in (0, 30, 59):
        other = labels.copy()
        other[row] = 1 - labels[row]
        changed = (cross_fitted(probabilities, other, seed=3) != before).any(axis=1)
        assert not changed[row] and changed.sum() == 48  # but for the twelve of its fold


def test_chance_successes_of_ignorant_members_gain_nothing_on_select() -> None:
    # One member knows something, thirty answer at random. Weights fitted on select pick the luckiest of them: scored
    # on the same rows, that seems to gain something over the one member; cross-fitted, as on new rows, it loses.
    gains: dict[str, list[float]] = {"same rows": [], "cross-fitted": [], "new rows": []}
    for seed in range(12):
        probabilities, labels = made_up(400, (0.8,) + (0.0,) * 30, seed)
        select, new = slice(0, 100), slice(100, 400)
        weights = fit_weights(probabilities[:, select], labels[select])
        alone = log_loss(probabilities[0, select], labels[select])
        in_sample = log_loss(mixed(weights, probabilities[:, select]), labels[select])
        honest = log_loss(cross_fitted(probabilities[:, select], labels[select], seed), labels[select])
        truth = log_loss(mixed(weights, probabilities[:, new]), labels[new])
        gains["same rows"].append(alone - in_sample)
        gains["cross-fitted"].append(alone - honest)
        gains["new rows"].append(log_loss(probabilities[0, new], labels[new]) - truth)
    same, fitted, new_rows = (float(np.mean(values)) for values in gains.values())
    assert same > 0.01 and fitted < 0 and new_rows < 0


def slow_greedy(probabilities: Floats, labels: Integers) -> list[float]:
    """Caruana et al. 2004, section 2: bags of members, each scored anew from its definition."""
    members, rows = range(len(probabilities)), range(len(labels))

    def loss(bag: list[int]) -> float:
        given = [math.fsum(max(probabilities[member][row][labels[row]], FLOOR) for member in bag) for row in rows]
        return round(-math.fsum(math.log(own / len(bag)) for own in given) / len(labels), 9)

    ranked = sorted(members, key=lambda member: loss([member]))
    bag = min((ranked[:size] for size in range(1, len(ranked) + 1)), key=loss)
    bags = [bag]
    for _ in range(PICKS):
        bag = min((bag + [member] for member in members), key=loss)
        bags.append(bag)
    best = min(bags, key=loss)
    return [best.count(member) / len(best) for member in members]


@pytest.mark.parametrize("skills", [(1.0, 0.9, 0.3), (0.5, 0.5), (0.0, 0.0, 0.0, 0.0), (1.2, 0.0, 0.6, 0.6)], ids=str)
def test_greedy_weights_are_those_of_the_paper(skills: tuple[float, ...]) -> None:
    for seed in range(2):
        probabilities, labels = made_up(20, skills, seed)
        probabilities = probabilities.round(6)
        weights = greedy_weights(probabilities, labels)
        assert weights.tolist() == slow_greedy(probabilities, labels) and weights.sum() == pytest.approx(1)
        # As good as the best that there are, but for the steps; never worse than the best member.
        best = log_loss(mixed(fit_weights(probabilities, labels), probabilities), labels)
        found = log_loss(mixed(weights, probabilities), labels)
        assert best - 1e-6 <= found < best + 2e-3
        assert found <= min(log_loss(own, labels) for own in probabilities) + 1e-9


def test_greedy_picks_hang_on_no_last_digit_and_the_first_of_equal_members_is_taken() -> None:
    probabilities, labels = made_up(200, (1.0, 0.8, 0.6, 0.9), seed=5)
    twice = np.concatenate([probabilities, probabilities])
    weights = greedy_weights(twice, labels)
    assert (weights[:4] >= weights[4:]).all() and weights[:4].sum() > 0.5
    rng = np.random.default_rng(0)
    for _ in range(5):
        others = twice * (1 + 1e-15 * rng.integers(-3, 4, twice.shape))
        assert greedy_weights(others, labels).tolist() == weights.tolist()
    one = np.stack([probabilities[0]] * 3)
    assert greedy_weights(one, labels).tolist() == [1.0, 0.0, 0.0]


def test_greedy_picks_among_ignorant_members_score_as_chance_on_select() -> None:
    naive, honest = [], []
    for seed in range(40):
        probabilities, labels = made_up(60, (0.0,) * 20, seed)
        weights = greedy_weights(probabilities, labels)
        naive += (mixed(weights, probabilities).argmax(1) == labels).tolist()
        honest += (cross_fitted(probabilities, labels, seed, "greedy").argmax(1) == labels).tolist()
    error = 0.5 / len(naive) ** 0.5
    assert np.mean(naive) > 0.5 + 5 * error  # on the rows that the weights come from
    assert np.mean(honest) < 0.5 + 1.65 * error


def test_a_mean_has_the_same_bits_however_many_rows_there_are() -> None:
    # Rows are added one after the other: a BLAS adds them in an order of its own for each kind of CPU and shape.
    rng = np.random.default_rng(0)
    probabilities, weights = rng.dirichlet([1, 1], (16, 300)).round(6), np.full(16, 1 / 16)
    whole = mixed(weights, probabilities)
    assert np.array_equal(whole, sum(weight * own for weight, own in zip(weights, probabilities, strict=True)))
    assert np.array_equal(whole[7:8], mixed(weights, probabilities[:, 7:8]))
