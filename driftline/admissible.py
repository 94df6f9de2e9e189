"""What consumers would refuse, said before anything is written to Kafka.

For whoever takes events from strangers and can still say no: the API and `driftline log`. The
reasons are those of dead letters (`driftline.events.REASONS`), and come from the same decoders.
Reads no clock and does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from driftline.errors import DataError
from driftline.events import FUTURE_TOLERANCE_MS, MAX_TIME_MS, MIN_TIME_MS
from driftline.producer import MAX_RECORD_BYTES, MAX_RECORD_ROWS, Record
from driftline.wire import decode, is_name, times_ms

# Where one fault is enough to refuse all, these are: a body of nothing else holds millions.
MAX_FAULTS: Final = 1_000
# A detail may quote what was sent: so much of it is told.
KEPT_DETAIL: Final = 300


@dataclass(frozen=True)
class Fault:
    """Why an event cannot be taken.

    Attributes
    ----------
    line : int
        Its line, its place in the array or its row, from 1.
    reason : str
        See `driftline.events.REASONS`.
    detail : str
        What is wrong here, printable.
    """

    line: int
    reason: str
    detail: str


@dataclass
class Checked:
    """Events that may be sent, as lines or as Arrow streams, and what is wrong with the others."""

    lines: list[bytes] = field(default_factory=list)
    streams: list[Record] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    @property
    def n_events(self) -> int:
        """How many may be sent."""
        return len(self.lines) + sum(stream.rows for stream in self.streams)

    def records(self) -> Iterator[Record]:
        """What may be sent, in as few Kafka records as hold it."""
        yield from batched(self.lines)
        yield from self.streams


def check_lines(
    lines: Iterable[tuple[int, bytes]], now_ms: int, most_faults: int | None = None
) -> Checked:
    """Return which numbered lines are events that consumers would count.

    After `most_faults` nothing further is looked at.

    Examples
    --------
    >>> event = b'{"type":"label","model":"m","time":1360318500000,"id":"a","label":1}'
    >>> found = check_lines([(1, event), (2, b"{}")], now_ms=1360318500000)
    >>> found.n_events, found.faults
    (1, [Fault(line=2, reason='type_missing', detail='')])
    """
    found = Checked()
    for number, line in lines:
        try:
            event = decode(line, MAX_RECORD_BYTES)
            require_names(event.model, event.version)
            require_time(int(times_ms([event])[0]), now_ms)
        except DataError as error:
            found.faults.append(Fault(number, error.reason, printable(error.detail)))
            if len(found.faults) == most_faults:
                break
        else:
            found.lines.append(_one_line(line))
    return found


def check_stream(value: bytes, now_ms: int, max_bytes: int) -> Checked:
    """Return whether each row of an Arrow stream is an event that consumers would count.

    After `MAX_FAULTS` nothing further is looked at.

    Raises
    ------
    DataError
        It is no such stream.
    MissingExtra
        Without pyarrow.
    """
    from driftline.arrow_rows import decode as decode_arrow
    from driftline.sending import halved

    found = Checked()
    rows = 0
    for batch in decode_arrow(value, max_bytes):
        rows += len(batch.rows)
        for place in range(len(batch.rows)):
            try:
                if batch.faults[place]:
                    raise batch.fault(place)
                model, version, _ = batch.names[batch.name_of[place]]
                require_names(model, version)
                require_time(int(batch.times_ms[place]), now_ms)
            except DataError as error:
                number = batch.number(place)
                found.faults.append(Fault(number, error.reason, printable(error.detail)))
                if len(found.faults) == MAX_FAULTS:
                    return found
    if rows and not found.faults:
        waiting = [Record(value, rows, is_arrow=True)]
        while waiting:
            record = waiting.pop()
            if len(record.value) <= MAX_RECORD_BYTES and record.rows <= MAX_RECORD_ROWS:
                found.streams.append(record)
            elif record.rows < 2:
                raise DataError("oversized", f"a row of {len(record.value):,} bytes")
            else:
                waiting += reversed(halved(record))
    return found


def require_names(model: str, version: str | int) -> None:
    """Raise for what is no name of a model or of a version, as consumers do."""
    if not is_name(model):
        raise DataError("model_invalid" if model else "model_missing", f"{len(model)} characters")
    if version != "" and not is_name(_text(version)):
        raise DataError("version_invalid", "no name")


def require_time(time_ms: int, now_ms: int) -> None:
    """Raise for a time that no event can have, or that its record could not have seen."""
    if not MIN_TIME_MS <= time_ms < MAX_TIME_MS:
        raise DataError("time_out_of_range", f"{time_ms} ms")
    if time_ms > now_ms + FUTURE_TOLERANCE_MS:
        raise DataError("time_in_future", f"{time_ms} ms, now is {now_ms} ms")


def _text(version: str | int) -> str:
    # Python does not agree to print every integer.
    return version if isinstance(version, str) else str(version) if abs(version) < 10**38 else ""


def batched(lines: Iterable[bytes]) -> Iterator[Record]:
    """Yield lines as records of NDJSON that consumers take; a line alone is one JSON object.

    Examples
    --------
    >>> [record.rows for record in batched([b"{}"] * 1001)]
    [1000, 1]
    """
    size, together = 0, list[bytes]()
    for line in lines:
        is_full = len(together) >= MAX_RECORD_ROWS or size + len(line) + 1 > MAX_RECORD_BYTES
        if together and is_full:
            yield Record(b"\n".join(together), len(together))
            size, together = 0, []
        together.append(line)
        size += len(line) + 1
    if together:
        yield Record(b"\n".join(together), len(together))


def _one_line(line: bytes) -> bytes:
    """An event as it came; written over several lines, it would be several of a record."""
    line = line.strip()
    return (
        line.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in line or b"\r" in line else line
    )


def printable(detail: str) -> str:
    """Return what may be shown of a detail that quotes somebody's bytes.

    Examples
    --------
    >>> printable("a\\x00b")
    'a\\\\x00b'
    """
    found = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in detail)
    return found.encode("utf-8", "backslashreplace").decode()[:KEPT_DETAIL]
