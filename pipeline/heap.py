"""What glibc's allocator does with freed memory."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


def return_large_blocks() -> None:
    """Freed blocks of 8 MiB and more go back to the system at once; without glibc nothing changes.

    By itself glibc raises that limit to 32 MiB as blocks are freed, and keeps smaller ones in a heap that a training
    step with tensors of many sizes leaves full of holes. Setting one limit stops glibc from raising the other one too,
    from which the heap's free end is returned: at its default the heap would shrink and grow all the time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function; no handle on the process itself (Windows)
        return
    mallopt(_M_MMAP_THRESHOLD, 8 * 2**20)
    mallopt(_M_TRIM_THRESHOLD, 256 * 2**20)
