"""Writes the embedded sample data: `python -m data.generator [--out data/sample]`. The same bytes every time."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from data.generator import banks, news, questions, reviews, tables

QUESTIONS = {"train": 2800, "dev": 500, "test-student": 120}
SST = {"train": 620, "dev": 200, "test-student": 80}
CFIMDB = {"train": 400, "dev": 120, "test-student": 30}
QUESTION_SEED, SST_SEED, CFIMDB_SEED, NEWS_SEED = 19, 7, 6, 1
TRAIN_POEMS, DEV_POEMS = 36, 6
PROMPT_LINES = 3


def write_sample(out: Path) -> None:
    """Write every file of the sample into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for split, pairs in questions.make_pairs(QUESTIONS, QUESTION_SEED).items():
        tables.write_pairs(out / f"quora-{split}.csv", pairs, split != "test-student")
    for name, splits in (
        ("sst", reviews.make_short(SST, SST_SEED)),
        ("cfimdb", reviews.make_long(CFIMDB, CFIMDB_SEED)),
    ):
        for split, rows in splits.items():
            tables.write_reviews(out / f"ids-{name}-{split}.csv", rows, split != "test-student")
    poems = banks.load_sonnets()
    dev_end = TRAIN_POEMS + DEV_POEMS
    dev, held_out = poems[TRAIN_POEMS:dev_end], poems[dev_end:]
    tables.write_sonnets(out / "sonnets.txt", poems[:TRAIN_POEMS], 1)
    tables.write_sonnets(out / "TRUE_sonnets_held_out_dev.txt", dev, TRAIN_POEMS + 1)
    tables.write_sonnets(out / "sonnets_held_out_dev.txt", [p[:PROMPT_LINES] for p in dev], TRAIN_POEMS + 1)
    tables.write_sonnets(out / "sonnets_held_out.txt", [p[:PROMPT_LINES] for p in held_out], dev_end + 1)
    tables.write_news(out / "ETPC.xml", news.make_news(NEWS_SEED))
    tables.write_rows(
        out / "ap-h-train.csv", ["sentence1", "sentence2", "label"], news.make_adversarial(), delimiter=","
    )
    shutil.copyfile(banks.BANK / "README.md", out / "README.md")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m data.generator", description="Write the embedded sample data.")
    parser.add_argument("--out", type=Path, default=Path("data/sample"), help="folder to write to")
    write_sample(parser.parse_args().out)


if __name__ == "__main__":
    main()
