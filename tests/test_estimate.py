"""`python -m pipeline estimate`: what is counted, with every measured price pretended to be a millisecond."""

import re
from pathlib import Path

import pytest
import torch
from course_files import write_course_folder
from ruamel.yaml import YAML
from small_project import REPOSITORY, small_params

from benchmarks.gpu_hours import hours
from pipeline.__main__ import main
from pipeline.commands import estimate
from pipeline.commands.estimate import ANY, Estimate
from pipeline.config.base import check
from pipeline.config.params import Params
from pipeline.errors import InputError

KINDS = set(YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"])
PRICES = dict.fromkeys(["full", "head", "adapter", "language model", "prediction", "sampling", "encoder"], 0.001)
WORDS = {"sst": 15, "cfimdb": 90, "paraphrase": 9, "etpc": 15, "sonnets": 120, "ap_h": 9}
CORPUS = {"rows": 100, "label_1": 0.4}
FIGURES = {
    name: dict.fromkeys(["train", "select", "dev", "test"], CORPUS | {"mean_words": WORDS[name]}) for name in WORDS
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_course_folder(tmp_path_factory.mktemp("data") / "course")


@pytest.fixture(autouse=True)
def priced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(estimate, "measure", lambda *_: PRICES)


def seconds(name: str, rows: int = 100, **changes: object) -> float:
    """Of a stage beside ANY, with so many training rows and with changes of its row of the parameters."""
    values = small_params("course")
    kind, _, row = name.partition("@")
    tables = {"train_sentiment": ("sentiment", "methods"), "train_first_stage": ("paraphrase", "first_stages"),
              "train_sonnet": ("sonnet", "methods"), "generate_sonnets": ("sonnet", "systems"),
              "generate_sonnet_ensemble": ("sonnet", "ensembles")}  # fmt: skip
    block, table = tables.get(kind, ("paraphrase", "methods"))
    if changes:
        values[block][table][row] |= changes
    figures = {name: splits | {"train": splits["train"] | {"rows": rows}} for name, splits in FIGURES.items()}
    return Estimate(check(values, Params, ""), figures, PRICES).seconds(name) - ANY


@pytest.mark.parametrize("profile", ["sample", "laptop", "gpt2"])
def test_every_kind_of_stage_of_every_profile_has_its_line(
    profile: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(REPOSITORY.iterdir())
    main(["estimate", "--profile", profile, "--data", str(data), "--jobs", "2"])
    output = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in output.partition("\n\n")[0].splitlines()[1:]}
    assert lines.keys() == KINDS | {"all"}  # a stage that is new in dvc.yaml is an error: see below
    assert int(lines["all"][1]) == sum(int(cells[1]) for kind, cells in lines.items() if kind != "all")
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", cells[-1]) for cells in lines.values())
    assert re.search(r"make repro JOBS=2: at least .*, with 2 x [\d,]+ MiB .*\nDisk: [\d,]+ MiB of models", output)
    assert "Assumed: 1.2 tokens a word" in output
    assert sorted(REPOSITORY.iterdir()) == before


def test_time_follows_rows_epochs_seeds_passes_and_draws() -> None:
    for name in ("train_first_stage@simcse", "train_first_stage@etpc", "generator"):
        assert seconds(name, rows=10_000) == pytest.approx(100 * seconds(name)), name
    for name in ("train_sentiment@sst_full", "train_paraphrase@mtan", "train_sonnet@lora"):  # what is held out stays
        assert 10 < seconds(name, rows=10_000) / seconds(name) < 100, name
    assert seconds("train_first_stage@etpc", epochs=6) == pytest.approx(3 * seconds("train_first_stage@etpc"))
    assert seconds("train_paraphrase@cloze_head", seeds=[1, 2, 3]) == 4 * seconds("train_paraphrase@cloze_head")
    assert seconds("train_sentiment@sst_head", seeds=[1]) == 2 * seconds("train_sentiment@sst_head")
    assert seconds("train_paraphrase@r_drop") > 1.2 * seconds("train_paraphrase@last_pooling")
    few, some, many = (seconds("generate_sonnets@top_p_tuned", draws=draws) for draws in (100, 200, 400))
    assert many - some == pytest.approx(2 * (some - few)) and some > few
    assert seconds("generate_sonnets@top_p_tuned", max_new_tokens=10) < seconds("generate_sonnets@top_p_tuned")
    mixture = "generate_sonnet_ensemble@mixture_top3"
    assert seconds(mixture, draws=9) == pytest.approx(3 * seconds("generate_sonnets@top_p_tuned", draws=9))
    assert seconds("generate_sonnet_ensemble@pool_mbr") < seconds(mixture)


def test_a_stage_without_an_estimate_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "MODELS", {"brew_coffee"})
    with pytest.raises(
        InputError, match="dvc.yaml: brew_coffee: a stage with a model that .*estimate.py does not know"
    ):
        seconds("brew_coffee@black")


def test_each_price_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    try:
        params = check(small_params("course"), Params, "")
        prices = estimate.measure(params, estimate.config_of(params))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
    assert prices.keys() == PRICES.keys()
    assert all(price > 0 for price in prices.values())
    assert prices["head"] < prices["full"]


def test_a_run_is_compared_stage_by_stage(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    times = tmp_path / "times.tsv"
    head = "stage\tresult\tseconds\n"
    times.write_text(f"{head}report\tdone\t0.6\ntraining_set@apt\tfailed\t9\ntrain_sonnet@lora\tdone\t8\n")
    main(["estimate", "--profile", "sample", "--data", str(data), "--check", str(times), "--rows"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "Estimated s Real s Ratio".split()
    assert [line[0] for line in lines[1:]] == ["report", "train_sonnet@lora", "all"]
    assert lines[1] == ["report", "0.30", "0.6", "0.50"] and lines[3][2] == "8.6"
    times.write_text("stage\ttime\nreport\t3\n")
    with pytest.raises(InputError, match="times.tsv: column result, seconds is missing"):
        main(["estimate", "--profile", "sample", "--data", str(data), "--check", str(times)])


def test_the_gpu_profiles_fit_into_their_hours() -> None:
    """Of an H100 at its measured rates; what a profile gains in rows must not cost a user more than this."""
    took = hours()
    assert 1 < took.loc["all", "gpt2_headline"] < 3 and 10 < took.loc["all", "gpt2"] < 15
    assert took.drop("all").sum().to_dict() == pytest.approx(took.loc["all"].to_dict())


def test_what_cannot_be_estimated_is_one_line() -> None:
    for arguments, message in (
        (["--profile", "gpt2"], "course.yaml is no folder on this machine; name one with --data FOLDER"),
        (["--profile", "sample", "--data", "tests"], "tests: no file quora-train.csv"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            main(["estimate", *arguments])
        assert "\n" not in str(caught.value)
