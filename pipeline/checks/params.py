"""Is every block and every row of params.yaml valid?

`dvc exp run -S` accepts any key and any type. Stages check the blocks that they read; this checks all of them at once.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.config.augmentation import Adversarial, BackTranslation, load_training_set, training_sets
from pipeline.config.backbone import Backbone
from pipeline.config.base import Block, load_block, load_row, load_seed, read_params
from pipeline.config.data import Data, Text
from pipeline.config.ensemble import ensembles, load_ensemble
from pipeline.config.evaluation import Evaluation
from pipeline.config.paraphrase import Paraphrase, first_stages, load_paraphrase
from pipeline.config.sentiment import Sentiment
from pipeline.config.sonnet import Sonnet, load_scorer, load_system
from pipeline.config.training import Compute
from pipeline.errors import InputError

BLOCKS: dict[str, type[Block]] = {
    "compute": Compute,
    "data": Data,
    "text": Text,
    "backbone": Backbone,
    "back_translation": BackTranslation,
    "adversarial": Adversarial,
    "evaluation": Evaluation,
}
ROWS: dict[str, type[Block]] = {"sentiment": Sentiment, "paraphrase": Paraphrase, "sonnet": Sonnet}
MORE_TABLES = {
    "paraphrase": ["ensembles", "first_stages", "search"],
    "sonnet": ["scorer", "system_defaults", "systems"],
}


def run(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """Raise InputError for the first problem in `options.file`."""
    check_file(options.file)
    return [], []


def check_file(path: Path) -> None:
    """Raise InputError for the first problem in a parameter file."""
    params = read_params(path)
    load_seed(path)
    for key, block in BLOCKS.items():
        load_block(key, block, path)
    for group, block in ROWS.items():
        tables = {"defaults", "methods", *MORE_TABLES.get(group, ())}
        for row in table(params, group, "methods", tables, path):
            load_row(group, "methods", row, block, path)
    for name in training_sets(path):
        load_training_set(name, path)
    for row in params["paraphrase"]["methods"]:
        load_paraphrase(row, "methods", path)
    for name in first_stages(path):
        load_paraphrase(name, "first_stages", path)
    for name in ensembles(path):
        load_ensemble(name, path)
    for name in table(params, "sonnet", "systems", set(params["sonnet"]), path):
        load_system(name, path)
    load_scorer(path)


def table(params: Mapping[str, Any], group: str, key: str, expected: set[str], path: Path) -> Mapping[str, Any]:
    """`<group>.<key>`, a mapping with at least one row; the group has no other keys than `expected`."""
    values = params[group]
    if not isinstance(values, Mapping) or set(values) != expected:
        raise InputError(f"{path}: {group}: expected the keys {', '.join(sorted(expected))} and no others")
    if not isinstance(values[key], Mapping) or not values[key]:
        raise InputError(f"{path}: {group}.{key}: expected a mapping with at least one row")
    return values[key]
