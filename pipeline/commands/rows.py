"""The rows of all tables: what differs from the defaults, whether they are up to date, how large their models are.

python -m pipeline rows

Nothing is run: dvc.lock is compared with the files, as `dvc status` does, and what depends on a stale stage is stale.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.commands.table import print_table
from pipeline.config.base import read_params
from pipeline.report.results import rows_of

# Table of params.yaml, stage, folder of models/.
TABLES = (
    ("sentiment", "methods", "train_sentiment", "sentiment"),
    ("paraphrase", "first_stages", "train_first_stage", "first_stage"),
    ("paraphrase", "methods", "train_paraphrase", "paraphrase"),
    ("paraphrase", "ensembles", "ensemble", None),
    ("sonnet", "methods", "train_sonnet", "sonnet"),
    ("sonnet", "systems", "generate_sonnets", None),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments."""
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a table for each table of params.yaml."""
    from pipeline.commands.status import states

    params, state = read_params(), states()
    for group, table, stage, folder in TABLES:
        rows = [
            [name, state[f"{stage}@{name}"], size_of(Path("models") / folder / name) if folder else "–", own]
            for name, own in own_parameters(params, group, table)
        ]
        print(f"\n{group}.{table}")
        print_table(["Row", "Status", "Model", "Parameters"], rows)


def own_parameters(params: Mapping[str, Any], group: str, table: str) -> Iterator[tuple[str, str]]:
    """Each row's name and, as text, the parameters that differ from the defaults."""
    defaults = params[group].get(
        {"methods": "defaults", "first_stages": "defaults"}.get(table, f"{table[:-1]}_defaults")
    )
    for name in rows_of(params, group, table):
        own = params[group][table][name] or {}
        differing = {key: value for key, value in own.items() if key not in (defaults or {}) or defaults[key] != value}
        yield name, ", ".join(f"{key} {shown(value)}" for key, value in differing.items())


def shown(value: Any) -> str:  # noqa: ANN401 - from YAML
    """A parameter as in YAML's flow style."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False).replace('"', "")


def size_of(folder: Path) -> str:
    """The size of all files in a folder; a dash if there are none."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{size / 2**20:,.1f} MiB" if size else "–"
