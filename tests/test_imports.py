"""Stages start fast: none imports a library that it can do without. Seconds are in benchmarks/dag.py."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLAIN = {
    "back_translate", "download", "ensemble", "evaluate_floors", "evaluate_paraphrase", "evaluate_sentiment",
    "evaluate_sonnets", "prepare", "report", "training_set",
}  # fmt: skip
STAGES = {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__"}
NEVER = {
    "pandas",
    "sklearn",
    "matplotlib",
    "sacrebleu",
    "datasets",
    "sentence_transformers",
    "optuna",
    "dvc",
    "dvclive",
}


@pytest.mark.parametrize(
    "stages, unwanted",
    [(PLAIN, {*NEVER, "torch", "transformers", "scipy"}), (STAGES - PLAIN, NEVER)],
    ids=["without models", "with models"],
)
def test_a_stage_imports_no_library_in_vain(stages: set[str], unwanted: set[str]) -> None:
    modules = ", ".join(f"pipeline.stages.{stage}" for stage in sorted(stages))
    code = f"import sys, {modules}; print([name for name in {sorted(unwanted)} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("[]\n", 0), found.stderr
