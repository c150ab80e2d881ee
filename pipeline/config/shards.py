"""Parameter `shards` of a block: the numbers of the DVC stages that share its work."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

from pipeline.errors import InputError


def _counted(shards: list[int]) -> list[int]:
    if not shards or shards != list(range(len(shards))):
        raise ValueError("expected the numbers from 0 on: [0] for one stage, [0, 1, 2] for three")
    return shards


Shards = Annotated[list[int], AfterValidator(_counted)]  # a list, as DVC makes a stage of each


def read_shard(argument: str, shards: Sequence[int], key: str) -> int:
    """The shard that a stage's argument names."""
    if argument not in map(str, shards):
        raise InputError(f"params.yaml: {key} has no {argument!r}; it has {', '.join(map(str, shards))}")
    return int(argument)
