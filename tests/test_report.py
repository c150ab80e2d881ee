"""The report on a small made-up project: every stage of evaluation runs, then the page and the tables are checked."""

import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from report_project import ROOT, run_all
from ruamel.yaml import YAML

from pipeline.__main__ import main as command
from pipeline.config.base import PARAMS, parse
from pipeline.errors import InputError
from pipeline.evaluation.predictions import Predictions
from pipeline.files import read_json, write_json, write_text
from pipeline.report import answers, figures, results, tables
from pipeline.report.page import comparability, hidden_path
from pipeline.report.results import load_results
from pipeline.stages import report


def dev_predictions() -> dict[str, Predictions]:
    """Of the paraphrase rows."""
    return answers.dev_predictions(load_results(parse(PARAMS)))["paraphrase"]


def outputs() -> dict[str, bytes]:
    """Everything under metrics/ and plots/ but the curves."""
    files = [path for top in ("metrics", "plots") for path in sorted(Path(top).rglob("*")) if path.is_file()]
    return {str(path): path.read_bytes() for path in files if "curves" not in path.parts}


def test_every_metric_is_flat_and_finite(project: Path) -> None:
    for path in Path("metrics").glob("*/*.json"):
        for key, value in read_json(path).items():
            named = key in ("backend", "generator", "meaning_gate", "surface_gate") and isinstance(value, str)
            assert named or (isinstance(value, int | float) and np.isfinite(value)), (path, key)


def test_keys_of_the_metrics(project: Path) -> None:
    baseline = read_json(Path("metrics/paraphrase/baseline.json"))
    assert baseline["delta_accuracy"] == pytest.approx(baseline["accuracy"] - 0.9081, abs=2e-6)
    assert baseline["accuracy_low"] <= baseline["accuracy"] <= baseline["accuracy_high"]
    sentiment = read_json(Path("metrics/sentiment/sst_full.json"))
    assert sentiment["handout_accuracy"] == 0.513 and "positive_f1" not in sentiment
    sonnet = read_json(Path("metrics/sonnets/top_p_tuned.json"))
    assert sonnet["draws"] == 3 and 0 < sonnet["copied_line_share"] < 1
    assert sonnet["delta_chrf"] == pytest.approx(sonnet["chrf_mean"] - 43.2194, abs=2e-6)


def test_prefixes_stand_beside_their_scores(project: Path) -> None:
    section = Path("metrics/summary.md").read_text(encoding="utf-8").split("## Prefixes\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| top_p")]
    names = {"top_p_prefix": ["10", "1", "–", "True"], "top_p_prefix_flat": ["10", "1", "–", "False"]}
    names["top_p_prefix_parts"] = ["10", "4", "–", "True"]
    assert {name: values[:4] for name, *values in rows} == names
    for name, *_, dev, select in rows:
        assert dev == f"{read_json(Path(f'metrics/sonnets/{name}.json'))['chrf_mean']:.2f}" and select == "0.78"


def test_outputs_are_the_same_on_every_run(project: Path) -> None:
    before = outputs()
    run_all()
    assert outputs() == before


def test_stale_metrics_and_new_rows(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    params = deepcopy(parse(PARAMS))
    params["paraphrase"]["ensembles"] = {"ensemble_seeds": params["paraphrase"]["ensembles"]["ensemble_seeds"]}
    del params["paraphrase"]["methods"]["mean_pooling"]
    with open("params.yaml", "w") as file:
        YAML(typ="safe").dump(params, file)
    report.main()
    for name in ("plots/report.html", "metrics/summary.md", "plots/tables/forest_accuracy.csv"):
        shown = Path(name).read_text().replace("<wbr>", "").split("<h2>What was run</h2>")[0]
        assert "mean_pooling" not in shown and "ensemble_weighted" not in shown, name
    page = Path("plots/report.html").read_text().replace("<wbr>", "")
    assert '<th scope="row">paraphrase.methods.mean_pooling</th><td>–</td>' in page  # among the parameters that differ
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("last_pooling:", "fresh:"))
    with pytest.raises(OSError, match="fresh.json"):
        report.main()


def test_an_absolute_data_path_is_not_shown(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("data/sample ", "/home/someone/corpora "))
    report.main()
    for name in ("plots/report.html", "metrics/summary.md"):
        assert "corpora" in Path(name).read_text() and "someone" not in Path(name).read_text()


def test_summary_and_terminal(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = Path("metrics/summary.md").read_text(encoding="utf-8")
    for heading in (
        "Sentiment",
        "Paraphrase detection",
        "Paired tests",
        "Sonnets",
        "Floors",
        "Form",
        "Copying",
        "Data",
    ):
        assert f"\n## {heading}" in summary
    tables_found = [block for block in summary.split("\n\n") if block.startswith("|")]
    for block in tables_found:
        assert len({line.replace("\\|", "").count("|") for line in block.splitlines()}) == 1
    assert "\nline_mbr: chrF-optimal" in summary
    command(["results"])
    printed = capsys.readouterr().out
    accuracy = read_json(Path("metrics/paraphrase/baseline.json"))["accuracy"]
    assert f"{accuracy:.4f}" in printed and "0.9081" in printed and "top_p_tuned" in printed
    assert all(len(line) <= 80 for line in printed.splitlines())
    plain = subprocess.run(
        [sys.executable, "-m", "pipeline", "results"], check=True, stdout=subprocess.PIPE, encoding="ascii",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "COLUMNS": "80"},
    ).stdout  # fmt: skip
    assert re.findall(r"[\d.]+", plain) == re.findall(r"[\d.]+", printed) and "\u2212" in printed
    assert all(len(line) <= 80 for line in plain.splitlines())


def test_ensembles_stand_in_every_table_of_sonnets(project: Path) -> None:
    ensembles = list(parse(PARAMS)["sonnet"]["ensembles"])
    summary = Path("metrics/summary.md").read_text(encoding="utf-8")
    for heading in ("Sonnets", "Paired bootstrap over poems against top_p_tuned", "Form", "Copying and variety"):
        shown = summary.split(f"\n## {heading}\n")[1].split("\n## ")[0]
        assert [name for name in ensembles if f"\n| {name} |" not in shown] == []
    assert "\npool_mbr: chrF-optimal" in summary
    assert set(ensembles) <= set(pd.read_csv("plots/tables/forest_chrf.csv")["row"])
    tests = answers.sonnet_tests(load_results(parse(PARAMS)), 100)
    assert set(ensembles) <= set(tests["name"]) and len(tests) == len(load_results(parse(PARAMS)).sonnets.rows) - 1


def test_paired_tests_need_the_same_rows(project: Path) -> None:
    found = dev_predictions()
    dev = {row: found[row] for row in ("baseline", "mean_pooling")}
    tests = answers.paired_tests(dev, 200, 0.95, 1)
    assert list(tests["name"]) == ["mean_pooling"] and (tests["adjusted"] == tests["p_value"]).all()
    gained = tests["only_row"] - tests["only_baseline"]
    assert tests["difference"][0] == pytest.approx(gained[0] / 300)
    dev["mean_pooling"].ids[0] = "other"
    with pytest.raises(InputError, match="mean_pooling"):
        answers.paired_tests(dev, 200, 0.95, 1)
    assert answers.paired_tests({"mean_pooling": dev["mean_pooling"]}, 200, 0.95, 1).empty


def test_ensembles_are_rows_like_any_other(project: Path) -> None:
    summary = Path("metrics/summary.md").read_text(encoding="utf-8")
    sections = dict(block.split("\n", 1) for block in summary.split("\n## ")[1:])
    for title in ("Paraphrase detection", "Paired tests against baseline", "Paraphrase detection: ensembles"):
        assert "\n| ensemble_weighted | " in sections[title], title
    lines = sections["Paraphrase detection: ensembles"].splitlines()
    assert "| ensemble | equal | baseline 0.333, last_pooling 0.333, mean_pooling 0.333 |" in lines
    assert "| ensemble_seeds | equal | baseline 0.333, baseline@1 0.333, baseline@2 0.333 |" in lines
    for title in ("Sentiment", "Sentiment: ensembles"):
        assert "\n| sst_ensemble" in sections[title], title
    seeds = sections["Sentiment: rows trained with several seeds"]
    assert "\n| sst_head | 2 | " in seeds and "sst_full" not in seeds
    forest = pd.read_csv("plots/tables/forest_accuracy.csv", index_col="row")
    assert forest["dataset"]["ensemble_weighted"] == "Quora Question Pairs"
    assert forest["dataset"]["sst_ensemble"] == "SST-5" and forest["value"]["sst_ensemble"] > 0.25
    page = Path("plots/report.html").read_text(encoding="utf-8")
    for name in parse(PARAMS)["paraphrase"]["ensembles"]:
        assert f"Precision and recall of {name}, average precision" in page
        assert f"Training curves of {name}" not in page


def test_order_flips_stand_in_the_leaderboard_where_they_were_measured(project: Path) -> None:
    task = load_results(parse(PARAMS)).paraphrase
    table = tables.main_table(task, 0.95)
    assert table.header[-1] == "Order flips" and table.rows[0][-1] == f"{task.rows['order_flip_rate'][0]:.4f}"
    without = task.rows.drop(columns="order_flip_rate")
    table = tables.main_table(replace(task, rows=without), 0.95)
    assert table.header[-1] == "Its last epoch" and len(table.rows[0]) == len(table.header)


def test_slice_tables_have_a_line_a_row(project: Path) -> None:
    dev = {row: dev_predictions()[row] for row in ("baseline", "ensemble")}
    overlap, words = tables.slice_tables(dev, 0.95)
    assert overlap.header == ["Row", "0.00", "0.17", "0.29", "0.33"]
    assert [row[0] for row in overlap.rows] == ["baseline", "ensemble", "pairs"] and overlap.rows[-1][1:] == ["75"] * 4
    cells = [float(cell) for cell in words.rows[1][1:]]
    assert np.mean(cells) == pytest.approx(read_json(Path("metrics/paraphrase/ensemble.json"))["accuracy"], abs=1e-3)
    assert tables.slice_tables({}, 0.95) == []


def test_slices_of_other_pairs_are_refused(project: Path) -> None:
    dev = dev_predictions()["apt"]
    other = replace(dev, ids=["another", *dev.ids[1:]])
    with pytest.raises(InputError, match="paraphrase/dev.csv: other rows than in the dev predictions of apt; run"):
        tables.slice_tables({"apt": other}, 0.95)


def test_calibration_panel_draws_the_row_over_the_baseline(project: Path) -> None:
    dev = dev_predictions()
    alone = figures.calibration_panel("baseline", dev["baseline"], None, 0.95)
    both = figures.calibration_panel("apt", dev["apt"], dev["baseline"], 0.95)
    assert both.count("<path") > alone.count("<path") and ">recall<" in both and ">confidence<" in both
    area = read_json(Path("metrics/paraphrase/apt.json"))["average_precision"]
    assert f"average precision {area:.4f}" in both and "#0102" not in both
    curve = figures.precision_recall(dev["apt"])
    assert len(curve) <= 200 and curve["recall"].iloc[-1] == 1


def test_surest_mistakes_come_first(project: Path) -> None:
    found = answers.mistakes(dev_predictions()["baseline"], answers.dev_texts("paraphrase"))
    sureness = [mistake.confidence for mistake in found]
    assert len(found) == 5 and sureness == sorted(sureness, reverse=True)
    assert all(mistake.actual != mistake.predicted for mistake in found)


def test_tables_show_what_is_there() -> None:
    assert tables.figure(None) == "–" and tables.figure(-0.5, "+.2f") == "−0.50"
    assert tables.figure(0.00001, "p") == "< 0.0001"
    data = tables.data_table({"sst": {"train": {"rows": 8544, "label_0": 0.25, "dropped": 0}}, "seed": 3})
    assert data.rows == [["all", "–", "seed 3"], ["sst train", "8,544", "label 0 0.2500"]]
    assert "a\\|b &lt;i>" in tables.markdown(tables.Table("t", ["Row"], [["a|b <i>"]]))
    assert hidden_path("C:\\Users\\me\\data") == "data" and hidden_path("data/sample") == "data/sample"


def test_a_row_at_the_majority_class_is_marked() -> None:
    figures = {
        "value": 0.6,
        "low": [0.55, 0.61, 0.5],
        "high": 0.7,
        "reported": np.nan,
        "majority_accuracy": [0.6, 0.6, np.nan],
    }
    rows = pd.DataFrame({"name": ["at", "above", "unknown"], "group": "", **figures})
    shown = tables.main_table(results.Task("paraphrase", "Pairs", "Accuracy", "Reported", 4, rows), 0.95)
    assert [row[0] for row in shown.rows] == ["at (majority class)", "above", "unknown"]


def test_what_was_chosen_on_dev_is_told() -> None:
    params = deepcopy(parse(PARAMS))
    rows = params["paraphrase"]["methods"]
    for name in rows:
        rows[name]["select_on"] = "dev" if name in ("apt", "baseline") else "select"
    told = " ".join(comparability(params).split())
    assert told.endswith("except baseline, apt: chosen on dev, as reported.") and "small model of its own" in told
    for row in rows.values():
        row["select_on"] = "select"
    params["backbone"]["source"] = "hub"
    told = " ".join(comparability(params).split())
    assert told.endswith("Ours were chosen on a part of train, and dev was scored once.") and "small" not in told
    params["paraphrase"]["methods"] = {"one": {"select_on": "dev"}}
    assert comparability(params).strip().endswith("So are ours: every paraphrase model was chosen on dev.")


def test_ranking_keeps_datasets_together() -> None:
    rows = pd.DataFrame({"name": ["a", "b", "c"], "group": ["x", "y", "x"], "value": [0.1, 0.9, 0.5]})
    assert list(results.ranked(rows)["name"]) == ["c", "a", "b"]


def test_rows_without_metrics_are_named(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(project, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    write_json(Path("metrics/paraphrase/baseline.json"), {"rows": 3})
    with pytest.raises(InputError, match="baseline.json: accuracy is missing"):
        load_results(parse(PARAMS))
    write_text(Path("plots/curves/paraphrase/baseline/train_loss.tsv"), "step\ttrain_loss\n1\n")
    with pytest.raises(InputError, match="train_loss.tsv"):
        results.curves_of("paraphrase", "baseline")


def test_no_deep_learning_library_is_loaded() -> None:
    names = "ensemble evaluate_sentiment evaluate_paraphrase evaluate_sonnets evaluate_floors report".split()
    heavy = "{'torch', 'transformers', 'sklearn', 'vl_convert', 'scipy', 'sacrebleu', 'jinja2'}"
    code = f"import sys, {', '.join(f'pipeline.stages.{name}' for name in names)}; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
