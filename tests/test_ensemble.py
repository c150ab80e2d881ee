"""The stage `ensemble`: what it writes of rows and seeds of both tasks, and its errors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from small_project import evaluation_words
from test_ensemble_weights import answers

from pipeline.config.params import load_params
from pipeline.errors import InputError
from pipeline.evaluation.classification import accuracy, confusion
from pipeline.evaluation.ensemble import FITS, cross_fitted, mixed
from pipeline.evaluation.predictions import Floats, Predictions, folder_of, read_any_predictions, write_predictions
from pipeline.files import read_json
from pipeline.stages import ensemble, evaluate_paraphrase, evaluate_sentiment
from pipeline.text.prepared import PREPARED, Pair, write_pairs

ROOT = Path(__file__).resolve().parents[1]
MEMBERS = ("baseline", "last_pooling", "mean_pooling")
OTHER = "other rows, classes or order than those of baseline; run"
SPLITS = ("select", "dev", "dev_swapped", "test", "ap_h")


def small_project(folder: Path) -> None:
    """The committed parameters and predictions of three members, for 40 pairs a split; test has no labels."""
    entries = {"ensemble": "equal", "fitted": "fitted", "greedy": "greedy"}
    choose({name: {"members": list(MEMBERS), "weights": weights} for name, weights in entries.items()}, folder)
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=40)
    ids = [f"q{index}" for index in range(40)]
    pairs = [Pair(id_, f"Is {id_} odd?", "Odd?", int(label)) for id_, label in zip(ids, labels, strict=True)]
    write_pairs(PREPARED / "paraphrase/dev.csv", pairs)
    for member in MEMBERS:
        for split in SPLITS:
            known = [None] * 40 if split == "test" else labels.tolist()
            write_predictions(folder_of("paraphrase", member), split, ids, known, answers(labels, 0.7, rng), "Header")


def stacked_of(members: list[Predictions]) -> Floats:
    """Probabilities (members, rows, classes)."""
    return np.stack([member.probabilities for member in members])


def result(name: str, split: str) -> Predictions:
    return read_any_predictions(Path("predictions/paraphrase_ensembles") / name / f"{split}.csv")


@pytest.fixture
def in_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    small_project(tmp_path)
    return tmp_path


def choose(entries: dict[str, object], folder: Path, task: str = "paraphrase", **seeds: list[int]) -> None:
    """The committed parameters with these ensembles, and with seeds of rows."""
    yaml = YAML(typ="safe")
    params = yaml.load(ROOT / "params.yaml")
    params[task]["ensembles"] = entries
    for row, own in seeds.items():
        params[task]["methods"][row]["seeds"] = own
    with open(folder / "params.yaml", "w") as file:
        yaml.dump(params, file)


def test_equal_weights_average_every_split(in_project: Path) -> None:
    ensemble.main("paraphrase", "ensemble")
    for split in SPLITS:
        members = [read_any_predictions(folder_of("paraphrase", member) / f"{split}.csv") for member in MEMBERS]
        found = result("ensemble", split)
        mean = np.mean([member.probabilities for member in members], axis=0)
        assert found.probabilities == pytest.approx(mean, abs=1e-6)
        assert found.ids == members[0].ids and np.array_equal(found.labels, members[0].labels)
    folder = Path("predictions/paraphrase_ensembles/ensemble")
    assert read_json(folder / "weights.json") == dict.fromkeys(MEMBERS, 0.333333)
    lines = (folder / "submission.csv").read_text().split("\n")
    assert lines[0] == "id \t Predicted_Is_Paraphrase "
    assert lines[1] == f"q0, {result('ensemble', 'test').predicted[0]} "


@pytest.mark.parametrize("kind", ["fitted", "greedy"])
def test_weights_never_see_dev_and_select_is_cross_fitted(in_project: Path, kind: str) -> None:
    ensemble.main("paraphrase", kind)
    select = [read_any_predictions(folder_of("paraphrase", member) / "select.csv") for member in MEMBERS]
    stacked = stacked_of(select)
    weights = FITS[kind](stacked, select[0].labels)
    written = read_json(Path(f"predictions/paraphrase_ensembles/{kind}/weights.json"))
    assert list(written) == list(MEMBERS) and list(written.values()) == pytest.approx(weights.tolist(), abs=1e-6)
    dev = [read_any_predictions(folder_of("paraphrase", member) / "dev.csv") for member in MEMBERS]
    assert result(kind, "dev").probabilities == pytest.approx(mixed(weights, stacked_of(dev)), abs=1e-6)
    honest = cross_fitted(stacked, select[0].labels, load_params().seed, kind)
    assert result(kind, "select").probabilities == pytest.approx(honest, abs=1e-6)
    evaluate_paraphrase.main(kind, *evaluation_words())
    metrics = read_json(Path(f"metrics/paraphrase/{kind}.json"))
    expected = accuracy(confusion(Predictions(select[0].ids, select[0].labels, honest)))
    assert metrics["select_accuracy"] == pytest.approx(float(expected)) and "reported_accuracy" not in metrics


def test_seeds_of_sentiment_rows_are_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    members = ["sst_head", "sst_full", "sst_full@1"]
    choose({"both": {"members": members, "weights": "equal"}}, tmp_path, "sentiment", sst_full=[1])
    rng, labels = np.random.default_rng(1), np.arange(50) % 5
    for member in members:
        for split in ("select", "dev", "test"):
            shares = rng.dirichlet(np.ones(5), 50)
            known = [None] * 50 if split == "test" else labels.tolist()
            folder = folder_of("sentiment", member)
            write_predictions(folder, split, [f"s{row}" for row in range(50)], known, shares, "Header")
    assert Path("predictions/sentiment/sst_full/seed_1/dev.csv").exists()
    ensemble.main("sentiment", "both")
    folder = folder_of("sentiment", "both", ["both"])
    assert {path.name for path in folder.iterdir()} == {
        "select.csv", "dev.csv", "test.csv", "submission.csv", "weights.json"
    }  # fmt: skip
    assert read_json(folder / "weights.json") == dict.fromkeys(members, 0.333333)
    rows = [read_any_predictions(folder_of("sentiment", member) / "dev.csv") for member in members]
    mean = np.mean([row.probabilities for row in rows], axis=0)
    assert read_any_predictions(folder / "dev.csv").probabilities == pytest.approx(mean, abs=1e-6)
    assert (folder / "submission.csv").read_text().startswith("id \t Predicted_Sentiment \n")
    for row in ("both", "sst_full"):
        evaluate_sentiment.main(row, *evaluation_words())
    metrics = read_json(Path("metrics/sentiment/both.json"))
    assert metrics["accuracy"] == pytest.approx((mean.argmax(1) == labels).mean()) and "seeds" not in metrics
    metrics, own = read_json(Path("metrics/sentiment/sst_full.json")), [row.predicted for row in rows[1:]]
    assert metrics["seeds"] == 2
    assert metrics["seeds_accuracy"] == pytest.approx(np.mean(np.stack(own) == labels), abs=1e-6)


def test_rows_without_swapped_or_adversarial_pairs_can_be_averaged(in_project: Path) -> None:
    for member in MEMBERS:
        write_predictions(folder_of("paraphrase", member), "ap_h", [], [], np.zeros((0, 2)), "Header")
    (folder_of("paraphrase", "last_pooling") / "dev_swapped.csv").unlink()
    ensemble.main("paraphrase", "ensemble")
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
        (
            "dev",
            lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
            OTHER,
        ),
        ("select", lambda lines: lines[:-1], OTHER),
        (
            "test",
            lambda lines: [lines[0], *(line.replace(",,", ",1,") for line in lines[1:])],
            OTHER,
        ),
        (
            "ap_h",
            lambda lines: [f"{lines[0]},p_2", *(f"{line},0" for line in lines[1:])],
            OTHER,
        ),
        ("dev", lambda lines: [lines[0], "q0,1,.5,.9", *lines[2:]], ":2: probabilities 0.5, 0.9 do not sum to 1"),
    ],
)
def test_members_that_do_not_fit_are_named_and_nothing_is_written(
    in_project: Path, split: str, edit: Callable[[list[str]], list[str]], message: str
) -> None:
    cut(folder_of("paraphrase", "mean_pooling") / f"{split}.csv", edit)
    with pytest.raises(InputError, match=f"mean_pooling/{split}.csv") as caught:
        ensemble.main("paraphrase", "ensemble")
    assert message in str(caught.value)
    assert not Path("predictions/paraphrase_ensembles/ensemble").exists()


def test_select_needs_labels(in_project: Path) -> None:
    for member in MEMBERS:
        cut(folder_of("paraphrase", member) / "select.csv", lambda lines: lines[:2])
    with pytest.raises(InputError, match="select.csv: expected at least two rows"):
        ensemble.main("paraphrase", "ensemble")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"members": ["baseline", "nobody"], "weights": "equal"}, "'nobody' is not a row; expected some of"),
        ({"members": ["baseline", "nobody@1"], "weights": "equal"}, "'nobody' is not a row; expected some of"),
        ({"members": ["baseline", "baseline@3"], "weights": "equal"}, "'baseline@3': baseline has `seeds: [1, 2]`"),
        ({"members": ["baseline", "baseline@"], "weights": "equal"}, "'baseline@': baseline has `seeds: [1, 2]`"),
        ({"members": ["baseline@1", "baseline@1"], "weights": "equal"}, "'baseline@1' is named more than once"),
        ({"members": ["baseline"], "weights": "equal"}, "at least 2 items"),
        ({"members": ["apt", "baseline", "apt"], "weights": "equal"}, "'apt' is named more than once"),
        ({"members": ["baseline", "apt"], "weights": "best"}, "'equal', 'fitted' or 'greedy'"),
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
    with pytest.raises(InputError, match="no entry 'other'; it has ensemble, fitted, greedy"):
        ensemble.main("paraphrase", "other")
    with pytest.raises(InputError, match="no entry 'sonnet'; it has sentiment, paraphrase"):
        ensemble.main("sonnet", "other")
    choose({"apt": {"members": ["baseline", "mean_pooling"], "weights": "equal"}}, in_project)
    with pytest.raises(InputError, match=r"paraphrase.ensembles.apt: paraphrase.methods has a row of that name"):
        ensemble.main("paraphrase", "apt")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["sst_full", "cfimdb_full"], "both.members: 'cfimdb_full' is of another dataset than the first one"),
        (["sst_full", "sst_full@11711"], "both.members: 'sst_full@11711': sst_full has `seeds: [4]`"),
        (["sst_full", "sst_head@4"], "both.members: 'sst_head@4': sst_head has `seeds: []`"),
    ],
)
def test_members_of_sentiment_are_checked(tmp_path: Path, members: list[str], message: str) -> None:
    choose({"both": {"members": members, "weights": "greedy"}}, tmp_path, "sentiment", sst_full=[4])
    with pytest.raises(InputError) as caught:
        load_params(tmp_path / "params.yaml")
    assert f"params.yaml: sentiment.ensembles.{message}" in str(caught.value) and "\n" not in str(caught.value)
