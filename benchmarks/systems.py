"""Sonnet systems, seconds for the dev prompts: every draw and candidate, with the models of the last run.

    OMP_NUM_THREADS=2 python -m benchmarks.systems [SYSTEM ...]

Reads params.yaml, models/ and data/prepared/sonnets (run the pipeline first). One round: a system takes seconds to
minutes, and what is shown is a limit, not a ratio.
"""

import argparse
from functools import partial
from pathlib import Path

from benchmarks.measure import THREADS, Work, interleaved, seconds, write
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.decoding.writer import Writer, training_lines
from pipeline.models.adapters import load_language_model
from pipeline.text.prepared import PREPARED, read_poems
from pipeline.text.prompts import load_tokenizer

BACKBONE, DATA = Path("models/backbone"), PREPARED / "sonnets"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.systems")
    parser.add_argument("systems", nargs="*", help="default: all of params.yaml")
    systems = parser.parse_args().systems or list(load_params().sonnet.systems)
    works: dict[str, Work] = {name: partial(written, name) for name in systems}
    found = interleaved(works, 1, "s")
    prompts = len(read_poems(DATA / "dev.jsonl"))
    write(
        "systems",
        "Sonnet systems",
        f"All poems and candidates of a system for the {prompts} prompts of dev, loading its models included, with the "
        f"models of profile {load_params().profile}.",
        1,
        [
            {"name": name, "seconds": round(row.median, 1), "peak_mib": row.peak_mib, "values": row.values}
            for name, row in found.items()
        ],
    )


def written(name: str, _: int) -> float:
    """Seconds of one system."""
    params = load_params()
    make_deterministic(params.seed, params.compute.model_copy(update={"threads": THREADS}))
    start = seconds()
    system = params.sonnet.system(name)
    path = Path("models") / system.model
    model, backbone = load_language_model(path, BACKBONE), partial(load_language_model, BACKBONE, BACKBONE)
    writer = Writer(model, load_tokenizer(path), params.seed, partial(training_lines, DATA), backbone)
    system.module.write(writer, read_poems(DATA / "dev.jsonl"), system)
    return seconds() - start


if __name__ == "__main__":
    main()
