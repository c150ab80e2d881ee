"""Quora Question Pairs: index, id, sentence1, sentence2, is_duplicate; the test file has no labels."""

from pathlib import Path

from pipeline.text.normalise import Normalise
from pipeline.text.pair_table import read_pair_table
from pipeline.text.prepared import Pair
from pipeline.text.table import Counts


def read_qqp(path: Path, labelled: bool, normalise: Normalise) -> tuple[list[Pair], Counts]:
    """The question pairs of one file."""
    return read_pair_table(path, "is_duplicate" if labelled else None, normalise)
