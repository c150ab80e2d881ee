"""Freed memory goes back to the system: in interpreters of their own, as an allocator's limits hold for a process."""

import ctypes
import platform
import subprocess
import sys

import pytest

# Blocks of 10 MiB between small ones that stay. Freeing one of 30 MiB first raises glibc's own limit above 10.
PROGRAM = """
import resource, sys
import numpy as np
from pipeline.heap import return_large_blocks

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20

if sys.argv[1] == "returned":
    return_large_blocks()
first = np.full(30 * 2**17, 1.0)
del first
before, large, small = resident(), [], []
for _ in range(20):
    large.append(np.full(10 * 2**17, 1.0))
    small.append(np.full(2**13, 1.0))
full = resident() - before
del large
print(full, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_freed_large_blocks_are_returned() -> None:
    found = {}
    for how in ("kept", "returned"):
        run = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
        full, found[how] = map(float, run.stdout.split())
        assert full > 190  # MiB
    assert found["kept"] > 150  # glibc's own way, without which this test shows nothing
    assert found["returned"] < 20


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.heap import return_large_blocks

    opened: list[object] = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: opened.append(name) or object())
    return_large_blocks()  # must not raise for want of mallopt
    assert opened == [None]  # it was looked for, in the process itself
