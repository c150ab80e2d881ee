"""Probabilities of question pairs, pairs a second: the course loop and this project's `predict`.

    OMP_NUM_THREADS=1 python -m benchmarks.evaluation [--size small|124M] [--rounds 3]

Reads data/prepared/paraphrase/dev.csv and the tokenizer of models/backbone. This project sorts all pairs by length
before it makes batches, the course loop takes them as they come. To take less time than all of dev, both are timed on a
few of their batches, at equal distances in the order of length.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tokenizers import Tokenizer
from transformers.models.gpt2.configuration_gpt2 import GPT2Config

from benchmarks import course_loop
from benchmarks.measure import Measured, interleaved, seconds, spread, write
from benchmarks.sizes import SIZES, WORDS, config
from pipeline.models.classifier import classifier_of
from pipeline.text.batches import batches_by_length
from pipeline.text.prepared import PREPARED, Pair, read_pairs
from pipeline.text.prompts import encode_pairs, load_tokenizer
from pipeline.training.predict import predict

BATCH = 32
COUNTS = {"small": (6, 16), "124M": (1, 2)}  # batches of this project, of up to 8,192 tokens; of the course loop


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evaluation")
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    size, (batches, course_batches) = options.size, COUNTS[options.size]
    tokenizer = load_tokenizer(Path("models/backbone"))
    pairs = read_pairs(PREPARED / "paraphrase" / "dev.csv")
    prompts = encode_pairs(tokenizer, pairs, course_loop.LENGTH)
    some = [pairs[place] for place in few(prompts, batches)]
    plain = [range(start, start + BATCH) for start in range(0, len(pairs) - BATCH, BATCH)]
    plain.sort(key=lambda batch: max(len(prompts[place]) for place in batch))
    theirs = [pairs[place] for batch in spread(plain, course_batches) for place in batch]
    found = interleaved(
        {
            "course loop": partial(course, size, tokenizer, theirs),
            "this project, fp32": partial(ours, size, tokenizer, some, "fp32"),
            "this project, bf16": partial(ours, size, tokenizer, some, "bf16"),
        },
        options.rounds,
        "pairs/s",
    )
    write(
        f"evaluation_{size}",
        f"Evaluation, {size}",
        f"Probabilities of real question pairs by {WORDS[size]}, tokenisation included. The course loop takes "
        f"{course_batches} of the batches of {BATCH} pairs of dev, padded to their longest; this project {batches} of "
        f"the batches that it makes of dev, with {len(some)} pairs, both at equal distances in the order of length.",
        options.rounds,
        table(found),
    )


def table(found: dict[str, Measured]) -> list[dict[str, object]]:
    """The rates, and how many times that of the course loop."""
    return [
        {
            "name": name,
            "pairs_per_second": round(row.median, 2),
            "of_course_loop": round(row.median / found["course loop"].median, 2),
            "peak_mib": row.peak_mib,
            "values": [round(value, 2) for value in row.values],
        }
        for name, row in found.items()
    ]


def few(prompts: Sequence[list[int]], count: int) -> list[int]:
    """The places of the prompts of `count` whole batches: alone, `predict` makes the same batches of them again."""
    return [place for batch in spread(batches_by_length(prompts), count) for place in batch]


def course(size: str, tokenizer: Tokenizer, pairs: Sequence[Pair], _: int) -> float:
    """Pairs a second of the course loop."""
    model = course_loop.CourseModel(config(size))
    course_loop.predict(model, tokenizer, pairs[:4], BATCH)  # warm
    start = seconds()
    course_loop.predict(model, tokenizer, pairs, BATCH)
    return len(pairs) / (seconds() - start)


def ours(size: str, tokenizer: Tokenizer, pairs: Sequence[Pair], precision: str, _: int) -> float:
    """Pairs a second of this project."""
    model = classifier_of(GPT2Config)(config(size))
    predict(model, encode_pairs(tokenizer, pairs[:4], course_loop.LENGTH), precision)  # warm
    start = seconds()
    predict(model, encode_pairs(tokenizer, pairs, course_loop.LENGTH), precision)
    return len(pairs) / (seconds() - start)


if __name__ == "__main__":
    main()
