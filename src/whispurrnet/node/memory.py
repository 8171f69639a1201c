"""Keep freed memory: without it, glibc gives each freed 64 KiB buffer back and faults it in again.

Bulk streams were measured at less than half their speed without this (decision 0005). It holds
for the whole process, costs a few megabytes at most, and does nothing where there is no glibc.
"""

from __future__ import annotations

import ctypes
import functools

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES, _MMAP_BYTES = 4 << 20, 1 << 20


@functools.cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep up to 4 MiB of freed memory; whether it does."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    kept = mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES) and mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES)
    return bool(kept)
