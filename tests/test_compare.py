"""`make compare`: what changed in metrics/ against a commit."""

import json
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.commands import compare
from pipeline.errors import InputError

ROWS = {
    "baseline": {"accuracy": 0.7, "accuracy_low": 0.65, "accuracy_high": 0.75, "macro_f1": 0.6},
    "gone": {"accuracy": 0.5},
}
SONNET = {"chrf_mean": 30.0, "chrf_low": 29.0, "chrf_high": 31.0, "chrf_completion_mean": 10.0}


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments], check=True)


def write(path: str, values: object) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values))


def write_params(*rows: str) -> None:
    tables = {"sentiment": {"methods": {}}, "paraphrase": {"methods": dict.fromkeys(rows), "ensembles": {"both": None}}}
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(tables | {"sonnet": {"systems": {"top_p": None}}}, file)


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in a folder of a repository, with a commit on branch `before`."""
    project = tmp_path / "repository/project"
    project.mkdir(parents=True)
    monkeypatch.chdir(project)
    write_params(*ROWS)
    for row, metrics in ROWS.items():
        write(f"metrics/paraphrase/{row}.json", metrics)
    write("metrics/sonnets/top_p.json", SONNET)
    write("metrics/sonnets/floors.json", {"prompt_only_chrf": 24.0})
    git("init", "-q", "..")
    git("add", "-A")
    git("commit", "-qm", "before")
    git("branch", "before")
    return project


def output(capsys: pytest.CaptureFixture[str], base: str = "before") -> list[str]:
    compare.run(Namespace(base=base))
    return capsys.readouterr().out.splitlines()


def test_nothing_has_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert output(capsys) == ["3 rows have the same headline metrics"]


def test_changes_are_told_with_the_old_interval(capsys: pytest.CaptureFixture[str]) -> None:
    write(
        "metrics/paraphrase/baseline.json", ROWS["baseline"] | {"accuracy": 0.76, "accuracy_low": 0.7, "macro_f1": 0.55}
    )
    write("metrics/sonnets/top_p.json", SONNET | {"chrf_mean": 30.5})
    git("commit", "-qam", "after")
    assert [line.split() for line in output(capsys)] == [
        ["Row", "Metric", "before", "Now", "Difference", "Old", "interval"],
        ["paraphrase/baseline", "accuracy", "0.7000", "0.7600", "+0.0600", "0.6500", "to", "0.7500", "outside"],
        ["paraphrase/baseline", "macro_f1", "0.6000", "0.5500", "-0.0500", "–"],
        ["sonnets/top_p", "chrf_mean", "30.0000", "30.5000", "+0.5000", "29.0000", "to", "31.0000", "inside"],
        "1 rows have the same headline metrics".split(),
    ]


def test_the_ends_of_an_interval_are_inside() -> None:
    def verdict(new: dict, **interval: float) -> str:
        old = {"accuracy": 0.7} | interval
        return next(compare.changes({"paraphrase/row": old}, {"paraphrase/row": new}))[-1]

    ends = {"accuracy_low": 0.65, "accuracy_high": 0.75}
    assert [verdict({"accuracy": value}, **ends) for value in (0.65, 0.75)] == ["inside"] * 2
    assert [verdict({"accuracy": value}, **ends) for value in (0.6499, 0.7501)] == ["outside"] * 2
    assert verdict({}, **ends) == verdict({"accuracy": 0.9}) == ""


def test_rows_come_and_go_with_params_yaml_and_other_files_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    write_params("baseline", "new")  # the file of `gone` stays behind, as `dvc repro` leaves it
    write("metrics/paraphrase/new.json", {"accuracy": 0.9})
    write("metrics/paraphrase/both.json", {"accuracy": 0.8})
    write("metrics/sonnets/floors.json", {"prompt_only_chrf": 25.0})
    assert output(capsys) == [
        "added: paraphrase/both, paraphrase/new",
        "removed: paraphrase/gone",
        "2 rows have the same headline metrics",
        "also changed: metrics/sonnets/floors.json",
    ]


def test_a_new_metric_has_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    write("metrics/paraphrase/gone.json", {"accuracy": 0.5, "ap_h_accuracy": 0.4})
    assert output(capsys)[1].split() == ["paraphrase/gone", "ap_h_accuracy", "–", "0.4000", "–", "–"]


@pytest.mark.parametrize("base", ["nowhere", "--all", "", "before:metrics", "HEAD~1"])
def test_an_unknown_base_is_one_line(base: str) -> None:
    with pytest.raises(InputError, match="is not a commit, branch or tag"):
        compare.run(Namespace(base=base))


def test_a_broken_file_of_the_base_is_named() -> None:
    Path("metrics/paraphrase/gone.json").write_text("{")
    git("commit", "-qam", "broken")
    write("metrics/paraphrase/gone.json", ROWS["gone"])
    with pytest.raises(InputError, match=r"metrics/paraphrase/gone.json of \w{10} is not valid JSON"):
        compare.run(Namespace(base="HEAD"))
