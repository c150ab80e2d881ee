"""The SLURM examples: bash parses them, and what they call exists and takes the arguments they give."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from small_project import REPOSITORY

FOLDER = REPOSITORY / "examples/slurm"
SCRIPTS = sorted(FOLDER.glob("*.sbatch"))
ENVIRONMENT = {
    "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4", "SLURM_JOB_ID": "77",
}  # fmt: skip


def calls(script: str, folder: Path, *arguments: str) -> list[list[str]]:
    """The commands that a script runs, in a folder where each of them only writes itself down."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/activate").write_text('PATH="$PWD/programs:$PATH"\n')
    (folder / "programs").mkdir()
    for program in ("srun", "scontrol", "dvc", "torchrun"):
        lines = ["#!/bin/bash", 'printf "%q " "${0##*/}" "$@" >> called', "echo >> called"]
        if program == "scontrol":
            lines.append("echo node1; echo node2")
        (folder / "programs" / program).write_text("\n".join(lines))
        (folder / "programs" / program).chmod(0o755)
    environment = {**os.environ, **ENVIRONMENT}
    result = subprocess.run(
        ["bash", FOLDER / script, *arguments], cwd=folder, env=environment, text=True, capture_output=True
    )
    assert result.returncode == 0, result.stderr
    return [shlex.split(line) for line in (folder / "called").read_text().splitlines()]


def parses_as_dvc(words: list[str]) -> bool:
    from dvc.cli.parser import get_main_parser

    return bool(get_main_parser().parse_args(words[1:]).func)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_and_slurm_options(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)
    lines = script.read_text().splitlines()
    options = [place for place, line in enumerate(lines) if line.startswith("#SBATCH")]
    first_command = next(place for place, line in enumerate(lines) if line and not line.startswith("#"))
    assert lines[0] == "#!/bin/bash" and max(options) < first_command  # sbatch reads no further
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", lines[place]) for place in options)


def test_torchrun_starts_an_existing_stage_on_all_nodes(tmp_path: Path) -> None:
    from torch.distributed.run import get_args_parser

    scontrol, srun, commit = calls("torchrun.sbatch", tmp_path, "train_paraphrase", "baseline")
    assert scontrol == ["scontrol", "show", "hostnames", "node[1-2]"]
    assert srun[:3] == ["srun", "--kill-on-bad-exit=1", "torchrun"]
    options = get_args_parser().parse_args(srun[3:])
    assert (options.nnodes, options.nproc_per_node, options.rdzv_endpoint) == ("2", "4", "node1:29500")
    assert options.module and options.training_script == "pipeline.stages"
    assert options.training_script_args == ["train_paraphrase", "baseline"]
    assert commit == ["dvc", "commit", "--force", "train_paraphrase@baseline"] and parses_as_dvc(commit)


def test_torchrun_takes_a_stage_without_rows(tmp_path: Path) -> None:
    *_, srun, commit = calls("torchrun.sbatch", tmp_path, "backbone")
    assert srun[-3:] == ["-m", "pipeline.stages", "backbone"] and commit[-1] == "backbone"


def test_the_queue_is_run_to_its_end(tmp_path: Path) -> None:
    run, status = calls("dvc_queue.sbatch", tmp_path)
    assert run == ["dvc", "exp", "run", "--run-all", "--jobs", "1"] and parses_as_dvc(run)
    assert status == ["dvc", "queue", "status"] and parses_as_dvc(status)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_comments_name_what_exists(script: Path) -> None:
    text = script.read_text()
    stages = YAML(typ="safe").load(REPOSITORY / "dvc.yaml")["stages"]
    params = YAML(typ="safe").load(REPOSITORY / "params.yaml")
    shown = [shlex.split(line[1:]) for line in text.splitlines() if line.startswith("#     ")]
    assert shown
    for words in shown:
        if words[0] == "sbatch":
            assert (REPOSITORY / words[1]).is_file()
            stage, *row = words[2:] or ["backbone"]
            assert stage in stages and (REPOSITORY / f"pipeline/stages/{stage}.py").is_file()
            assert not row or row[0] in params["paraphrase"]["methods"]
        else:
            assert words[0] == "dvc" and parses_as_dvc(words)
    for key in re.findall(r"[a-z_]+(?:\.\w+)+(?==)", text):
        value = params
        for name in key.split("."):
            value = value[name]
