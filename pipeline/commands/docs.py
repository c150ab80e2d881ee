"""Put measured figures into the pages that show them, or check that they are there.

    python -m pipeline docs [--check]

A page marks each generated block with `<!-- name:begin -->` and `<!-- name:end -->`.
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.files import read_json, write_text

SAMPLE, SPEED, REAL = Path("metrics"), Path("benchmarks/results"), Path("profiles/results")
HEADLINES = {
    "sentiment/sst_full": "SST-5, accuracy",
    "sentiment/cfimdb_full": "CFIMDB, accuracy",
    "paraphrase/baseline": "Paraphrases, accuracy: cross-entropy alone",
    "paraphrase/cloze_head": "... the head begins as the words yes and no",
    "paraphrase/lora_r16": "... on LoRA instead of all weights",
    "paraphrase/simcse_supervised": "... after a contrastive first stage",
    "paraphrase/exact_match": "... shared tokens marked",
    "paraphrase/exact_match_symmetric": "... and both orders of a pair",
    "paraphrase/ensemble_weighted": "... the fitted mean of rows",
    "sonnets/top_p_untuned": "Sonnets, chrF: the model as it came, sampled",
    "sonnets/top_p_tuned": "... fine-tuned, sampled",
    "sonnets/line_mbr": "... minimum Bayes risk, line by line",
    "sonnets/verse": "... rhyme and metre first",
}
LEADERBOARDS = ("Sentiment", "Paraphrase detection", "Sonnets", "Floors that need no model")
ORDER = (
    "training_small", "training_124M", "evaluation_small", "evaluation_124M", "generation", "systems", "mbr", "prepare",
    "dag", "dag_jobs", "full_size", "cuda_training", "cuda_evaluation", "cuda_generation", "recipes_rates",
    "recipes_quotas", "recipes_columns", "recipes_order",
)  # fmt: skip
COLUMNS = {
    "name": "", "pairs_per_second": "pairs/s", "tokens_per_second": "tokens/s", "seconds": "s", "share": "% of the run",
    "of_one_job": "x JOBS=1", "times_as_fast": "x sacrebleu", "of_course_loop": "x course loop",
    "of_trainer": "x Trainer", "of_bare_step": "x bare step", "of_generate": "x `generate`", "mfu": "% MFU",
    "estimated": "estimated s", "peak_mib": "peak MiB", "disk_mib": "MiB on disk",
    "select_accuracy": "accuracy", "sd": "± sd", "seeds": "seeds",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page is out of date")


def run(options: argparse.Namespace) -> None:
    """Write the blocks of every page; with --check, exit with 1 at the first page that differs."""
    tables = {name: measured_table(read_json(path)) for name in ORDER if (path := SPEED / f"{name}.json").exists()}
    recipes = [table for name, table in tables.items() if name.startswith("recipes")]
    poem = (REAL / "smollm2/poem.txt").read_text(encoding="utf-8")
    pages = {
        "README.md": {"headline": headline(REAL / "smollm2"), "poem": f"```\n{poem.strip()}\n```"},
        "docs/results.md": {
            "results": results(SAMPLE, LEADERBOARDS),
            **{profile: results(REAL / profile) for profile in ("smollm2", "laptop")},
        },
        "docs/performance.md": {"speed": "\n\n".join(table for table in tables.values() if table not in recipes)},
        "docs/methods.md": {"recipes": "\n\n".join(recipes)},
    }
    for page, blocks in pages.items():
        old = new = Path(page).read_text(encoding="utf-8")
        for name, block in blocks.items():
            begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
            if new.count(begin) != 1 or new.count(end) != 1 or new.index(end) < new.index(begin):
                raise InputError(f"{page}: expected {begin} and, below it, {end}, once each")
            before, rest = new.split(begin)
            new = f"{before}{begin}\n\n{block.strip()}\n\n{end}{rest.split(end)[1]}"
        if options.check and new != old:
            raise InputError(f"{page}: differs from the measured figures; run `make docs`")
        write_text(Path(page), new)


def headline(folder: Path) -> str:
    """The rows of HEADLINES that a run has, with the figures that others reported for GPT-2 124M."""
    table = [["", "Row", "Here", "95 % interval", "Reported"], ["---", "---", *["---:"] * 3]]
    for row, what in HEADLINES.items():
        if not (path := folder / f"{row}.json").exists():
            continue
        run = read_json(path)
        metric, digits = ("chrf", ".1f") if row.startswith("sonnets/") else ("accuracy", ".3f")
        low, high = run.get(f"{metric}_low"), run.get(f"{metric}_high")
        interval = "–" if low is None else f"{low:{digits}} to {high:{digits}}"
        reported = run.get(f"reported_{metric}", run.get(f"handout_{metric}"))
        figures = [f"{run.get(metric, run.get('chrf_mean')):{digits}}", interval]
        table.append([what, f"`{row.split('/')[1]}`", *figures, "–" if reported is None else f"{reported:{digits}}"])
    return markdown(table)


def markdown(table: Iterable[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)


def results(folder: Path, kept: tuple[str, ...] = ()) -> str:
    """A folder's summary.md, or its introduction and the sections `kept`, without title, one level lower."""
    text = (folder / "summary.md").read_text(encoding="utf-8").split("\n", 1)[1]
    first, *sections = text.split("\n## Data\n")[0].split("\n## ")  # the counts of the data stand in data.json
    return "\n### ".join([first, *(each for each in sections if not kept or each.split("\n")[0] in kept)])


def measured_table(result: Mapping[str, Any]) -> str:
    """One result: what was measured, on what, and its rows; columns that no row has, and lists, are left out."""
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in result["rows"])]
    rounds = f"Medians of {result['rounds']} interleaved rounds" if result["rounds"] > 1 else "One round"
    lines = [[COLUMNS[key] for key in keys], ["---" if key == "name" else "---:" for key in keys]]
    for row in result["rows"]:
        values = ("–" if row.get(key) is None else row[key] for key in keys)
        lines.append([each if isinstance(each, str) else f"{each:,}" for each in values])
    return f"### {result['title']}\n\n{result['what']} {rounds}; {result['machine']}.\n\n{markdown(lines)}"
