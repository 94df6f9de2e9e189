"""Records to admitted events: what may be counted, and why the rest may not.

Admission is a function of the record and the registry alone, never of the wall
clock, of other records or of how they were batched: a replay admits the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from consumers.source import Record
from driftline.errors import DataError
from driftline.events import FUTURE_TOLERANCE_MS, MAX_TIME_MS, MIN_TIME_MS, Event
from driftline.wire import MAX_RECORD_BYTES, decode, decode_lines, is_name, times_ms
from monitor.storage.delta import Letter

# A dead letter keeps this much of its record: enough to see what it was.
KEPT_BYTES: Final = 2_048
# Of a record of many bad lines so many become letters; the others are counted only.
LETTERS_OF_RECORD: Final = 100
KEPT_DETAIL: Final = 300


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
    keys
        Model, version and type of each event; a label may have an empty version.
    times_ms, offsets, kafka_ms
        One entry per event; Kafka's timestamp is -1 where unknown.
    letters
        Dead letters in the order of the log, of one record at most `LETTERS_OF_RECORD`.
    refused
        Everything that was refused, by reason.
    n_bytes
        Size of all records.
    """

    events: list[Event] = field(default_factory=list)
    keys: list[tuple[str, str, str]] = field(default_factory=list)
    times_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    offsets: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    kafka_ms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    letters: list[Letter] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    n_bytes: int = 0


def admit(records: Sequence[Record], rules: Rules) -> Admitted:
    """Decode the records and tell what may be counted from dead letters.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> admit([SimpleNamespace(offset=7, timestamp=-1, value=b"x")], Rules()).letters[0].reason
    'bad_json'
    """
    events: list[Event] = []
    origins: list[Record] = []
    lines_of: dict[int, tuple[int, bytes]] = {}  # place of an event -> its line, where one of many
    refused = _Refused(rules)
    for record in records:
        value = record.value or b""
        try:
            events.append(decode(value, rules.max_record_bytes))
            origins.append(record)
        except DataError as error:
            lines = None
            if error.reason in ("bad_json", "too_deep") and b"\n" in value:
                lines = decode_lines(value)
            if lines is None:
                refused.add(record, 0, value, error)
                continue
            for number, line in lines:
                try:
                    events.append(decode(line, rules.max_record_bytes))
                except DataError as fault:
                    refused.add(record, number, line, fault)
                else:
                    lines_of[len(origins)] = (number, line)
                    origins.append(record)

    times = times_ms(events)
    offsets = np.fromiter((record.offset for record in origins), np.int64, len(origins))
    stamps = np.fromiter((record.timestamp for record in origins), np.int64, len(origins))
    keys, bad_names = _keys(events)
    out_of_range = (times < MIN_TIME_MS) | (times >= MAX_TIME_MS)
    in_future = (stamps >= 0) & (times > stamps + FUTURE_TOLERANCE_MS)
    bad_times = out_of_range | in_future
    if bad_names or bad_times.any():
        refused.begin()
        kept = []
        for i, record in enumerate(origins):
            refusal = bad_names.get((events[i].model, events[i].version))
            if refusal is None and bad_times[i]:
                reason = "time_out_of_range" if out_of_range[i] else "time_in_future"
                refusal = DataError(reason, f"{events[i].time} in a record of {stamps[i]} ms")
            if refusal is None:
                kept.append(i)
            else:
                number, value = lines_of.get(i, (0, record.value or b""))
                refused.add(record, number, value, refusal)
        events = [events[i] for i in kept]
        keys = [keys[i] for i in kept]
        times, offsets, stamps = times[kept], offsets[kept], stamps[kept]
    n_bytes = sum(len(record.value or b"") for record in records)
    return Admitted(
        events, keys, times, offsets, stamps, refused.letters(), refused.by_reason, n_bytes
    )


class _Refused:
    """What was refused: all of it counted, and of each record the first letters."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._letters: list[Letter] = []
        self._of_record: Counter[int] = Counter()
        self.by_reason: Counter[str] = Counter()

    def begin(self) -> None:
        """Begin another pass over the records, which are seen in order in each."""
        self._of_record.clear()

    def add(self, record: Record, line: int, value: bytes, fault: DataError) -> None:
        self.by_reason[fault.reason] += 1
        self._of_record[record.offset] += 1
        if self._of_record[record.offset] <= LETTERS_OF_RECORD:
            self._letters.append(dead_letter(record, line, value, fault, self._rules))

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


def _keys(
    events: Sequence[Event],
) -> tuple[list[tuple[str, str, str]], dict[tuple[str, str | int], DataError]]:
    """What each event is counted under, and which models and versions are no names."""
    raw = [(e.model, e.version, e.type) for e in events]
    bad: dict[tuple[str, str | int], DataError] = {}
    text_of: dict[tuple[str, str | int, str], tuple[str, str, str]] = {}
    for model, version, kind in set(raw):
        text = str(version) if _is_printable(version) else ""
        if not isinstance(version, str):
            text_of[model, version, kind] = (model, text, kind)
        if not is_name(model):
            reason = "model_invalid" if model else "model_missing"
            bad[model, version] = DataError(reason, f"{len(model)} characters")
        elif version != "" and not is_name(text):
            bad[model, version] = DataError("version_invalid", "no name")
    if text_of:
        return [text_of.get(key) or cast("tuple[str, str, str]", key) for key in raw], bad
    return cast("list[tuple[str, str, str]]", raw), bad


def _is_printable(version: str | int) -> bool:
    """Text, or an integer that Python agrees to print."""
    return isinstance(version, str) or abs(version) < 10**38


def dead_letter(record: Record, line: int, value: bytes, fault: DataError, rules: Rules) -> Letter:
    """Return what is kept of a record, or of one line of it, that cannot be counted."""
    return Letter(
        offset=record.offset,
        line=line,
        reason=fault.reason,
        detail=_escaped(fault.detail),
        size_bytes=len(value),
        payload=value[:KEPT_BYTES] if rules.keep_payload else None,
        payload_sha256=hashlib.sha256(value).hexdigest(),
        kafka_ms=record.timestamp if record.timestamp >= 0 else None,
    )


def _escaped(detail: str) -> str:
    """A detail may quote the record: only printable ASCII of it is kept."""
    return (
        detail.encode("ascii", "backslashreplace").decode("ascii").translate(_CONTROL)[:KEPT_DETAIL]
    )


_CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127)}
