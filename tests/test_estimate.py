"""`python -m pipeline estimate`: demands counted from data and parameters, with a calibration that is made up."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from course_files import write_course_folder
from dvc.repo import Repo
from ruamel.yaml import YAML
from small_project import REPOSITORY, small_params
from tiny import TEXT, tiny_tokenizer, write_backbone, write_prepared

from pipeline.__main__ import main
from pipeline.commands.estimate import duration, print_check, print_estimate, size
from pipeline.config.tasks import load_paraphrase
from pipeline.errors import InputError
from pipeline.estimate import calibration, check, counts
from pipeline.estimate.calibration import Calibration, Line, fit
from pipeline.estimate.classifiers import Project
from pipeline.estimate.cost import cost, longest_path, more_data, open_project, side_by_side, stages, total
from pipeline.estimate.demand import OPERATIONS, Stage
from pipeline.estimate.model import Model
from pipeline.estimate.runs import Bench
from pipeline.jobs.cores import cores

PROFILES = ("sample", "laptop", "gpt2")
FAKE = Calibration({name: Line(0.001, 1e-5, 1e-8) for name in (*OPERATIONS, "setup")}, 5.0, 400.0, False, 30.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_course_folder(tmp_path_factory.mktemp("data") / "course")


@pytest.fixture(scope="module")
def found(data: Path) -> dict[str, Project]:
    """Every profile on invented data."""
    return {name: open_project(REPOSITORY / f"profiles/{name}.yaml", data) for name in PROFILES}


@pytest.fixture
def project(found: dict[str, Project]) -> Project:
    return found["sample"]


def by_name(project: Project) -> dict[str, Stage]:
    return {stage.name: stage for stage in stages(project)}


def seconds(stage: Stage, *kinds: str) -> float:
    """Of the work of some kinds."""
    chosen = tuple(part for part in stage.work if part.operation.partition(".")[0] in kinds)
    return cost(replace(stage, work=chosen), FAKE).seconds


def only_tokens(project: Project) -> Calibration:
    """Where nothing costs anything but tokens."""
    return replace(FAKE, lines={name: Line(0.0, 1e-5) for name in FAKE.lines})


def test_counts_are_those_of_the_prepared_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = small_params("course")
    params["backbone"].update(source="path", path="models/backbone")
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    write_backbone(Path("models/backbone"))
    write_prepared(Path("data/prepared"), rows=7)
    found = counts.count()
    lengths = [len(tiny_tokenizer().encode(f"train {number}: {TEXT[2]}").ids) for number in range(7)]
    assert found.source == "data/prepared" and found.tokenizer == "the tokenizer in models/backbone"
    sst = found["sst/train"]
    assert (sst.rows, sst.tokens, sst.longest) == (7, pytest.approx(sum(lengths) / 7), max(lengths))
    assert found["paraphrase/dev"].rows == 7 and found["train/positive"].rows == 6  # 3 of 7, in both directions
    assert found["etpc/train"].rows == 0 and found["ap_h/dev"].rows == 0
    assert found["sst/train"].cut(5).tokens == 5


def test_raw_files_give_the_rows_that_prepare_would(found: dict[str, Project], data: Path) -> None:
    for name, project in found.items():
        rows = {split: project.counts[f"paraphrase/{split}"].rows for split in ("train", "select", "dev", "test")}
        assert rows["train"] + rows["select"] <= 60 and rows["dev"] == rows["test"] == 20, name
        assert project.counts.source == str(data)
    assert found["gpt2"].model.weights == 124_439_808
    assert "GPT-2's words" in found["gpt2"].counts.tokenizer


def test_the_stages_are_those_of_the_graph(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    graph = {stage.addressing for stage in Repo().index.stages}
    every = stages(project)
    assert {stage.name for stage in every} == graph and len(every) == len(graph)
    known: set[str] = set()
    for stage in every:
        assert stage.needs <= known, f"{stage.name} comes before what it needs"
        known.add(stage.name)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_estimated(
    name: str, found: dict[str, Project], capsys: pytest.CaptureFixture[str]
) -> None:
    project = found[name]
    every = stages(project)
    assert {part.operation for stage in every for part in stage.work} <= set(OPERATIONS)
    costs = [cost(stage, FAKE) for stage in every]
    assert all(one.seconds > 0 and one.memory_mib >= 400 and one.disk_mib >= 0 for one in costs)
    print_estimate(project, every, FAKE, [1, 2], every=False)
    output = capsys.readouterr().out
    assert "10x the training rows: " in output and "100x the training rows: " in output
    assert [line.split()[0] for line in output.splitlines() if line.startswith("train_")] == [
        "train_sentiment", "train_first_stage", "train_paraphrase", "train_sonnet"
    ]  # fmt: skip
    print_estimate(project, every, FAKE, [1], every=True)
    assert "train_paraphrase@symmetric " in capsys.readouterr().out


@pytest.mark.parametrize("name, shown", [("sample", {"1", "2"}), ("laptop", {"2"})])
def test_a_stage_is_measured_with_the_cores_that_it_will_have(
    name: str, shown: set[str], data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Two stages of the laptop's profile share the cores. One alone would be faster than what was measured.
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("OMP_NUM_THREADS", "to be put back")
    monkeypatch.delenv("OMP_NUM_THREADS")
    given = []

    def calibrate(*_: object) -> Calibration:
        given.append(os.environ.get("OMP_NUM_THREADS"))
        return FAKE

    monkeypatch.setattr(calibration, "calibrate", calibrate)
    main(["estimate", "--profile", name, "--data", str(data), "--jobs", "2"])
    assert given == [str(max(1, cores() // 2))]
    assert set(re.findall(r"make repro JOBS=(\d+)", capsys.readouterr().out)) == shown


def test_twice_the_rows_take_twice_the_time_to_train(project: Project) -> None:
    before, after = by_name(project), {stage.name: stage for stage in more_data(project, 2)}
    for name in ("train_paraphrase@baseline", "train_first_stage@simcse", "train_sentiment@sst_full", "generator"):
        kinds = ("train", "language")
        settings_round = 0.35  # batches of few rows are rounded up
        ratio = seconds(after[name], *kinds) / seconds(before[name], *kinds)
        assert ratio == pytest.approx(2, rel=settings_round), name
    assert seconds(after["generate_sonnets@line_mbr"], "sample") == pytest.approx(
        seconds(before["generate_sonnets@line_mbr"], "sample")
    )


def test_two_views_cost_twice_one(project: Project) -> None:
    rows, calibration = by_name(project), only_tokens(project)
    for name, factor in (("r_drop", 2), ("symmetric", 2), ("baseline_as_reported", 1)):
        one, other = (
            total([cost(replace(rows[f"train_paraphrase@{row}"], work=tuple(
                part for part in rows[f"train_paraphrase@{row}"].work if part.operation.startswith("train")
            )), calibration)]).seconds
            for row in (name, "last_pooling")
        )  # fmt: skip
        assert one == pytest.approx(factor * other), name
    baseline, last = (rows[f"train_paraphrase@{row}"] for row in ("baseline", "last_pooling"))
    assert seconds(baseline, "train") == pytest.approx(3 * seconds(last, "train"))  # its own seed and two more
    both, one = (rows[f"train_paraphrase@{row}"] for row in ("symmetric", "r_drop"))
    assert seconds(both, "predict") > 1.5 * seconds(one, "predict")


def test_a_run_is_no_shorter_than_its_longest_path(project: Project) -> None:
    every = stages(project)
    chain = longest_path(every, {stage.name: 1.0 for stage in every})
    assert chain >= 8  # download, prepare, backbone, generator, adversarial, set, row, ensemble, evaluation
    times = [side_by_side(every, FAKE, jobs) for jobs in (1, 2, 1000)]
    assert times[0] > times[1] > times[2]


def test_a_run_is_compared_by_kind_of_stage(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "times.tsv"
    rows = [("stage", "result", "command_cpu_s"), ("generator", "done", 4), ("train_sentiment@sst_head", "done", 1),
            ("train_sentiment@sst_full", "failed", 9), ("train_sentiment@cfimdb_head", "done", 2)]  # fmt: skip
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    real = check.measured(path)
    assert real == {"generator": 4.0, "train_sentiment@sst_head": 1.0, "train_sentiment@cfimdb_head": 2.0}
    estimated = {"generator": 5.0, "train_sentiment@sst_head": 2.0, "train_sentiment@cfimdb_head": 3.0, "report": 7.0}
    assert check.compared(estimated, real) == [
        ("generator", 1, 5.0, 4.0), ("train_sentiment", 2, 5.0, 3.0), ("all", 3, 10.0, 7.0)
    ]  # fmt: skip
    print_check(stages(project), FAKE, real)
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["generator", "1"], ["train_sentiment", "2"], ["all", "3"]
    ]  # fmt: skip
    path.write_text("stage\tresult\tcommand_cpu_s\nreport\tunchanged\t0\n")
    with pytest.raises(InputError, match="no stage in it ran to its end"):
        check.measured(path)


def test_lines_are_fitted_without_negative_parts() -> None:
    line = Line(0.01, 2e-5, 3e-8)
    again = fit(((8, 20), (16, 44), (8, 128), (2, 256)), line.seconds)
    assert (again.fixed, again.token, again.square) == pytest.approx((0.01, 2e-5, 3e-8), rel=1e-3)
    assert fit(((10, 1), (20, 1)), lambda rows, _: 1.0 / rows).token >= 0
    assert line.times(2).seconds(3, 4) == pytest.approx(2 * line.seconds(3, 4))


def test_a_large_model_is_measured_by_its_first_blocks() -> None:
    bench = Bench(Model(12, 768, 12, 50257, 1024), "fp32", lambda: 0.0, 0.1)
    assert bench.small.layers == 2
    line = calibration.whole(bench, Line(1.0, 1.0, 1.0))
    assert (line.token, line.square) == pytest.approx((6.0, 6.0))
    assert line.fixed == pytest.approx(bench.model.weights / bench.small.weights)
    assert calibration.whole(bench, Line(1.0, 1.0, 1.0), language=True).token == pytest.approx(6.1, rel=0.01)
    assert Bench(Model(4, 256, 4, 8000, 512), "fp32", lambda: 0.0, 0.1).small.layers == 4


def test_what_is_measured_is_there_for_a_tiny_model(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "BUDGET", 0.0)
    monkeypatch.setattr(calibration, "start_up", lambda on_cpu: (1.0, 0.1, 400.0))
    tiny = replace(project, model=Model(1, 32, 2, 300, 512))
    threads = torch.get_num_threads()
    try:
        measured = calibration.calibrate(tiny, set(OPERATIONS))
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(threads)
    assert set(OPERATIONS) <= set(measured.lines)
    assert all(cost(stage, measured).seconds > 0 for stage in stages(tiny))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "none"], "profiles/none.yaml: no such file; --profile is one of gpt2, laptop, sample"),
        (
            ["--profile", "gpt2"],
            "data.path data/sources/course.yaml is no folder on this machine; name one with --data FOLDER",
        ),
        (["--profile", "sample", "--data", "tests"], "tests: no file quora-train.csv"),
        (["--check", "none.tsv"], "none.tsv: no such file; `make repro` writes .dvc/tmp/jobs/times.tsv"),
        (["--jobs", "0"], "--jobs: expected a positive number, got 0"),
    ],
)
def test_what_cannot_be_estimated_is_one_line(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(InputError) as caught:
        main(["estimate", *arguments])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_durations_and_sizes_as_people_read_them() -> None:
    shown = [duration(value) for value in (0.24, 42.4, 150, 3700, 200000)]
    assert shown == ["0.2 s", "42 s", "2 min", "1 h 2 min", "2 days 8 h"]
    assert [size(value) for value in (0.25, 300, 2048, 3e6)] == ["0.2 MiB", "300 MiB", "2.0 GiB", "2.9 TiB"]


def test_objectives_tell_what_they_compute(project: Project) -> None:
    settings = load_paraphrase("simcse_joint", "methods", project.path)
    assert settings.objective == "simcse_joint"
    rows = by_name(project)
    plain, joint = rows["train_paraphrase@last_pooling"], rows["train_paraphrase@simcse_joint"]
    (one,) = (part for part in plain.work if part.operation == "train")
    (other,) = (part for part in joint.work if part.operation == "train")
    assert other.rows == 3 * one.rows and one.tokens > other.tokens > one.tokens / 3  # the pair, and a question twice
