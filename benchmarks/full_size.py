"""Stages of the profile gpt2 at full size: time against `estimate`, memory, disk, and going on after kill -9.

    python -m benchmarks.full_size

The sample's data, a GPT-2 124M of random weights, and the profile's own parameters, in which only the numbers of rows,
epochs and draws are cut. The paraphrase row is trained twice, the second time with a kill -9 after a checkpoint.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from transformers import GPT2LMHeadModel

from benchmarks.measure import write
from benchmarks.sizes import config, gpt2_tokenizer
from pipeline.files import write_csv

ROOT = Path(__file__).parents[1]
STAGES = ("train_paraphrase", "baseline"), ("train_sonnet", "full_b8_lr1e5"), ("generate_sonnets", "top_p_tuned")
Stage = tuple[str, str]


def main() -> None:
    yaml = YAML(typ="safe")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        shutil.copy(ROOT / "dvc.yaml", ".")
        with open("params.yaml", "w") as file:
            yaml.dump(small(yaml.load(ROOT / "profiles/gpt2.yaml")), file)
        for stage in ("download", "prepare"):
            finish(start(stage))
        save_backbone(Path("models/backbone"))
        rows = [measured(stage) for stage in STAGES]
        model = Path("models/paraphrase/baseline/model.safetensors")
        weights = model.read_bytes()
        model.unlink()
        killed = start(*STAGES[0])
        while not list(Path("checkpoints").rglob("checkpoint-*/trainer_state.json")):
            time.sleep(0.1)
        killed.kill()
        killed.wait()
        rows.append(measured(STAGES[0]) | {"name": "after kill -9: same weights" if model.exists() else ""})
        assert model.read_bytes() == weights
        times = [["@".join(stage), "done", row["seconds"]] for stage, row in zip(STAGES, rows, strict=False)]
        write_csv(Path("times.tsv"), ("stage", "result", "seconds"), times, delimiter="\t")
        command = [sys.executable, "-m", "pipeline", "estimate", "--rows", "--check", "times.tsv"]
        print(told := subprocess.run(command, env=environment(), capture_output=True, text=True).stdout)
    estimated = {line.split()[0]: float(line.split()[1]) for line in told.splitlines() if "@" in line}
    for row in rows[: len(STAGES)]:
        row["estimated"] = round(estimated[str(row["name"])], 1)
    os.chdir(ROOT)
    what = "Whole stages on few rows; MiB on disk are those of checkpoints while they run."
    write("full_size", "Stages of the profile gpt2 at full size", what, 1, rows)


def small(params: dict[str, Any]) -> dict[str, Any]:
    """The profile on few rows."""
    params["data"]["path"] = str(ROOT / "data/sample")
    params["compute"] = {"precision": "fp32", "threads": 1, "processes": 1}
    params["text"]["train_rows"] = {"sst": 60, "cfimdb": 60, "paraphrase": 290}
    params["paraphrase"]["methods"]["baseline"] |= {"epochs": 1, "seeds": [], "checkpoint_steps": 3}
    params["paraphrase"]["ensembles"] = {}
    params["sonnet"]["methods"]["full_b8_lr1e5"] |= {"epochs": 1, "evaluations_per_epoch": 1, "select_draws": 1}
    params["sonnet"]["systems"]["top_p_tuned"] |= {"draws": 1, "max_new_tokens": 128}  # random weights never end a poem
    return params


def save_backbone(folder: Path) -> None:
    """Random weights, and the real tokenizer."""
    torch.manual_seed(0)
    GPT2LMHeadModel(config("124M")).save_pretrained(folder)
    gpt2_tokenizer().save_pretrained(folder)


def measured(stage: Stage) -> dict[str, Any]:
    """Seconds of CPU time, peak memory, and the most that checkpoints took on the disk."""
    begin, process, most, peak = used(), start(*stage), 0, 0
    while process.poll() is None:
        time.sleep(0.2)
        with contextlib.suppress(OSError, IndexError):  # a file, or the process, that has just gone
            most = max(most, sum(path.stat().st_size for path in Path("checkpoints").rglob("*") if path.is_file()))
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            peak = max(peak, int(status.partition("VmHWM:")[2].split()[0]))
    finish(process)
    seconds, sizes = round(used() - begin, 1), {"peak_mib": peak // 1024, "disk_mib": most // 2**20}
    return {"name": "@".join(stage), "seconds": seconds, "values": [seconds]} | sizes


def used() -> float:
    """CPU time of all processes that were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def start(*stage: str) -> subprocess.Popen[bytes]:
    """Start a stage in this folder."""
    return subprocess.Popen([sys.executable, "-m", "pipeline.stages", *stage], env=environment())


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end."""
    if process.wait():
        sys.exit("a stage failed; see above")


if __name__ == "__main__":
    main()
