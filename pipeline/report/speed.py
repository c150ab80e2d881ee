"""The README's tables of speed, from the results that `python -m benchmarks.<name>` wrote (benchmarks/results)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.files import read_json

RESULTS = Path("benchmarks/results")
ORDER = (
    "training_small", "training_124M", "evaluation_small", "evaluation_124M", "generation", "systems", "mbr", "prepare",
    "dag", "dag_jobs", "cuda_training", "cuda_evaluation", "cuda_generation",
)  # fmt: skip
LABELS = {
    "name": "",
    "pairs_per_second": "pairs/s",
    "tokens_per_second": "tokens/s",
    "seconds": "s",
    "share": "% of the run",
    "of_one_job": "x JOBS=1",
    "times_as_fast": "x sacrebleu",
    "of_course_loop": "x course loop",
    "of_trainer": "x Trainer",
    "of_bare_step": "x bare step",
    "of_generate": "x `generate`",
    "mfu": "% MFU",
    "peak_mib": "peak MiB",
}


def summary(results: Path) -> str:
    """Every result that is there under a heading: what was measured, on what, and its rows."""
    found = [read_json(results / f"{name}.json") for name in ORDER if (results / f"{name}.json").exists()]
    return "# Speed\n\n" + "\n".join(section(result) for result in found)


def section(result: Mapping[str, Any]) -> str:
    """One result as Markdown; columns that no row has, and lists, are left out."""
    rows = result["rows"]
    keys = [key for key in LABELS if any(row.get(key) is not None for row in rows)]
    rounds = f"Medians of {result['rounds']} interleaved rounds" if result["rounds"] > 1 else "One round"
    lines = [
        f"## {result['title']}",
        "",
        f"{result['what']} {rounds}; {result['machine']}.",
        "",
        "| " + " | ".join(LABELS[key] for key in keys) + " |",
        "| " + " | ".join("---" if key == "name" else "---:" for key in keys) + " |",
        *("| " + " | ".join(_cell(row.get(key)) for key in keys) + " |" for row in rows),
        "",
    ]
    return "\n".join(lines)


def _cell(value: str | float | None) -> str:
    if isinstance(value, str):
        return value
    return "–" if value is None else f"{value:,}"
