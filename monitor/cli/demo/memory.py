"""How much memory the whole tree takes at its peak, and how long it ran.

Resident memory summed over the processes: pages that they share (libraries) count in
each, so the sum is an upper bound of what the machine must have.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
import time
from types import TracebackType
from typing import Final, Self

import psutil

_SAMPLE_S: Final = 0.25


def give_back() -> None:
    """Return to the system what was freed: the allocators keep it, 200 MB after reading."""
    import pyarrow

    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL("libc.so.6").malloc_trim(0)


class Memory:
    """Samples this process and all its descendants while the block runs.

    Attributes
    ----------
    peak_bytes
        The largest sum seen.
    """

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._stop = threading.Event()
        self._me = psutil.Process()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    @property
    def seconds(self) -> float:
        """Wall time since this process was started, its imports included."""
        return time.time() - self._me.create_time()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_SAMPLE_S):
            total = 0
            for process in (self._me, *self._me.children(recursive=True)):
                with contextlib.suppress(psutil.Error):  # it has just ended
                    total += process.memory_info().rss
            self.peak_bytes = max(self.peak_bytes, total)
