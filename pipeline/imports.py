"""Imports of large libraries without Python's search for cyclic garbage.

What torch and transformers make while they are imported stays to the end. The search would go through it again and
again, and at the end of the process once more: a third of the time of a short command.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """No search while the block imports, and none in what it has imported ever after."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
