"""The thread behind `EventLogger`: events to records, records to Kafka, until the broker has them.

One loop. What was sent is kept until it is acknowledged. When a record fails, nothing more is
sent until everything in the air has an answer; then the producer is thrown away, and what was not
delivered is sent again, in order, by a new one. Where the broker refused a record for what it is,
all that failed with it are suspects, since the producer fails good ones with the same words: they
are sent one at a time, and what is refused alone is halved, down to the event that is to blame.

A record whose acknowledgement was lost may be sent twice; none is lost while there is time.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import msgspec

from driftline.buffer import Buffer, cost_of
from driftline.errors import ConfigError, StreamError
from driftline.events import Event
from driftline.producer import (
    IMPORTING,
    MAX_RECORD_BYTES,
    InterpreterEnds,
    Producer,
    Record,
    first_line,
)
from driftline.refusing import withheld

log = logging.getLogger("driftline.logger")

_event: Final = msgspec.json.Decoder(Event).decode
# Enough to keep a broker busy, little enough to send again.
IN_THE_AIR_BYTES: Final = 8_000_000
IN_THE_AIR: Final = 64
# Of more shapes than this a batch is rather one record of NDJSON than many of Arrow.
MAX_SHAPES: Final = 4
# Waits between tries to reach a broker that is not there.
BACKOFF_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0)
# Nothing to do: somebody will ring.
IDLE_S: Final = 60.0
# How long a producer whose records all have an answer may take to close.
CLOSE_S: Final = 2.0
# A record that still cannot be halved is given up: those behind it wait for it.
MAX_SPLITS: Final = 3

# By name: a broker that will not have the record for what it is, whoever sends it.
REFUSALS: Final = frozenset(
    {
        "MessageSizeTooLargeError",
        "RecordListTooLargeError",
        "InvalidRecordError",
        "InvalidTimestampError",
        "UnsupportedForMessageFormatError",
        "PolicyViolationError",
    }
)


@dataclass(slots=True, eq=False)
class Flight:
    """A record until it is settled."""

    place: int
    record: Record
    cost: int
    future: Any = None
    error: BaseException | None = None
    is_suspect: bool = False
    splits_failed: int = 0


@dataclass
class Orders:
    """What the other threads want of the loop; each is set once, or only ever rises."""

    flush_upto: int = 0
    end_at: float | None = None  # monotonic; set: send what is there, and end


@dataclass
class Sending:
    """The loop.

    Parameters
    ----------
    buffer
        Where events come from, and where what became of them is counted.
    connect
        Makes a producer; raises `StreamError` or `ConfigError`.
    linger_s
        How long an event waits for others to share its record.
    tell
        Says what is wrong, by reason, not too often.
    """

    buffer: Buffer
    connect: Callable[[], Producer]
    topic: str
    linger_s: float
    tell: Callable[[str, str], None]
    orders: Orders = field(default_factory=Orders)
    producer: Producer | None = None
    _air: list[Flight] = field(default_factory=list)
    _failed: list[Flight] = field(default_factory=list)
    _again: deque[Flight] = field(default_factory=deque)
    _tries: int = 0
    _not_before: float = 0.0

    def run(self) -> None:
        """Send until told to end."""
        while not self.buffer.is_abandoned:
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - the thread must outlive every surprise
                self.tell("internal_error", f"{type(error).__name__}: {first_line(error)}")
                self._back_off()
            if self._is_done():
                break
            self.buffer.wait(self._sleep_s())
        self._close_producer(0.0 if self._air or self._failed else CLOSE_S)

    def _is_done(self) -> bool:
        end_at = self.orders.end_at
        if end_at is None:
            return False
        nothing_left = self.buffer.oldest_at() is None and not self._unsettled()
        return nothing_left or time.monotonic() >= end_at

    def _unsettled(self) -> list[Flight]:
        return [*self._air, *self._failed, *self._again]

    def _sleep_s(self) -> float:
        """How long nothing needs to be done, unless somebody rings."""
        now = time.monotonic()
        wake_at = now + IDLE_S
        if not self._air and (self._again or self._failed or self._is_due()):
            wake_at = self._not_before
        elif not self._waits_for_air() and (oldest_at := self.buffer.oldest_at()) is not None:
            wake_at = max(self._not_before, oldest_at + self.linger_s)
        if self.orders.end_at is not None:
            wake_at = min(wake_at, self.orders.end_at)
        return max(0.0, wake_at - now)

    def _is_due(self) -> bool:
        """Whether the queue's first event should go now."""
        oldest_at = self.buffer.oldest_at()
        if oldest_at is None:
            return False
        is_asked = self.orders.end_at is not None or self.orders.flush_upto > self.buffer.taken
        return (
            is_asked
            or time.monotonic() >= oldest_at + self.linger_s
            or self.buffer.has_full_batch()
        )

    def _waits_for_air(self) -> bool:
        """Whether nothing may be sent before what is in the air has an answer."""
        if self._failed or self._is_full_of_air():
            return True
        # A suspect flies alone.
        return bool(self._air) and (
            self._air[-1].is_suspect or bool(self._again and self._again[0].is_suspect)
        )

    def _is_full_of_air(self) -> bool:
        return (
            len(self._air) >= IN_THE_AIR
            or sum(len(flight.record.value) for flight in self._air) >= IN_THE_AIR_BYTES
        )

    def _step(self) -> None:
        self._land()
        if self._failed:
            if self._air:
                return
            self._begin_again()
        while time.monotonic() >= self._not_before and not self._waits_for_air():
            flight = self._next()
            if flight is None:
                return
            self._send(flight)
            self._land()

    def _next(self) -> Flight | None:
        """The next record; it is in `_again` until it is in the air."""
        if not self._again:
            if not self._is_due():
                return None
            taken = self.buffer.take()
            if taken is None:
                return None
            place, found = taken
            if isinstance(found, Record):
                self._again.append(Flight(place, found, cost_of([found.value])))
            else:
                self._again.extend(self._flights(place, found))
        return self._again[0]

    def _flights(self, place: int, lines: Sequence[bytes]) -> list[Flight]:
        try:
            made = records_of(lines, is_hurried=self.orders.end_at is not None)
        except Exception as error:  # noqa: BLE001 - they have left the queue: send them somehow
            self.tell("internal_error", f"no batch could be made: {first_line(error)}")
            made = [(Record(line, 1), [line]) for line in lines]
        return [Flight(place, record, cost_of(of_record)) for record, of_record in made]

    def _send(self, flight: Flight) -> None:
        if self.producer is None:
            try:
                self.producer = self.connect()
            except InterpreterEnds as error:
                # It will not be otherwise again: who waits for the end need not.
                self.tell("broker", str(error))
                self.orders.end_at = time.monotonic()
                self._back_off()
                return
            except (StreamError, ConfigError) as error:
                self.tell("broker", str(error))
                self._back_off()
                return
            if self.buffer.is_abandoned:
                return
        self._again.popleft()
        self._air.append(flight)
        flight.error = flight.future = None
        try:
            flight.future = self.producer.send(self.topic, flight.record)
        except Exception as error:  # noqa: BLE001 - it raises what Kafka says of topic and record
            flight.error = error
            return
        flight.future.add_both(lambda *_: self.buffer.ring())

    def _land(self) -> None:
        """Settle what has an answer."""
        landed = [f for f in self._air if f.error is not None or f.future.is_done]
        for flight in landed:
            flight.error = flight.error or flight.future.exception
            # One after the other: whatever stops this loop, none is lost or counted twice.
            self._air.remove(flight)
            if flight.error is not None:
                self._failed.append(flight)
                continue
            self.buffer.settle(flight.record.rows, flight.cost)
            self._tries = 0
        if landed:
            self._note_progress()

    def _note_progress(self) -> None:
        places = [flight.place for flight in self._unsettled()]
        self.buffer.settled_upto(min(places, default=None))

    def _begin_again(self) -> None:
        """With nothing in the air: a new producer, and what failed is first in its line."""
        failed = sorted(self._failed, key=lambda flight: flight.place)
        # Back in line before anything that may fail: a record in no list would be lost.
        self._again.extendleft(reversed(failed))
        self._failed = []
        self._close_producer(CLOSE_S)
        refusal = next((f.error for f in failed if type(f.error).__name__ in REFUSALS), None)
        if refusal is None:
            error = failed[0].error or RuntimeError("no answer")
            words = withheld(error, self.topic) or f"{type(error).__name__}: {first_line(error)}"
            self.tell("broker", f"the broker took no record for {self.topic} ({words}); "
                      "it is tried again")  # fmt: skip
            self._back_off()
            return
        for flight in failed:
            flight.is_suspect = True
        if len(failed) == 1:
            self._split(refusal)

    def _split(self, error: BaseException) -> None:
        """Halve the first in line, which was refused alone; one event by itself is to blame."""
        flight = self._again[0]
        try:
            halves = halved(flight.record)
        except Exception as surprise:
            flight.splits_failed += 1
            if flight.splits_failed < MAX_SPLITS:
                raise
            self._give_up(
                "internal_error",
                f"a record of {flight.record.rows:,} events that the broker refuses "
                f"({type(error).__name__}) cannot be halved: {first_line(surprise)}",
            )
            return
        if len(halves) < 2:
            self._give_up(
                "refused",
                f"the broker refuses an event of {len(flight.record.value):,} bytes "
                f"({type(error).__name__}: {first_line(error)})",
            )
            return
        # Rows are counted in order, bytes are shared out so that the sum stays.
        first, second = halves
        cost = flight.cost * first.rows // flight.record.rows
        parts = (
            Flight(flight.place, first, cost, is_suspect=True),
            Flight(flight.place + first.rows, second, flight.cost - cost, is_suspect=True),
        )
        self._again.popleft()
        self._again.extendleft(reversed(parts))

    def _give_up(self, reason: str, words: str) -> None:
        """Count the first in line as dropped."""
        flight = self._again.popleft()
        self.buffer.settle(flight.record.rows, flight.cost, reason)
        self.tell(reason, words)
        self._note_progress()

    def _close_producer(self, timeout_s: float) -> None:
        leaving, self.producer = self.producer, None
        if leaving is None:
            return
        try:
            leaving.close(timeout_s)
        except Exception as error:  # noqa: BLE001 - what failed with it must still be sent
            self.tell("internal_error", f"a producer cannot be closed: {first_line(error)}")

    def _back_off(self) -> None:
        wait_s = BACKOFF_S[min(self._tries, len(BACKOFF_S) - 1)]
        self._tries += 1
        self._not_before = time.monotonic() + wait_s


def records_of(
    lines: Sequence[bytes], *, is_hurried: bool = False
) -> list[tuple[Record, Sequence[bytes]]]:
    """Return the records of some events, each with its lines.

    One event is a JSON object. Several are an Arrow stream, or a few where they are of a few
    shapes, such as predictions and labels; what Arrow cannot say is NDJSON. So is what must go
    now (`is_hurried`) where pyarrow would have to be imported first, which takes a second.

    Examples
    --------
    >>> records_of([b'{"type":"label"}'])
    [(Record(value=b'{"type":"label"}', rows=1, is_arrow=False), [b'{"type":"label"}'])]
    """
    if len(lines) > 1 and (_has_pyarrow() if not is_hurried else "driftline.arrow" in sys.modules):
        try:
            return _as_arrow(lines)
        except Exception:
            # NDJSON says everything, so nothing is lost.
            log.debug("a batch is written as NDJSON", exc_info=True)
    return [_as_json(lines)]


def _as_json(lines: Sequence[bytes]) -> tuple[Record, Sequence[bytes]]:
    return Record(b"\n".join(lines), len(lines)), lines


def _as_arrow(lines: Sequence[bytes]) -> list[tuple[Record, Sequence[bytes]]]:
    with IMPORTING.lock:
        from driftline.arrow import encode_events, pyarrow, shape

        pyarrow()

    # They were checked when they were made.
    events = [_event(line) for line in lines]
    if len({event.type for event in events}) == 1:
        # Nearly always of one shape, too: whoever finds that out makes the record meanwhile.
        value = encode_events(events)
        if value is not None and len(value) <= MAX_RECORD_BYTES:
            return [(Record(value, len(lines), is_arrow=True), lines)]
    places: dict[Hashable, list[int]] = {}
    for i, event in enumerate(events):
        places.setdefault(shape(event), []).append(i)
    if len(places) > MAX_SHAPES:
        return [_as_json(lines)]
    found = []
    for group in places.values():
        of_group = [lines[i] for i in group]
        value = encode_events([events[i] for i in group]) if 1 < len(group) < len(lines) else None
        if value is None or len(value) > MAX_RECORD_BYTES:
            found.append(_as_json(of_group))
        else:
            found.append((Record(value, len(group), is_arrow=True), of_group))
    return found


@cache
def _has_pyarrow() -> bool:
    return find_spec("pyarrow") is not None


def halved(record: Record) -> list[Record]:
    """Return a record's events as two records; one event is returned as it is.

    Examples
    --------
    >>> [half.value for half in halved(Record(b"1\\n2\\n3", 3))]
    [b'1', b'2\\n3']
    """
    if record.rows < 2:
        return [record]
    middle = record.rows // 2
    if not record.is_arrow:
        lines = record.value.split(b"\n")
        return [Record(b"\n".join(part), len(part)) for part in (lines[:middle], lines[middle:])]
    import pyarrow as pa

    with pa.ipc.open_stream(record.value) as reader:
        table = reader.read_all()
    halves = []
    for part in (table.slice(0, middle), table.slice(middle)):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, part.schema) as writer:
            writer.write_table(part)
        halves.append(Record(sink.getvalue().to_pybytes(), part.num_rows, is_arrow=True))
    return halves
