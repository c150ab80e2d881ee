"""The rows of all tables: what differs from the defaults, whether they are up to date, how large their models are.

python -m pipeline rows

Nothing is run: dvc.lock is compared with the files, as `dvc status` does, and what depends on a stale stage is stale.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.commands.status import make_plan, opened
from pipeline.commands.terminal import print_table
from pipeline.config.base import PARAMS, parse
from pipeline.report.results import rows_of

# Block and table of params.yaml, its defaults, stage, folder of models/.
TABLES = (
    ("sentiment", "methods", "defaults", "train_sentiment", "sentiment"),
    ("sentiment", "ensembles", None, "ensemble_sentiment", None),
    ("paraphrase", "first_stages", "defaults", "train_first_stage", "first_stage"),
    ("paraphrase", "methods", "defaults", "train_paraphrase", "paraphrase"),
    ("paraphrase", "ensembles", None, "ensemble_paraphrase", None),
    ("sonnet", "methods", "defaults", "train_sonnet", "sonnet"),
    ("sonnet", "systems", "system_defaults", "generate_sonnets", None),
    ("sonnet", "ensembles", "system_defaults", "generate_sonnet_ensemble", None),
)


def run(options: argparse.Namespace) -> None:
    """Print a table for each table of params.yaml."""
    params = parse(PARAMS)
    with opened() as repo:
        plan = make_plan(repo)
    for group, table, defaults, stage, folder in TABLES:
        print(f"\n{group}.{table}")
        rows = []
        for name in rows_of(params, group, table):
            key, known = f"{stage}@{name}", plan.stages.keys() - plan.new
            state = "never run" if key not in known else "stale" if key in plan.stale else "up to date"
            files = Path("models", folder, name).rglob("*") if folder else ()
            size = sum(path.stat().st_size for path in files if path.is_file())
            own = differing(params[group][table][name] or {}, params[group][defaults] if defaults else {})
            rows.append([name, state, f"{size / 2**20:,.1f} MiB" if size else "–", own])
        print_table(["Row", "Status", "Model", "Parameters"], rows)


def differing(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """The parameters of a row that are not its defaults, values as in YAML's flow style."""
    own = {key: value for key, value in row.items() if key not in defaults or defaults[key] != value}
    return ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in own.items()).replace('"', "")
