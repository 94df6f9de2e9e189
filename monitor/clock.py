"""Time as an argument: the wall clock for what people read, the monotonic one for waits.

Whatever waits, expires or stamps takes a `Clock`, so that a test can hold the time.
Nothing pure takes one: it is given the instant.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now_ms(self) -> int:
        """Wall time, epoch milliseconds in UTC; may jump."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""


class SystemClock:
    """This machine's clock."""

    def now_ms(self) -> int:
        """Wall time, epoch milliseconds in UTC; may jump."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds since some moment; never goes back."""
        return time.monotonic()


class HeldClock:
    """A clock that moves only when it is told to.

    Examples
    --------
    >>> clock = HeldClock(now_ms=1_000)
    >>> clock.advance(2.5)
    >>> clock.now_ms(), clock.monotonic_s()
    (3500, 2.5)
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms, self._monotonic_s = now_ms, 0.0

    def now_ms(self) -> int:
        """Wall time, epoch milliseconds in UTC."""
        return self._now_ms

    def monotonic_s(self) -> float:
        """Seconds since the clock was made."""
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Move both clocks forward."""
        self._now_ms += round(seconds * 1_000)
        self._monotonic_s += seconds
