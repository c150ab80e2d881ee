"""What a long run leaves in git is enough for its tables, and holds nothing of its data."""

import os
import shutil
from pathlib import Path

import pytest
from report_project import HOSTILE

from benchmarks import kept_runs
from pipeline.config.base import PARAMS, parse
from pipeline.errors import InputError
from pipeline.evaluation.generation import read_generated
from pipeline.files import read_json
from pipeline.report.results import load_results
from pipeline.text.prepared import PREPARED, read_pairs, read_sentences, write_pairs, write_sentences


def write_splits() -> None:
    """The made-up project has dev alone."""
    pairs = read_pairs(PREPARED / "paraphrase/dev.csv")
    for path in ("paraphrase/select", "ap_h/dev"):
        write_pairs(PREPARED / f"{path}.csv", pairs)
    write_pairs(PREPARED / "paraphrase/test.csv", [pair._replace(label=None) for pair in pairs])
    for corpus in ("sst", "cfimdb"):
        texts = read_sentences(PREPARED / corpus / "dev.csv")
        write_sentences(PREPARED / corpus / "select.csv", texts)
        write_sentences(PREPARED / corpus / "test.csv", [text._replace(label=None) for text in texts])


def test_the_tables_of_a_run_are_made_again(project: Path, tmp_path: Path) -> None:
    write_splits()
    kept_runs.keep(project, tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    given = read_pairs(PREPARED / "paraphrase/dev.csv")[0]
    for path in files:  # a system's own poems may hold anything, but not what it was given
        content = path.read_bytes()
        assert path.parent.name == "sonnets" or HOSTILE.encode() not in content, path
        assert path.suffix == ".csv" or given.id.encode() + b"," not in content, path
    tables = [path for path in Path("predictions/paraphrase").glob("*/*.csv") if path.stem != "submission"]
    before, verse = {path: path.read_bytes() for path in tables}, Path("predictions/sonnets/verse/dev.jsonl")
    metrics, poems = read_json(Path("metrics/paraphrase/ensemble_weighted.json")), read_generated(verse)
    told, params = Path("metrics/summary.md").read_text(), kept_runs.with_answers(parse(PARAMS), tmp_path)
    shutil.move("predictions", tmp_path / "predictions-of-the-run")
    try:
        kept_runs.assemble(tmp_path, params)
        assert {path: path.read_bytes() for path in before} == before
        assert read_json(tmp_path / "paraphrase/ensemble_weighted.json") == metrics
        assert read_generated(verse) == poems
        again = kept_runs.summary(load_results(params))
    finally:
        shutil.rmtree("predictions", ignore_errors=True)
        shutil.move(tmp_path / "predictions-of-the-run", "predictions")
    tests = told[told.index("## Paired tests") : told.index("## Paraphrase detection: rows")]
    assert tests.split("| ensemble")[0] in again


def test_metrics_of_another_run_are_not_taken_over(project: Path, tmp_path: Path) -> None:
    metrics = Path("metrics/paraphrase/baseline.json")
    before = metrics.stat()
    os.utime(metrics, (0, 0))  # as those of the sample in a clone, in which the row was trained and not evaluated
    try:
        with pytest.raises(InputError, match=r"baseline.json: older than .*evaluate the row first"):
            kept_runs.keep(project, tmp_path)
    finally:
        os.utime(metrics, ns=(before.st_atime_ns, before.st_mtime_ns))
