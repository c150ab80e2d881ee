"""Preparing as many question pairs as the course's training file has: seconds and memory.

    OMP_NUM_THREADS=1 python -m benchmarks.prepare [--rounds 3] [--rows 283000]

The pairs are those of the sample's generator, again and again with a number at their ends, in the course's three files.
Timed is what the stage `prepare` does with them: read, normalise, drop what cannot be used, split, write.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.measure import in_child, interleaved, seconds, write
from data.generator import questions, tables
from pipeline.config.data import HeldOut, SelectShare, Text, TrainRows
from pipeline.text import corpora
from pipeline.text.prepared import write_pairs

TEXT = Text(
    style="cased",
    select=SelectShare(sst=0.15, cfimdb=0.15, paraphrase=0.15, sonnets=0.15),
    held_out=HeldOut(ap_h=0.333),
    train_rows=TrainRows(sst=None, cfimdb=None, paraphrase=None),
)
GENERATED = {"train": 3000, "dev": 500, "test-student": 500}  # pairs; dev and test are not repeated


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prepare")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=283_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch)
        in_child(partial(invent, raw, options.rows), 0)
        name = f"{options.rows:,} pairs"
        row = interleaved({name: partial(prepare, raw)}, options.rounds, "s")[name]
    values = [round(value, 2) for value in row.values]
    write(
        "prepare",
        "Preparing",
        "Training pairs read, normalised, checked against dev and test, split by question and written.",
        options.rounds,
        [{"name": name, "seconds": round(row.median, 1), "peak_mib": row.peak_mib, "values": values}],
    )


def invent(raw: Path, rows: int, _: int = 0) -> float:
    """Write the three files with `rows` training pairs; gives their number."""
    made = questions.make_pairs(GENERATED, seed=1)
    train = [
        questions.Pair(f"{pair.first} ({turn})", f"{pair.second} ({turn})", pair.label, pair.kind)
        for turn in range(-(-rows // len(made["train"])))
        for pair in made["train"]
    ]
    for split, pairs in (made | {"train": train[:rows]}).items():
        tables.write_pairs(raw / f"quora-{split}.csv", pairs, split != "test-student")
    return float(rows)


def prepare(raw: Path, _: int = 0) -> float:
    """Seconds to prepare the files; the result is thrown away."""
    start = seconds()
    corpus = corpora.paraphrase(raw, TEXT, seed=11711)
    with tempfile.TemporaryDirectory() as folder:
        for split, pairs in corpus.rows.items():
            write_pairs(Path(folder) / f"{split}.csv", pairs)
    taken = seconds() - start
    assert corpus.figures["train"]["rows"] > 0.8 * corpus.figures["train"]["raw_rows"]  # nearly all were prepared
    return taken


if __name__ == "__main__":
    main()
