"""Ensembles of paraphrase rows: the weights, the honesty of their score on select, and the stage with its errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from small_project import evaluation_words

from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.evaluation.classification import accuracy, confusion
from pipeline.evaluation.ensemble import FLOOR, cross_fitted, fit_weights, mixed
from pipeline.evaluation.predictions import Floats, Integers, Predictions, read_any_predictions, write_predictions
from pipeline.files import read_json
from pipeline.stages import ensemble, evaluate_paraphrase
from pipeline.text.prepared import PREPARED, Pair, write_pairs

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = ("baseline", "last_pooling", "mean_pooling")
SPLITS = ("select", "dev", "dev_swapped", "test", "ap_h")


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


def small_project(folder: Path) -> None:
    """The committed parameters and predictions of three members, for 40 pairs a split; test has no labels."""
    entries = {"ensemble": "equal", "ensemble_weighted": "fitted"}
    choose({name: {"members": list(MEMBERS), "weights": weights} for name, weights in entries.items()}, folder)
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=40)
    ids = [f"q{index}" for index in range(40)]
    pairs = [Pair(id_, f"Is {id_} odd?", "Odd?", int(label)) for id_, label in zip(ids, labels, strict=True)]
    write_pairs(PREPARED / "paraphrase/dev.csv", pairs)
    for member in MEMBERS:
        for split in SPLITS:
            known = [None] * 40 if split == "test" else labels.tolist()
            write_predictions(folder_of(member), split, ids, known, answers(labels, 0.7, rng), "Header")


def folder_of(member: str) -> Path:
    return Path("predictions/paraphrase") / member


def result(name: str, split: str) -> Predictions:
    return read_any_predictions(Path("predictions/paraphrase_ensembles") / name / f"{split}.csv")


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small_project(tmp_path)
    return tmp_path


def choose(entries: dict[str, object], folder: Path) -> None:
    """The committed parameters with these ensembles."""
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    params["paraphrase"]["ensembles"] = entries
    with open(folder / "params.yaml", "w") as file:
        yaml.dump(params, file)


def test_equal_weights_average_every_split(in_project: Path) -> None:
    ensemble.main("ensemble")
    for split in SPLITS:
        members = [read_any_predictions(folder_of(member) / f"{split}.csv") for member in MEMBERS]
        found = result("ensemble", split)
        mean = np.mean([member.probabilities for member in members], axis=0)
        assert found.probabilities == pytest.approx(mean, abs=1e-6)
        assert found.ids == members[0].ids and np.array_equal(found.labels, members[0].labels)
    folder = Path("predictions/paraphrase_ensembles/ensemble")
    assert read_json(folder / "weights.json") == dict.fromkeys(MEMBERS, 0.333333)
    lines = (folder / "submission.csv").read_text().split("\n")
    assert lines[0] == "id \t Predicted_Is_Paraphrase "
    assert lines[1] == f"q0, {result('ensemble', 'test').predicted[0]} "


def test_fitted_weights_never_see_dev_and_select_is_cross_fitted(in_project: Path) -> None:
    ensemble.main("ensemble_weighted")
    select = [read_any_predictions(folder_of(member) / "select.csv") for member in MEMBERS]
    stacked = np.stack([member.probabilities for member in select])
    weights = fit_weights(stacked, select[0].labels)
    written = read_json(Path("predictions/paraphrase_ensembles/ensemble_weighted/weights.json"))
    assert list(written) == list(MEMBERS) and list(written.values()) == pytest.approx(weights.tolist(), abs=1e-6)
    dev = np.stack([read_any_predictions(folder_of(member) / "dev.csv").probabilities for member in MEMBERS])
    assert result("ensemble_weighted", "dev").probabilities == pytest.approx(mixed(weights, dev), abs=1e-6)
    honest = cross_fitted(stacked, select[0].labels, load_params().seed)
    assert result("ensemble_weighted", "select").probabilities == pytest.approx(honest, abs=1e-6)
    evaluate_paraphrase.main("ensemble_weighted", *evaluation_words())
    metrics = read_json(Path("metrics/paraphrase/ensemble_weighted.json"))
    expected = accuracy(confusion(Predictions(select[0].ids, select[0].labels, honest)))
    assert metrics["select_accuracy"] == pytest.approx(float(expected)) and "reported_accuracy" not in metrics


def test_rows_without_swapped_or_adversarial_pairs_can_be_averaged(in_project: Path) -> None:
    for member in MEMBERS:
        write_predictions(folder_of(member), "ap_h", [], [], np.zeros((0, 2)), "Header")
    (folder_of("last_pooling") / "dev_swapped.csv").unlink()
    ensemble.main("ensemble")
    folder = Path("predictions/paraphrase_ensembles/ensemble")
    assert (folder / "ap_h.csv").read_text() == "id,label,p_0,p_1\n"
    assert not (folder / "dev_swapped.csv").exists()
    evaluate_paraphrase.main("ensemble", *evaluation_words())
    metrics = read_json(Path("metrics/paraphrase/ensemble.json"))
    assert "order_flip_rate" not in metrics and "ap_h_rows" not in metrics


def cut(path: Path, edit: Callable[[list[str]], list[str]]) -> None:
    path.write_text("\n".join(edit(path.read_text().splitlines())) + "\n")


@pytest.mark.parametrize(
    ("split", "edit", "message"),
    [
        ("dev", lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "other rows than those of baseline"),
        ("select", lambda lines: lines[:-1], "other rows than those of baseline"),
        ("test", lambda lines: [lines[0], *(line.replace(",,", ",1,") for line in lines[1:])], "other rows"),
        ("ap_h", lambda lines: [f"{lines[0]},p_2", *(f"{line},0" for line in lines[1:])], "other classes"),
        ("dev", lambda lines: [lines[0], "q0,1,.5,.9", *lines[2:]], ":2: probabilities 0.5, 0.9 do not sum to 1"),
    ],
)
def test_members_that_do_not_fit_are_named_and_nothing_is_written(
    in_project: Path, split: str, edit: Callable[[list[str]], list[str]], message: str
) -> None:
    cut(folder_of("mean_pooling") / f"{split}.csv", edit)
    with pytest.raises(InputError, match=f"mean_pooling/{split}.csv") as caught:
        ensemble.main("ensemble")
    assert message in str(caught.value)
    assert not Path("predictions/paraphrase_ensembles/ensemble").exists()


def test_select_needs_labels(in_project: Path) -> None:
    for member in MEMBERS:
        cut(folder_of(member) / "select.csv", lambda lines: lines[:2])
    with pytest.raises(InputError, match="select.csv: expected at least two rows"):
        ensemble.main("ensemble")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"members": ["baseline", "nobody"], "weights": "equal"}, "'nobody' is not a row; expected some of"),
        ({"members": ["baseline"], "weights": "equal"}, "at least 2 items"),
        ({"members": ["apt", "baseline", "apt"], "weights": "equal"}, "'apt' is named more than once"),
        ({"members": ["baseline", "apt"], "weights": "best"}, "'equal' or 'fitted'"),
        ({"members": ["baseline", "apt"]}, "ensembles.e.weights"),
        (None, "expected a mapping"),
    ],
)
def test_bad_entries_are_one_line_errors(tmp_path: Path, entry: object, message: str) -> None:
    choose({"e": entry}, tmp_path)
    with pytest.raises(InputError, match="paraphrase.ensembles.e") as caught:
        load_params(tmp_path / "params.yaml")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_names_of_rows_and_of_nothing(in_project: Path) -> None:
    with pytest.raises(InputError, match="no entry 'other'; it has ensemble, ensemble_weighted"):
        ensemble.main("other")
    choose({"apt": {"members": ["baseline", "mean_pooling"], "weights": "equal"}}, in_project)
    with pytest.raises(InputError, match=r"paraphrase.ensembles.apt: paraphrase.methods has a row of that name"):
        ensemble.main("apt")


def test_a_mean_has_the_same_bits_however_many_rows_there_are() -> None:
    # Rows are added one after the other: a BLAS adds them in an order of its own for each kind of CPU and shape.
    rng = np.random.default_rng(0)
    probabilities, weights = rng.dirichlet([1, 1], (16, 300)).round(6), np.full(16, 1 / 16)
    whole = mixed(weights, probabilities)
    assert np.array_equal(whole, sum(weight * own for weight, own in zip(weights, probabilities, strict=True)))
    assert np.array_equal(whole[7:8], mixed(weights, probabilities[:, 7:8]))
