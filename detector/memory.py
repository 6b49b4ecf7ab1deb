"""How the process gives memory back."""

import ctypes
import sys
from contextlib import suppress

import pyarrow as pa

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of glibc's <malloc.h>
_LARGE = 1 << 20


def free_at_once() -> None:
    """From now on, arrays of 1 MiB and more go back to the system when they are freed, on glibc; Arrow's too.

    By itself, glibc keeps ever larger ones for later use, up to 32 MiB each and in every thread, after the first such
    array was freed: a stream of tiles, strips and blocks of files of many sizes then holds twice what it uses. Arrow
    has a store of its own, which keeps much of what a file was read through.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    _tell("mallopt", _MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Give the system what was freed up to now: what Arrow keeps of read files, and small pieces, which glibc keeps."""
    pa.default_memory_pool().release_unused()
    _tell("malloc_trim", 0)


def _tell(function: str, *arguments: int) -> None:
    """Call a function of glibc, where it is the C library."""
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            getattr(ctypes.CDLL("libc.so.6"), function)(*arguments)
