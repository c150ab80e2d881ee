"""Sonnet systems, seconds for the dev prompts: every draw and candidate, with the models of the last run.

    OMP_NUM_THREADS=2 python -m benchmarks.systems [SYSTEM ...]

Reads params.yaml, models/ and data/prepared/sonnets (run the pipeline first). One round: a system takes seconds to
minutes, and what is shown is a limit, not a ratio.
"""

import argparse
from functools import partial

from benchmarks.measure import THREADS, Work, interleaved, seconds, write
from pipeline.compute.reproducible import make_deterministic
from pipeline.config.params import load_params
from pipeline.stages.generate_sonnets import new_writer
from pipeline.text.prepared import PREPARED, read_poems

DATA = PREPARED / "sonnets"


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
    writer = new_writer(params, system, params.seed)
    system.module.write(writer, read_poems(DATA / "dev.jsonl"), system)
    return seconds() - start


if __name__ == "__main__":
    main()
