"""Work that is split over DVC stages, and so over machines, with the same result as in one piece.

The last bits of a model's output depend on what shares its batch, so no batch may depend on the number of shards: the
work is cut into blocks of a fixed size, every block is done by itself, and shard k of n does blocks k, k + n, k + 2n...
"""

from collections.abc import Sequence
from typing import TypeVar

SENTENCES = 1024  # translated together
QUESTIONS = 64  # generated for and judged together
Item = TypeVar("Item")


def blocks_of(items: Sequence[Item], size: int, shard: int, shards: int) -> list[Sequence[Item]]:
    """The blocks of `size` items that fall to shard `shard` of `shards`; the last of all blocks may be shorter."""
    return [items[start : start + size] for start in range(shard * size, len(items), shards * size)]
