"""Stages start fast: none imports a library that it can do without. Seconds are in benchmarks/dag.py."""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.errors import InputError
from pipeline.stages.__main__ import MODELS, main

ROOT = Path(__file__).parents[1]
STAGES = {path.stem for path in (ROOT / "pipeline/stages").glob("[!_]*.py")}
PLAIN = STAGES - MODELS
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
    [(PLAIN, {*NEVER, "torch", "transformers", "scipy"}), (MODELS, NEVER), (STAGES - TABLES, {"pandas"})],
    ids=["without models", "with models", "without tables"],
)
def test_a_stage_imports_no_library_in_vain(stages: set[str], unwanted: set[str]) -> None:
    modules = ", ".join(f"pipeline.stages.{stage}" for stage in sorted(stages))
    code = f"import sys, {modules}; print([name for name in {sorted(unwanted)} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("[]\n", 0), found.stderr


def test_the_stages_with_a_model_are_those_that_dvc_yaml_gives_the_settings_of_computing() -> None:
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    compute = {name for name, stage in stages.items() if "compute" in stage.get("do", stage).get("params", [])}
    assert compute - {"translate", "generate_sonnet_ensemble"} == MODELS  # torch for one translator; generate_sonnets


@pytest.mark.parametrize("words", [[], ["no_such_stage"], ["__main__"], ["../stages/download"]], ids=str)
def test_only_stages_run(words: list[str]) -> None:
    found = subprocess.run([sys.executable, "-m", "pipeline.stages", *words], cwd=ROOT, capture_output=True, text=True)
    assert (found.stdout, found.returncode, found.stderr.count("\n")) == ("", 1, 1)
    assert found.stderr.startswith("error: usage: python -m pipeline.stages <stage> ...; stages: adversarial, ")


@pytest.mark.parametrize("words", ["download surprise", "training_set", "translate es"])
def test_wrong_arguments_are_refused(words: str) -> None:
    with pytest.raises(InputError, match=f"usage: python -m pipeline.stages {words.split()[0]}"):
        main(words.split())
