"""What one owned partition holds in memory between two checkpoints.

Everything in here can be thrown away at any time: it is in Kafka still, and the
position in the database says from where to read it again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from consumers.admit import Admitted, Rules, admit, dead_letter
from consumers.count import count, counted_under
from consumers.source import Record, Unread
from consumers.watermark import Progress, advance
from driftline.errors import DataError, DriftlineError, StreamError
from monitor.storage.checkpoint import Claim, Look, Move
from monitor.storage.delta import MAX_LETTERS, CounterKey, Delta, Letter, Seen, UnseenKey
from monitor.storage.registry import Registry

log = logging.getLogger(__name__)

# So many records are taken before it is asked what they weigh: with a hundred features, and each
# of another hour, 100 MB.
PART_RECORDS: Final = 500
# What a dead letter weighs beside its payload, and a name nobody registered in all the places
# where it stands until it is written; short ones, measured.
LETTER_BYTES: Final = 800
STRANGER_BYTES: Final = 2_500
# What packed counts of a pane weigh beside their bytes: its key, and places in two tables.
PACKED_PANE_BYTES: Final = 400
# Values the references never saw: each piece that is counted adds the 20 most frequent of each
# feature, and of an id that was taken for a category all are new. Of so many held, the most
# frequent of each feature are kept; 20 are stored.
UNSEEN_HELD: Final = 10_000
UNSEEN_KEPT: Final = 100


class Ledger:
    """A claimed partition: where it stands in SQL, where it is read to, and what that adds.

    Parameters
    ----------
    claim
        The partition's claim; `claim.next_offset` is the base of everything held.
    registry
        What records are admitted with.
    counting
        What they add; a replay counts a part of them.

    Attributes
    ----------
    position : int
        Next offset to read; what lies between the claim's and this one is held.
    rows, n_bytes : int
        Events and bytes held.
    caught_up_since_s : float or None
        Monotonic time since when position and end have been the same.
    """

    def __init__(
        self,
        claim: Claim,
        registry: Registry,
        rules: Rules,
        counting: Callable[[Admitted, Registry], Delta] = count,
    ) -> None:
        self._counting = counting
        self.claim = claim
        self.registry = registry
        self._rules = rules
        self.caught_up_since_s: float | None = None
        self._caught_up_at = -1
        self._reset()

    def _reset(self) -> None:
        self.position = self.claim.next_offset
        self.rows = self.n_bytes = 0
        self._letters_bytes = self._packed_bytes = 0
        self._delta = Delta()
        self._progress = Progress.restore(self.claim.max_event_time_ms, self.claim.pending_advance)
        self._last_counted_kafka_ms: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is held and the position has not moved."""
        return self.position == self.claim.next_offset

    def take(
        self,
        records: Sequence[Record],
        position: int,
        room: Callable[[], int] | None = None,
    ) -> int:
        """Admit and count the records, and return how many; all of them where there is room.

        A record on which our own code fails becomes a dead letter, so that it cannot stop
        the partition for ever; a database that is away is no such failure and is raised.

        Parameters
        ----------
        position
            Where reading goes on after all of them.
        room
            Says after each piece of them how many bytes may still be held; 0 = it ends there.

        Raises
        ------
        StreamError
            When the records are not what comes next: taking them would count some twice.
        """
        if records and (records[0].offset < self.position or position <= records[-1].offset):
            raise StreamError(
                f"records {records[0].offset} to {records[-1].offset} came at position "
                f"{self.position}, and reading goes on at {position}"
            )
        has_unread = Unread in set(map(type, records))
        n = 0
        while n < len(records):
            if n and room is not None and room() <= 0:
                return n
            rest = _up_to_unread(records[n:]) if has_unread else records[n:]
            n += self._take_piece(rest)
        self.position = position
        return n

    def _take_piece(self, rest: Sequence[Record]) -> int:
        """Take as many as are counted together; return how many."""
        first = rest[0]
        if isinstance(first, Unread):
            self._hold(*_unread(first, self._rules))
            self.position = first.offset + 1
            return 1
        try:
            admitted = admit(rest, self._rules, self.registry.layouts)
            delta = self._counting(admitted, self.registry)
        except Exception as error:
            if isinstance(error, DriftlineError) and not isinstance(error, DataError):
                raise
            if len(rest) > 1:
                return sum(self._take_piece([record]) for record in rest)
            log.exception("record %d cannot be counted", first.offset)
            admitted, delta = _broken(first, error, self._rules)
        self._hold(admitted, delta)
        self.position = rest[admitted.n_records - 1].offset + 1
        return admitted.n_records

    def take_what_fits(
        self,
        records: Sequence[Record],
        position: Callable[[], int],
        room: Callable[[], int],
    ) -> Sequence[Record]:
        """Take records until there is no more room, and return those that were taken.

        One poll may hold thousands of hours, of which each opens a pane: what the first part
        weighed says how many more there is room for.

        Parameters
        ----------
        position
            Says where reading goes on after all of them.
        room
            Says how many bytes may still be held; 0 = none.
        """
        n, size = 0, PART_RECORDS
        while n < len(records):
            part = records[n : n + size]
            before = self.weight_bytes
            is_last = n + len(part) == len(records)
            n += self.take(part, position() if is_last else part[-1].offset + 1, room)
            left = room()
            if left <= 0:
                break
            grown = max(1, self.weight_bytes - before)
            size = max(PART_RECORDS, len(part) * left // grown)
        return records[:n]

    def _hold(self, admitted: Admitted, delta: Delta) -> None:
        """Add what was admitted and counted to what is held."""
        self._progress, late = advance(self._progress, admitted.times_ms)
        for code in admitted.name_of[late].tolist():
            name = counted_under(admitted.names[code], self.registry)
            delta.counters[CounterKey(*name, "late")] += 1
        if len(admitted.kafka_ms):
            newest = int(admitted.kafka_ms.max())
            if newest >= 0:
                self._last_counted_kafka_ms = max(newest, self._last_counted_kafka_ms or 0)
        # What lies beyond the cap is counted and never stored: it need not be held either.
        room = max(0, MAX_LETTERS - self.claim.letters - len(self._delta.letters))
        del delta.letters[room:]
        self._letters_bytes += sum(LETTER_BYTES + len(x.payload or b"") for x in delta.letters)
        self._packed_bytes += sum(
            PACKED_PANE_BYTES + sum(map(len, bodies)) for bodies in delta.packed.values()
        )
        self._delta.add(delta)
        if len(self._delta.unseen) > UNSEEN_HELD:
            self._delta.unseen = _most_frequent(self._delta.unseen)
        self.rows += len(admitted)
        self.n_bytes += admitted.n_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes held, roughly: records as a bound for names, dead letters, and the counts."""
        grids = self._delta.gridsets
        # Counts, and as much again where there are sums: of a segment there are none.
        panes = self._packed_bytes + sum(
            (8 if profile.sums is None else 16) * grids[key.gridset].size
            for key, profile in self._delta.panes.items()
        )
        strangers = STRANGER_BYTES * len(self._delta.strangers)
        return self.n_bytes // 8 + self._letters_bytes + strangers + panes

    def look(self, end_offset: int, fetched_ms: int, now_s: float) -> Look:
        """Note a look at the log's end that was taken after the last record was read.

        The embedded broker reports an end that lags within its last batch: what was read
        beyond it is the end.
        """
        if self.position < end_offset:
            self.caught_up_since_s = None
        elif self.caught_up_since_s is None or self._caught_up_at != self.position:
            self.caught_up_since_s, self._caught_up_at = now_s, self.position
        since = self.caught_up_since_s
        held_ms = 0 if since is None else int((now_s - since) * 1000)
        return Look(max(end_offset, self.position), fetched_ms, held_ms)

    def not_seen(self) -> None:
        """The end of the log could not be asked for: that is not idle."""
        self.caught_up_since_s = None

    def move(self, look: Look | None) -> Move:
        """Return what the checkpoint is to move."""
        return Move(
            new_offset=self.position,
            registry_revision=self.registry.revision,
            max_event_time_ms=self._progress.max_ms,
            pending_advance=self._progress.pending(),
            last_counted_kafka_ms=self._last_counted_kafka_ms,
            look=look,
        )

    @property
    def delta(self) -> Delta:
        """What is held."""
        return self._delta

    def committed(self, claim: Claim) -> None:
        """The checkpoint went through: go on from the claim as it stands now."""
        self.claim = claim
        self._reset()

    def rewind(self, registry: Registry) -> None:
        """Drop what is held, to read it again with another registry."""
        self.registry = registry
        self._reset()


def _broken(record: Record, error: Exception, rules: Rules) -> tuple[Admitted, Delta]:
    """The dead letter of a record on which our own code failed."""
    fault = DataError("internal_error", repr(error))
    letter = dead_letter(record, 0, record.value or b"", fault, rules)
    delta = Delta(letters=[letter])
    delta.counters[CounterKey("", "", "dead:internal_error")] += 1
    return Admitted(letters=[letter], n_records=1, n_bytes=letter.size_bytes), delta


def _up_to_unread(records: Sequence[Record]) -> Sequence[Record]:
    """What comes before the first record that stands for others, or that one alone."""
    place = next((i for i, x in enumerate(records) if isinstance(x, Unread)), len(records))
    return records[: max(1, place)]


def letter_of(record: Unread, rules: Rules) -> Letter:
    """Return the one dead letter of records that could not be taken out of their batch."""
    found = dead_letter(record, 0, b"", record.fault, rules)
    return replace(found, size_bytes=record.n_bytes, payload=None)


def _unread(record: Unread, rules: Rules) -> tuple[Admitted, Delta]:
    """All of them refused."""
    letter = letter_of(record, rules)
    delta = Delta(letters=[letter])
    delta.counters[CounterKey("", "", f"dead:{record.fault.reason}")] += record.n_records
    return Admitted(letters=[letter], n_records=1, n_bytes=record.n_bytes), delta


def _most_frequent(unseen: Mapping[UnseenKey, Seen]) -> dict[UnseenKey, Seen]:
    """The most frequent values of each feature, as they are stored by `monitor.storage.delta`."""
    kept: dict[UnseenKey, Seen] = {}
    of_feature: Counter[tuple[int, str, str]] = Counter()
    for key, seen in sorted(unseen.items(), key=lambda item: (-item[1].count, item[0])):
        of_feature[key[:3]] += 1
        if of_feature[key[:3]] <= UNSEEN_KEPT:
            kept[key] = seen
    return kept
