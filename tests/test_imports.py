"""Stages start fast: none imports a library that it can do without. Seconds are in benchmarks/dag.py."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLAIN = {
    "adversarial", "back_translate", "code", "download", "ensemble", "evaluate_floors", "evaluate_paraphrase",
    "evaluate_sentiment", "evaluate_sonnets", "plots_page", "prepare", "report", "training_set", "translate",
}  # fmt: skip
STAGES = {path.stem for path in (ROOT / "pipeline/stages").glob("*.py")} - {"__init__", "__main__"}
TABLES = {"evaluate_paraphrase", "evaluate_sentiment", "report"}  # they compute with data frames
NEVER = {
    "sklearn",
    "vl_convert",
    "sacrebleu",
    "datasets",
    "sentence_transformers",
    "optuna",
    "dvc",
    "dvclive",
}


@pytest.mark.parametrize(
    "stages, unwanted",
    [(PLAIN, {*NEVER, "torch", "transformers", "scipy"}), (STAGES - PLAIN, NEVER), (STAGES - TABLES, {"pandas"})],
    ids=["without models", "with models", "without tables"],
)
def test_a_stage_imports_no_library_in_vain(stages: set[str], unwanted: set[str]) -> None:
    modules = ", ".join(f"pipeline.stages.{stage}" for stage in sorted(stages))
    code = f"import sys, {modules}; print([name for name in {sorted(unwanted)} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("[]\n", 0), found.stderr


COMMAND = """
import gc, importlib
from pipeline.errors import stage_main
from pipeline.stages import __main__ as stages

def begin(arguments):
    print(while_importing, gc.isenabled(), gc.get_freeze_count() > 1000)

def import_module(name):
    global while_importing
    while_importing = gc.isenabled()
    module = importlib.import_module(name)
    module.main = begin
    return module

stages.import_module = import_module
stage_main(lambda _: stages.main(["download"]))
"""


LATE = """
import gc
from pipeline.imports import importing
try:
    with importing():
        while_importing = gc.isenabled()
        import pydantic, no_such_library
except ImportError:
    print(while_importing, gc.isenabled(), gc.get_freeze_count() > 1000)
"""


@pytest.mark.parametrize("program", [COMMAND, LATE], ids=["a stage", "another command"])
def test_a_command_looks_for_garbage_from_its_start_on_and_not_in_what_it_imported(program: str) -> None:
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("False True True\n", 0), found.stderr


@pytest.mark.parametrize("words", [[], ["no_such_stage"], ["__main__"], ["../stages/download"]], ids=str)
def test_only_stages_run(words: list[str]) -> None:
    found = subprocess.run([sys.executable, "-m", "pipeline.stages", *words], cwd=ROOT, capture_output=True, text=True)
    assert (found.stdout, found.returncode, found.stderr.count("\n")) == ("", 1, 1)
    assert found.stderr.startswith("error: usage: python -m pipeline.stages <stage> ...; stages: adversarial, ")
