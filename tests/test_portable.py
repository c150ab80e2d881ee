"""Precision `portable`: equal bits on other code paths of the libraries, which are what another type of CPU takes."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from ruamel.yaml import YAML
from small_project import REPOSITORY, contents, write_project
from tiny import TEXT, tiny_tokenizer, tiny_training, write_backbone
from torch import Tensor, nn

from pipeline.compute.reproducible import NOTHING, make_deterministic, on_grid, rounded
from pipeline.config.training import Compute
from pipeline.models.classifier import Classifier, build_classifier
from pipeline.objectives import cross_entropy
from pipeline.training.loop import Rows, train

# One process for all stages: the imports take longer than each of them.
RUN = """
import importlib, sys
for stage in sys.argv[1:]:
    name, *arguments = stage.split()
    importlib.import_module(f"pipeline.stages.{name}").main(*arguments)
"""
BASIS = ("download", "prepare", "backbone", "train_paraphrase baseline")
STAGES = (
    *BASIS,
    "translate es 0",  # the sentence encoder
    "back_translate es",
    "generator",
    "adversarial_search 0",
    "train_first_stage simcse",
    "train_paraphrase dora_r8",
    "train_paraphrase mtan",
    "train_sentiment sst_head",
    "train_sonnet full_b8_lr1e5",
    "train_sonnet prefix",
    "generate_sonnets top_p_prefix",
    "generate_sonnets beam_tuned",
    "generate_sonnets line_mbr",
)
SSE = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}
AVX2 = {"MKL_CBWR": "AVX2,STRICT", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}


def start(folder: Path, stages: tuple[str, ...], threads: int = 1, **settings: str) -> subprocess.Popen[str]:
    """The stages in a small project, without any cache of what was computed before."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": str(threads), **settings}
    command = [sys.executable, "-c", RUN, *stages]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, stdout=-1, stderr=subprocess.STDOUT)


def project(folder: Path, precision: str, threads: int = 1) -> Path:
    folder.mkdir()
    write_project(folder)
    params = YAML(typ="safe").load(folder / "params.yaml")
    params["compute"] |= {"precision": precision, "threads": threads}
    params["backbone"]["scratch"]["context"] = 160
    for group in ("sentiment", "paraphrase", "sonnet"):
        params[group]["defaults"]["max_length"] = 128
    rows = [row for group in ("sentiment", "paraphrase", "sonnet") for row in params[group]["methods"].values()]
    for row in (*rows, *params["paraphrase"]["first_stages"].values()):
        row |= {"epochs": 1, "seeds": []} if "seeds" in row else {"epochs": 1}
    del params["paraphrase"]["ensembles"]["ensemble_seeds"]
    YAML(typ="safe").dump(params, folder / "params.yaml")
    return folder


def outputs(process: subprocess.Popen[str], folder: Path) -> dict[str, bytes]:
    """All that the stages have written."""
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    found = {}
    for part in ("models", "predictions", "plots", "data/augmented", "metrics"):
        found |= {f"{part}/{name}": content for name, content in contents(folder / part).items()}
    return found


def differing(first: dict[str, bytes], second: dict[str, bytes]) -> list[str]:
    return sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def test_every_model_gives_the_same_bits_on_every_code_path(tmp_path: Path) -> None:
    """And with two threads."""
    runs: list[tuple[int, dict[str, str]]] = [(1, {}), (2, AVX2), (1, SSE)]
    found = []
    for number, (threads, settings) in enumerate(runs):
        folder = project(tmp_path / str(number), "portable", threads)
        found.append(outputs(start(folder, STAGES, threads, **settings), folder))
    for part in ("models/sonnet/prefix/adapter_model", "models/paraphrase/mtan", "predictions/sonnets/line_mbr/dev"):
        assert any(name.startswith(part) for name in found[0])
    assert [differing(found[0], other) for other in found[1:]] == [[], []]


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="this CPU has one code path")
def test_in_fp32_the_code_paths_do_give_other_bits(tmp_path: Path) -> None:
    """Else the test above would show nothing."""
    found = []
    for number, settings in enumerate(({}, SSE)):
        folder = project(tmp_path / str(number), "fp32")
        found.append(outputs(start(folder, BASIS, **settings), folder))
    names = differing(*found)
    assert "models/backbone/model.safetensors" in names and "models/paraphrase/baseline/model.safetensors" in names


@pytest.fixture
def float64() -> None:
    make_deterministic(1, Compute(precision="portable", threads=1, processes=1))


@pytest.mark.usefixtures("float64")
def test_a_rounding_error_ends_on_the_grid() -> None:
    weights = torch.randn(100_000)
    found = on_grid(weights)
    assert torch.equal(found, on_grid(weights * (1 + 1e-12)))
    assert torch.equal(found, on_grid(found)) and torch.equal(found, found.bfloat16().double())
    assert ((found - weights).abs() <= weights.abs() * 2.0**-8 + NOTHING).all()
    assert on_grid(torch.tensor([NOTHING / 3, -NOTHING / 3, -1e-17])).tolist() == [0, 0, 0]


def trained(backbone: Path, scratch: Path, noise: float) -> tuple[Classifier, bytes]:
    """A classifier after 60 steps whose gradients are wrong by a random share of `noise`, and what is kept of it."""
    generator = torch.Generator().manual_seed(1)
    make_deterministic(1, Compute(precision="portable", threads=1, processes=1))
    ids = [tiny_tokenizer().encode(text[:size]).ids for text in TEXT for size in (20, 30, 40, 50)]

    def objective(model: nn.Module, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        loss, parts = cross_entropy.loss(model, batch, cross_entropy.Options(label_smoothing=0.0))
        return loss * (1 + noise * torch.randn((), generator=generator)), parts

    model = build_classifier(backbone, 2, "last", 0.1, 0.1)
    settings = tiny_training(lr=2e-3, epochs=15, weight_decay=0.01, checkpoint_steps=1000)
    rows = Rows(ids, labels=[index % 2 for index in range(len(ids))])
    (kept,) = train(model, rows, objective, settings, scratch, 1, "portable", lambda _: {"select_accuracy": 1.0})
    return model, (kept / "model.safetensors").read_bytes()


def test_rounding_errors_in_every_step_leave_no_trace(tmp_path: Path) -> None:
    backbone = write_backbone(tmp_path / "backbone")
    model, kept = trained(backbone, tmp_path / "exact", 0)
    other, kept_other = trained(backbone, tmp_path / "noisy", 1e-15)
    assert kept == kept_other
    weights = zip(model.parameters(), other.parameters(), strict=True)
    differences = [(one - two).abs().max().item() for one, two in weights]
    assert 0 < max(differences) < 1e-9  # they were there


@pytest.mark.usefixtures("float64")
def test_training_goes_on_from_the_exact_weights() -> None:
    layer = nn.Linear(3, 3)
    exact = layer.weight.detach().clone()
    with rounded(layer):
        assert torch.equal(layer.weight, on_grid(exact)) and not torch.equal(layer.weight, exact)
    assert torch.equal(layer.weight, exact)
