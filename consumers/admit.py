"""Records to admitted events: what may be counted, and why the rest may not.

Admission is a function of the record and the registry alone, never of the wall
clock, of other records or of how they were batched: a replay admits the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from consumers.source import Record
from driftline import arrow_rows
from driftline.arrow import MEDIA_TYPE
from driftline.errors import DataError
from driftline.events import FUTURE_TOLERANCE_MS, MAX_TIME_MS, MIN_TIME_MS, Event
from driftline.laid import LaidOutRows
from driftline.layouts import Layouts
from driftline.rows import EventRows, MixedRows, Rows, joined
from driftline.wire import MAX_RECORD_BYTES, decode, decode_lines, is_name, times_ms
from monitor.storage.delta import Letter

# A dead letter keeps this much of its record: enough to see what it was.
KEPT_BYTES: Final = 2_048
# Of a record of many bad lines so many become letters; the others are counted only.
LETTERS_OF_RECORD: Final = 100
KEPT_DETAIL: Final = 300
# What is counted together: columns of 50,000 events of 100 features are 40 MB. A record of
# Arrow may hold as many events by itself, and one of few bytes may become 16 million.
EVENTS_AT_ONCE: Final = 50_000
BYTES_AT_ONCE: Final = 64_000_000
# So many records are decoded and made columns before the next ones: their objects stay in the
# processor's cache. 2,000 cost a fifth more an event, 5,000 two thirds.
SLICE: Final = 500
# Of a slice with more that are not as usual, each is looked at by itself.
MISFITS: Final = 25

# Model, version and type.
RawName = tuple[str, str | int, str]
Name = tuple[str, str, str]
# What a letter is made of; a row of Arrow is made into text only where it is kept.
Content = bytes | Callable[[], bytes]

_ARROW: Final = MEDIA_TYPE.encode()
NO_LAYOUTS: Final = Layouts(lambda model: None)


@dataclass(frozen=True)
class Rules:
    """What a record may be, and what is kept of one that is refused."""

    max_record_bytes: int = MAX_RECORD_BYTES
    keep_payload: bool = True


@dataclass
class Admitted:
    """Events in the order of the log, and what was refused.

    Attributes
    ----------
    parts
        The events in consecutive pieces, each read in one form.
    names
        Model, version and type that events are counted under, each once; a label may have an
        empty version.
    name_of
        Place of each event's name among them.
    times_ms, offsets, kafka_ms
        One entry per event; Kafka's timestamp is -1 where unknown.
    letters
        Dead letters in the order of the log, of one record at most `LETTERS_OF_RECORD`.
    refused
        Everything that was refused, by reason.
    n_records, n_bytes
        How many of the records were taken, and their size.
    """

    parts: list[Rows] = field(default_factory=list)
    names: list[Name] = field(default_factory=list)
    name_of: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    times_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    offsets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    kafka_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    letters: list[Letter] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    n_records: int = 0
    n_bytes: int = 0

    def __len__(self) -> int:
        return len(self.name_of)

    def rows(self, places: NDArray[np.intp]) -> list[Rows]:
        """The events at these places, which ascend."""
        found: list[Rows] = []
        start = 0
        for part in self.parts:
            stop = start + len(part)
            first, last = np.searchsorted(places, (start, stop))
            if last > first:
                found.append(part.take(places[first:last] - start))
            start = stop
        return joined(found)


def admit(records: Sequence[Record], rules: Rules, layouts: Layouts = NO_LAYOUTS) -> Admitted:
    """Decode the records and tell what may be counted from dead letters.

    The layouts make it faster and change nothing.

    It stops after the record with which it holds as much as is counted together
    (`EVENTS_AT_ONCE`, `BYTES_AT_ONCE`): `Admitted.n_records` says how far it came.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> record = SimpleNamespace(offset=7, timestamp=-1, value=b"x", headers=())
    >>> admit([record], Rules()).letters[0].reason
    'bad_json'
    """
    reading = _Reading(rules, layouts)
    at = 0
    while at < len(records) and not reading.is_full:
        at += reading.take(records[at : at + min(SLICE, EVENTS_AT_ONCE - reading.n_events)])
    refused = reading.refused
    kept = [_kept(read, refused) for read in reading.ended()]
    admitted = _together([read for read in kept if len(read.rows)])
    admitted.letters, admitted.refused = refused.letters(), refused.by_reason
    admitted.n_records, admitted.n_bytes = at, reading.n_bytes
    return admitted


def is_arrow(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Return whether a record's headers call it an Arrow IPC stream; the last one counts.

    Examples
    --------
    >>> is_arrow([("content-type", b"application/vnd.apache.arrow.stream")]), is_arrow([])
    (True, False)
    """
    said = b""
    for name, value in headers:
        if name.lower() == "content-type":
            said = value or b""
    return said.partition(b";")[0].strip().lower() == _ARROW


@dataclass(frozen=True)
class _Read:
    """Events of one form before they are admitted, and where each came from."""

    rows: Rows
    names: Sequence[RawName]
    name_of: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    offsets: NDArray[np.int64]
    kafka_ms: NDArray[np.int64]
    origin: Callable[[int], Record]
    # Number and content of the row or line at a place, for a letter.
    line: Callable[[int], tuple[int, Content]]
    # Which rows are no events, and what is wrong with each.
    is_faulty: NDArray[np.bool_]
    fault: Callable[[int], DataError]

    @classmethod
    def of_arrow(cls, record: Record, batch: arrow_rows.ArrowEvents) -> _Read:
        """The rows of a record batch."""
        n = len(batch.rows)
        return cls(
            batch.rows,
            batch.names,
            batch.name_of,
            batch.times_ms,
            np.full(n, record.offset, np.int64),
            np.full(n, record.timestamp, np.int64),
            lambda _: record,
            lambda place: (batch.number(place), lambda: batch.shown(place)),
            batch.faults > 0,
            batch.fault,
        )


class _Objects:
    """Events of JSON that follow each other in the log."""

    def __init__(self, layouts: Layouts) -> None:
        self.layouts = layouts
        # `Event`, or the struct of a layout.
        self.events: list[Any] = []
        self.origins: list[Record] = []
        # Place of an event -> its line, where it was one of many.
        self._lines: dict[int, tuple[int, bytes]] = {}

    def add(self, record: Record, event: Any, number: int = 0, line: bytes = b"") -> None:
        if number:
            self._lines[len(self.origins)] = number, line
        self.events.append(event)
        self.origins.append(record)

    def extend(self, other: _Objects) -> None:
        """Take in what follows."""
        n = len(self.origins)
        self._lines |= {n + place: line for place, line in other._lines.items()}
        self.events += other.events
        self.origins += other.origins

    def taken(self) -> list[_Read]:
        """What was added since the last time."""
        if not self.events:
            return []
        events, origins, lines = self.events, self.origins, self._lines
        self.events, self.origins, self._lines = [], [], {}

        def line(place: int) -> tuple[int, bytes]:
            return lines.get(place, (0, origins[place].value or b""))

        rows = self._rows(events)
        if isinstance(rows, LaidOutRows):
            # The struct itself says the model and the type.
            versions, name_of = _coded([event.version for event in events])
            names = [(events[0].model, version, events[0].type) for version in versions]
        else:
            names, name_of = _coded(list(map(_RAW_NAME, events)))
        return [
            _Read(
                rows,
                names,
                name_of,
                times_ms(events),
                np.array(list(map(_OFFSET, origins)), np.int64),
                np.array(list(map(_TIMESTAMP, origins)), np.int64),
                origins.__getitem__,
                line,
                np.zeros(len(events), np.bool_),
                _no_fault,
            )
        ]

    def _rows(self, events: list[Any]) -> Rows:
        if len(set(map(type, events))) == 1:
            return self._of_one_kind(type(events[0]), events)
        kinds, part_of = _coded(list(map(type, events)))
        place_of = np.empty(len(events), np.intp)
        parts = []
        for part, kind in enumerate(kinds):
            places = np.flatnonzero(part_of == part)
            place_of[places] = np.arange(len(places))
            parts.append(self._of_one_kind(kind, [events[i] for i in places.tolist()]))
        return MixedRows(parts, part_of, place_of)

    def _of_one_kind(self, kind: type, events: list[Any]) -> Rows:
        layout = self.layouts.layout_of(kind)
        return EventRows(events) if layout is None else layout.rows(events)


class _Reading:
    """Records as they are decoded, some at a time."""

    def __init__(self, rules: Rules, layouts: Layouts) -> None:
        self._rules, self._layouts = rules, layouts
        self.refused = _Refused(rules)
        self.n_events = self.n_bytes = 0
        self._n_unpacked = 0
        self._reads: list[_Read] = []
        self._objects = _Objects(layouts)

    @property
    def is_full(self) -> bool:
        """Whether as much is held as is counted together."""
        return self.n_events >= EVENTS_AT_ONCE or self.n_bytes + self._n_unpacked >= BYTES_AT_ONCE

    def ended(self) -> list[_Read]:
        """All that was read, in the order of the log."""
        return self._reads + self._objects.taken()

    def take(self, records: Sequence[Record]) -> int:
        """Read until it is full; return how many were read."""
        values = self._values(records)
        if values is None:
            for n, record in enumerate(records, 1):
                self._read(record, self._objects)
                if self.is_full:
                    return n
            return len(records)
        found, rest = _Objects(self._layouts), iter(values)
        n = misfits = 0
        while n < len(records) and not self.is_full:
            if misfits <= MISFITS:
                self._layouts.read_on(rest, found.events)
                usual = records[n : n + len(found.events) - len(found.origins)]
                found.origins += usual
                self.n_events += len(usual)
                self.n_bytes += sum(map(len, values[n : n + len(usual)]))
                n += len(usual)
            if n < len(records):
                misfits += 1
                self._read(records[n], found)
                n += 1
        if misfits:
            # Of each kind there may be few: kinds are made columns together.
            self._objects.extend(found)
        else:
            self._reads += self._objects.taken() + found.taken()
        return n

    def _values(self, records: Sequence[Record]) -> list[bytes] | None:
        """What may be as usual of each; None where it takes a look at each by itself."""
        if any(map(_HEADERS, records)) and any(map(is_arrow, map(_HEADERS, records))):
            return None
        values = [record.value or b"" for record in records]
        most = self._rules.max_record_bytes
        if max(map(len, values)) > most:
            values = [value if len(value) <= most else b"" for value in values]
        room = BYTES_AT_ONCE - self.n_bytes - self._n_unpacked
        return values if sum(map(len, values)) < room else None

    def _read(self, record: Record, objects: _Objects) -> None:
        """Read one by itself."""
        value = record.value or b""
        self.n_bytes += len(value)
        if record.headers and is_arrow(record.headers):
            self._reads += objects.taken()
            try:
                batches = arrow_rows.decode(value, self._rules.max_record_bytes)
            except DataError as error:
                self.refused.add(record, error, 0, value)
                return
            self._reads += [_Read.of_arrow(record, batch) for batch in batches]
            self.n_events += sum(len(batch.rows) for batch in batches)
            self._n_unpacked += sum(batch.n_bytes for batch in batches) - len(value)
            return
        event = None
        if len(value) <= self._rules.max_record_bytes:
            event = self._layouts.read(value)
        if event is not None:
            objects.add(record, event)
            self.n_events += 1
        else:
            self.n_events += _read_json(record, value, self._rules, objects, self.refused)


_T = TypeVar("_T")
_RAW_NAME: Final = attrgetter("model", "version", "type")
_OFFSET: Final = attrgetter("offset")
_TIMESTAMP: Final = attrgetter("timestamp")
_HEADERS: Final = attrgetter("headers")


def _coded(values: list[_T]) -> tuple[list[_T], NDArray[np.int64]]:
    """The distinct values, and which of them each is."""
    place_of = {value: place for place, value in enumerate(dict.fromkeys(values))}
    if len(place_of) == 1:
        return list(place_of), np.zeros(len(values), np.int64)
    return list(place_of), np.fromiter(map(place_of.__getitem__, values), np.int64, len(values))


def _no_fault(place: int) -> DataError:
    raise AssertionError(f"event {place} has no fault of its own")


def _read_json(
    record: Record, value: bytes, rules: Rules, objects: _Objects, refused: _Refused
) -> int:
    """Add the events of a record that is not as usual to the others; return how many."""
    try:
        objects.add(record, _decoded(value, rules, objects.layouts))
    except DataError as error:
        lines, whole = None, error
        if error.reason in ("bad_json", "too_deep") and b"\n" in value:
            try:
                lines = decode_lines(value)
            except DataError as too_many:
                whole = too_many
        if lines is None:
            refused.add(record, whole, 0, value)
            return 0
    else:
        return 1
    n_events = 0
    for number, line in lines:
        try:
            event = objects.layouts.read(line) if len(line) <= rules.max_record_bytes else None
            if event is None:
                event = _decoded(line, rules, objects.layouts)
            objects.add(record, event, number, line)
            n_events += 1
        except DataError as fault:
            refused.add(record, fault, number, line)
    return n_events


def _decoded(value: bytes, rules: Rules, layouts: Layouts) -> Event:
    """The one event; its model's layout may be learned from it."""
    event = decode(value, rules.max_record_bytes)
    layouts.learn(value, event)
    return event


def _kept(read: _Read, refused: _Refused) -> _Read:
    """What may be counted of it; names are the texts that they are counted under."""
    stamps = read.kafka_ms
    names, bad_names = _names(read.names)
    kept = replace(read, names=names)
    if not bad_names and _is_usual(read):
        return kept
    out_of_range = (read.times_ms < MIN_TIME_MS) | (read.times_ms >= MAX_TIME_MS)
    in_future = (stamps >= 0) & (read.times_ms > stamps + FUTURE_TOLERANCE_MS)
    is_bad = read.is_faulty | out_of_range | in_future
    if bad_names:
        is_bad |= np.isin(read.name_of, list(bad_names))
    if not is_bad.any():
        return kept
    refused.begin()
    for i in np.flatnonzero(is_bad).tolist():
        if read.is_faulty[i]:
            refusal = read.fault(i)
        elif read.name_of[i] in bad_names:
            refusal = bad_names[int(read.name_of[i])]
        else:
            reason = "time_out_of_range" if out_of_range[i] else "time_in_future"
            refusal = DataError(reason, f"{read.times_ms[i]} in a record of {stamps[i]} ms")
        refused.add(read.origin(i), refusal, *read.line(i))
    places = np.flatnonzero(~is_bad)
    return replace(
        kept,
        rows=read.rows.take(places),
        name_of=read.name_of[places],
        times_ms=read.times_ms[places],
        offsets=read.offsets[places],
        kafka_ms=stamps[places],
    )


def _is_usual(read: _Read) -> bool:
    """Whether all of it may be counted, as far as that shows without a look at each."""
    first, last = read.times_ms.min(), read.times_ms.max()
    stamp = read.kafka_ms.min()
    if first < MIN_TIME_MS or last >= MAX_TIME_MS or read.is_faulty.any():
        return False
    if stamp < 0:
        return bool(read.kafka_ms.max() < 0)
    return bool(last <= stamp + FUTURE_TOLERANCE_MS)


def _together(reads: Sequence[_Read]) -> Admitted:
    """One after another."""
    if not reads:
        return Admitted()
    place_of: dict[Name, int] = {}
    name_of = []
    for read in reads:
        places = [place_of.setdefault(cast(Name, name), len(place_of)) for name in read.names]
        same = places == list(range(len(places)))
        name_of.append(read.name_of if same else np.array(places, np.int64)[read.name_of])
    return Admitted(
        parts=[read.rows for read in reads],
        names=list(place_of),
        name_of=np.concatenate(name_of),
        times_ms=np.concatenate([read.times_ms for read in reads]),
        offsets=np.concatenate([read.offsets for read in reads]),
        kafka_ms=np.concatenate([read.kafka_ms for read in reads]),
    )


class _Refused:
    """What was refused: all of it counted, and of each record the first letters."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._letters: list[Letter] = []
        self._of_record: Counter[int] = Counter()
        self.by_reason: Counter[str] = Counter()

    def begin(self) -> None:
        """Begin another pass over records, which are seen in order in each."""
        self._of_record.clear()

    def add(self, record: Record, fault: DataError, number: int, content: Content) -> None:
        """Refuse a record (number 0), or one line or row of it."""
        self.by_reason[fault.reason] += 1
        self._of_record[record.offset] += 1
        if self._of_record[record.offset] <= LETTERS_OF_RECORD:
            value = content if isinstance(content, bytes) else content()
            self._letters.append(dead_letter(record, number, value, fault, self._rules))

    def letters(self) -> list[Letter]:
        """The letters in the order of the log; every pass holds the first of its record."""
        self._letters.sort(key=lambda letter: (letter.offset, letter.line))
        of_record: Counter[int] = Counter()
        kept = []
        for letter in self._letters:
            of_record[letter.offset] += 1
            if of_record[letter.offset] <= LETTERS_OF_RECORD:
                kept.append(letter)
        return kept


def _names(raw: Sequence[RawName]) -> tuple[list[Name], dict[int, DataError]]:
    """What events are counted under, and the places of what is no name of a model or a version."""
    names: list[Name] = []
    bad: dict[int, DataError] = {}
    for place, (model, version, kind) in enumerate(raw):
        text = str(version) if _is_printable(version) else ""
        names.append((model, text, kind))
        if not is_name(model):
            reason = "model_invalid" if model else "model_missing"
            bad[place] = DataError(reason, f"{len(model)} characters")
        elif version != "" and not is_name(text):
            bad[place] = DataError("version_invalid", "no name")
    return names, bad


def _is_printable(version: str | int) -> bool:
    """Text, or an integer that Python agrees to print."""
    return isinstance(version, str) or abs(version) < 10**38


def dead_letter(record: Record, line: int, value: bytes, fault: DataError, rules: Rules) -> Letter:
    """Return what is kept of a record, or of one line of it, that cannot be counted."""
    form = ("row" if line else "arrow") if is_arrow(record.headers) else "json"
    return Letter(
        offset=record.offset,
        line=line,
        reason=fault.reason,
        detail=_escaped(fault.detail),
        size_bytes=len(value),
        payload=value[:KEPT_BYTES] if rules.keep_payload else None,
        payload_sha256=hashlib.sha256(value).hexdigest(),
        kafka_ms=record.timestamp if record.timestamp >= 0 else None,
        form=form,
    )


def _escaped(detail: str) -> str:
    """A detail may quote the record: only printable ASCII of it is kept."""
    return (
        detail.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROL)[:KEPT_DETAIL]
    )


_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
