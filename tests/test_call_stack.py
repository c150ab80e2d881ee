"""Calls at any depth ask the system for no memory: in interpreters of their own, whose stacks are empty."""

import subprocess
import sys

import pytest

# The most page faults of a thousand calls, over 400 depths. A new chunk of the stack is one at every call.
PROGRAM = """
import resource, sys
from pipeline.call_stack import with_room

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def leaf(*, a=1, b=2, c=3, d=4, e=5, f=6, g=7, h=8):  # its frame is larger than that of deep: some edge lies in it
    pass

def deep(levels):
    if levels:
        return deep(levels - 1)
    before = faults()
    for _ in range(1000):
        leaf()
    return faults() - before

def most():
    return max(map(deep, range(400)))

print((with_room(most) if sys.argv[1] == "room" else most)())
"""


def most_faults(how: str) -> int:
    return int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout)


def test_no_depth_makes_calls_ask_for_memory() -> None:
    assert most_faults("room") < 50


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="later releases of Python keep a chunk")
def test_without_room_some_depth_does() -> None:
    assert most_faults("none") >= 1000  # without which the test above shows nothing


def test_a_function_stays_what_it_is() -> None:
    from pipeline.call_stack import with_room

    def function(first: int, /, second: int = 2, *rest: int, third: int = 3, **more: int) -> tuple[object, ...]:
        """Doc."""
        return first, second, rest, third, more, outer

    outer = 7
    same = with_room(function)
    assert same is function and same.__doc__ == "Doc."
    assert same(1) == (1, 2, (), 3, {}, 7) and same(1, 4, 5, third=6, x=8) == (1, 4, (5,), 6, {"x": 8}, 7)
    with pytest.raises(ZeroDivisionError):
        with_room(lambda: 1 / 0)()
