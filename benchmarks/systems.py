"""Sonnet systems, seconds for the dev prompts: every draw and candidate, with the models of the last run.

    python -m benchmarks.systems [SYSTEM ...] [--out benchmarks/results/systems.json]

Reads params.yaml, models/ and data/prepared/sonnets (run the pipeline first); writes nothing else. One round: a system
takes seconds to minutes, and what is shown is a limit, not a ratio.
"""

import argparse
import time
from pathlib import Path

import torch

from benchmarks.training import processor
from pipeline.config.base import load_block, load_seed, read_params
from pipeline.config.sonnet import ContrastiveDecoding, load_system
from pipeline.config.training import Compute
from pipeline.determinism import make_deterministic
from pipeline.files import write_json
from pipeline.generate import generate
from pipeline.models.adapters import load_language_model
from pipeline.report.results import rows_of
from pipeline.text.generated import lines_of
from pipeline.text.prepared import PREPARED, read_poems
from pipeline.text.tokenizer import load_tokenizer

BACKBONE, DATA = Path("models/backbone"), PREPARED / "sonnets"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems")
    parser.add_argument("systems", nargs="*", help="default: all of params.yaml")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/systems.json"))
    options = parser.parse_args()
    make_deterministic(load_seed(), load_block("compute", Compute).threads)
    prompts = read_poems(DATA / "dev.jsonl")
    table: dict[str, object] = {
        "machine": f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "prompts": len(prompts),
    }
    for name in options.systems or rows_of(read_params(), "sonnet", "systems"):
        table[f"{name}: seconds"] = round(seconds(name), 1)
        print(f"{name:28} {table[f'{name}: seconds']:8} s", flush=True)
    write_json(options.out, table)


def seconds(name: str) -> float:
    """Time of one system for all dev prompts, loading its models included."""
    start = time.perf_counter()
    system = load_system(name)
    path = Path("models") / system.model
    model, tokenizer = load_language_model(path, BACKBONE), load_tokenizer(path)
    amateur = load_language_model(BACKBONE, BACKBONE) if isinstance(system, ContrastiveDecoding) else None
    seen = [poem for split in ("train", "select") for poem in read_poems(DATA / f"{split}.jsonl")]
    lines = list(dict.fromkeys(line for poem in seen for line in lines_of(poem.text or "")))
    generate(model, tokenizer, read_poems(DATA / "dev.jsonl"), system, load_seed(), lines, amateur)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
