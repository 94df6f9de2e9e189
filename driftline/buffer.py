"""What waits to be sent, bounded in events and bytes, and the count of what became of everything.

Between the threads that log, which may never wait, and the one that sends. Its lock is held for a
few additions at a time, and by one thread may be taken twice: a signal's handler or a finaliser
may log in the middle of a call. What is in the air counts until the broker has it, so that an
outage cannot grow memory.
"""

from __future__ import annotations

import queue
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Condition, RLock
from types import MappingProxyType
from typing import Final

from driftline.producer import MAX_RECORD_BYTES, MAX_RECORD_ROWS, Record

# What an event costs beside its bytes: the object, its place in the queue.
OVERHEAD_BYTES: Final = 160


@dataclass(frozen=True)
class Counts:
    """What became of every event: ``logged == sent + pending + sum(dropped.values())``.

    Attributes
    ----------
    logged : int
        Events that were given to the logger.
    sent : int
        Acknowledged by the broker.
    pending : int
        In the queue or on their way.
    dropped : mapping of str to int
        By reason, see `driftline.telling.DROPPED`.
    values_dropped : int
        Values that JSON cannot hold; their events were sent with null in their place.
    """

    logged: int
    sent: int
    pending: int
    dropped: Mapping[str, int]
    values_dropped: int


class Buffer:
    """A bounded queue of encoded events and records.

    Parameters
    ----------
    max_events, max_bytes
        What may be pending.

    Attributes
    ----------
    is_abandoned : bool
        Whether nobody waits for what is in the air any more.
    """

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._lock = RLock()
        # One line each, or a whole record; with the instant it came.
        self._items: deque[tuple[float, bytes | Record]] = deque()
        self._bytes = self._air_bytes = 0  # in the queue, and on their way
        # Events that were accepted, have left the queue, are sent or given up; the others.
        self._accepted = self._taken = self._settled = self._refused = 0
        self._sent = self._values_dropped = 0
        self._settled_upto = 0
        self._dropped: Counter[str] = Counter()
        self.is_abandoned = False
        self._bell: queue.SimpleQueue[None] | None = None
        self._has_rung = False
        self._progress = Condition()

    # -- the threads that log ----------------------------------------------------------------

    def put(self, item: bytes | Record) -> bool:
        """Take an event's line or a record; False when there is no room."""
        is_line = type(item) is bytes
        if is_line:
            rows, cost = 1, len(item) + OVERHEAD_BYTES  # type: ignore[arg-type]
        else:
            rows, cost = item.rows, _cost(item)  # type: ignore[union-attr]
        with self._lock:
            pending = self._accepted - self._settled
            is_full = (
                pending + rows > self._max_events
                or self._bytes + self._air_bytes + cost > self._max_bytes
            )
            # A record larger than all room is taken by an empty queue.
            if (is_full and pending) or self.is_abandoned:
                return False
            self._items.append((time.monotonic(), item))
            # No call from here on: a handler that logs in between would be overwritten.
            before = self._accepted - self._taken
            self._accepted += rows
            self._bytes += cost
        is_due = not is_line or not before or before == MAX_RECORD_ROWS - 1
        if is_due:
            self.ring()
        return True

    def drop(self, reason: str, rows: int = 1) -> None:
        """Count events that were not taken."""
        with self._lock:
            self._refused += rows
            self._dropped[reason] += rows

    def drop_values(self, n: int) -> None:
        """Count values that were left out."""
        with self._lock:
            self._values_dropped += n

    def ring(self) -> None:
        """Wake the thread that sends."""
        if not self._has_rung:
            self._has_rung = True
            self._rope().put(None)

    def _rope(self) -> queue.SimpleQueue[None]:
        """What wakes the thread, made when it is first needed.

        A SimpleQueue's put may interrupt itself; an Event's set may not. Where gunicorn loads an
        application before it forks gevent's workers, gevent replaces the class only afterwards,
        and the old one would hold up every request of the worker.
        """
        with self._lock:
            if self._bell is None:
                self._bell = queue.SimpleQueue()
            return self._bell

    def counts(self) -> Counts:
        """Return what became of everything until now."""
        with self._lock:
            return Counts(
                self._accepted + self._refused,
                self._sent,
                self._accepted - self._settled,
                MappingProxyType(dict(self._dropped)),
                self._values_dropped,
            )

    def wait_for_progress(self, timeout_s: float) -> bool:
        """Wait until something was settled; False when nothing was."""
        with self._progress:
            return self._progress.wait(timeout_s)

    @property
    def held_bytes(self) -> int:
        """What is in the queue and in the air costs."""
        return self._bytes + self._air_bytes

    @property
    def accepted(self) -> int:
        """How many events were taken so far: a place in the queue to wait for."""
        return self._accepted

    def is_settled(self, upto: int) -> bool:
        """Whether the first `upto` events are sent or dropped."""
        return self._settled_upto >= upto or self._settled == self._accepted

    # -- the thread that sends ---------------------------------------------------------------

    def wait(self, timeout_s: float) -> None:
        """Sleep until somebody rings."""
        try:
            self._rope().get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return
        # Before anything is looked at: what comes from now on rings again.
        self._has_rung = False

    def oldest_at(self) -> float | None:
        """When the first event in the queue came; None when it is empty."""
        with self._lock:
            return self._items[0][0] if self._items else None

    @property
    def taken(self) -> int:
        """How many of the accepted events have left the queue."""
        return self._taken

    def has_full_batch(self) -> bool:
        """Whether waiting longer would make no larger record."""
        with self._lock:
            return bool(self._items) and (
                self._accepted - self._taken >= MAX_RECORD_ROWS
                or self._bytes >= MAX_RECORD_BYTES
                or type(self._items[0][1]) is Record
            )

    def take(self) -> tuple[int, list[bytes] | Record] | None:
        """Return the lines of the next record, or a record that was made already, and its place."""
        with self._lock:
            if not self._items:
                return None
            place = self._taken
            first = self._items[0][1]
            if isinstance(first, Record):
                self._items.popleft()
                self._took(first)
                return place, first
            lines: list[bytes] = []
            size = 0
            while self._items and len(lines) < MAX_RECORD_ROWS:
                line = self._items[0][1]
                if isinstance(line, Record) or (lines and size + len(line) + 1 > MAX_RECORD_BYTES):
                    break
                self._items.popleft()
                self._took(line)
                size += len(line) + 1
                lines.append(line)
            return place, lines

    def _took(self, item: bytes | Record) -> None:
        cost = _cost(item)
        self._bytes -= cost
        self._air_bytes += cost
        self._taken += item.rows if isinstance(item, Record) else 1

    def settle(self, rows: int, cost: int, reason: str | None = None) -> None:
        """Count events that the broker has, or that were given up for a reason."""
        with self._lock:
            if self.is_abandoned:
                return
            self._settled += rows
            self._air_bytes -= cost
            if reason is None:
                self._sent += rows
            else:
                self._dropped[reason] += rows

    def settled_upto(self, place: int | None) -> None:
        """Note that everything before a place is settled; None: all that was taken."""
        with self._lock:
            self._settled_upto = self._taken if place is None else place
        with self._progress:
            self._progress.notify_all()

    def abandon(self, reason: str) -> int:
        """Give everything pending up; what is still acknowledged later is not counted."""
        with self._lock:
            left = self._accepted - self._settled
            self._settled = self._accepted
            self.is_abandoned = True
            self._items.clear()
            self._bytes = self._air_bytes = 0
            if left:
                self._dropped[reason] += left
        with self._progress:
            self._progress.notify_all()
        return left


def cost_of(items: Sequence[bytes]) -> int:
    """Return what lines cost."""
    return sum(map(len, items)) + OVERHEAD_BYTES * len(items)


def _cost(item: bytes | Record) -> int:
    return (len(item) if isinstance(item, bytes) else len(item.value)) + OVERHEAD_BYTES
