"""Memory that a fetch was read into is kept for the next one.

glibc returns what is large to the system as soon as it is free, and a fetch goes through several
buffers of its size: the kernel hands each of their pages out anew, and cleared. Of Arrow records
that was a third of all processor time. What is kept is no more than was used at once before.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from typing import Final

# Blocks up to this come from the heap: twice an answer of a broker, and the most that glibc takes.
FROM_HEAP_BYTES: Final = 32 << 20
# So much may lie free at the heap's end before it shrinks: the buffers of one answer.
KEPT_BYTES: Final = 64 << 20
# From <malloc.h>.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
# Who sets one of these has decided it.
_SETTINGS: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_pages() -> bool:
    """Ask glibc to keep them, from now on; return whether it does.

    False with another C library, and where the environment says how glibc is to do it.
    """
    if sys.platform != "linux" or any(name in os.environ for name in _SETTINGS):
        return False
    with contextlib.suppress(OSError, AttributeError):  # another C library
        set_to = ctypes.CDLL("libc.so.6").mallopt
        return bool(
            set_to(_MMAP_THRESHOLD, FROM_HEAP_BYTES) and set_to(_TRIM_THRESHOLD, KEPT_BYTES)
        )
    return False
