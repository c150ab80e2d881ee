"""Python's call stack in one piece of memory.

CPython keeps the frames of calls in chunks of 16 KiB. It maps a new chunk when the last one is full, and unmaps it when
the first call in it returns: a loop whose calls begin at such an edge asks the system for memory in every turn
(github.com/python/cpython/issues/142183; later releases of Python 3.13 and 3.14 keep a chunk, 3.11 and 3.12 do not).
Where the edges lie is chance; importing transformers alone met them some ten thousand times.
"""

from collections.abc import Callable
from types import FunctionType
from typing import TypeVar

Function = TypeVar("Function", bound=Callable[..., object])
WORDS = 2**16  # of 8 bytes: a chunk is the next larger power of two, and holds the frames of 2,000 calls beside them


def with_room(function: Function) -> Function:
    """`function` itself, which now begins a chunk that all calls within it fit into.

    Its frame claims a stack of WORDS. It never uses them, and pages that nobody touches take no memory.
    """
    assert isinstance(function, FunctionType)
    function.__code__ = function.__code__.replace(co_stacksize=WORDS)
    return function
