"""Where a process's processor time goes: a sample of the stack every few milliseconds of it.

A tracing profiler makes calls dear and so draws another picture. Here a signal comes after so
much processor time, and the sample goes to the main thread or to the others by how much of it
each has had since the last one.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

EVERY_S: Final = 0.002
# Where a thread that waits stands.
_WAITING: Final = frozenset({"wait", "select", "poll", "acquire", "_wait_for_tstate_lock"})


class Sampler:
    """Samples the stacks of this process between `start` and `stop`; main thread only.

    Parameters
    ----------
    is_on
        Otherwise it does nothing, and finds nothing.
    """

    def __init__(self, *, is_on: bool = True) -> None:
        self._is_on = is_on
        self._found: Counter[tuple[str, ...]] = Counter()
        self._names: dict[Any, str] = {}
        self._main = threading.get_ident()
        self._cpu = (0.0, 0.0)

    def start(self) -> None:
        """Begin."""
        if not self._is_on:
            return
        self._cpu = time.process_time(), time.thread_time()
        signal.signal(signal.SIGPROF, self._sample)
        signal.setitimer(signal.ITIMER_PROF, EVERY_S, EVERY_S)

    def stop(self) -> list[tuple[list[str], float]]:
        """End; return stacks, frames from the outermost in, each with its processor seconds."""
        if self._is_on:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return [(list(stack), seconds) for stack, seconds in self._found.items()]

    def _sample(self, _number: int, frame: FrameType | None) -> None:
        whole, own = time.process_time(), time.thread_time()
        grown, mine = whole - self._cpu[0], own - self._cpu[1]
        self._cpu = whole, own
        if frame is not None:
            self._found[self._stack(frame, "main")] += mine  # type: ignore[assignment]
        others = [
            self._stack(at, "client")
            for ident, at in sys._current_frames().items()
            if ident != self._main and at.f_code.co_name not in _WAITING
        ]
        if not others:
            others = [("client",)]
        for stack in others:
            self._found[stack] += max(0.0, grown - mine) / len(others)  # type: ignore[assignment]

    def _stack(self, frame: FrameType | None, thread: str) -> tuple[str, ...]:
        found: list[str] = []
        while frame is not None:
            code = frame.f_code
            name = self._names.get(code)
            if name is None:
                path = Path(code.co_filename)
                name = f"{path.parent.name}/{path.stem}.{code.co_qualname}"
                self._names[code] = name
            found.append(name)
            frame = frame.f_back
        return (thread, *reversed(found))


def by_function(stacks: list[tuple[list[str], float]]) -> list[tuple[str, float, float]]:
    """Function, its own share of the seconds, and its share with what it called; most own first.

    Examples
    --------
    >>> by_function([(["main", "f", "g"], 3.0), (["main", "f"], 1.0)])
    [('g', 0.75, 0.75), ('f', 0.25, 1.0)]
    """
    total = sum(seconds for _, seconds in stacks) or 1.0
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for stack, seconds in stacks:
        frames = stack[1:] or stack
        own[frames[-1]] += seconds  # type: ignore[assignment]
        for name in set(frames):
            whole[name] += seconds  # type: ignore[assignment]
    return [(name, s / total, whole[name] / total) for name, s in own.most_common()]
