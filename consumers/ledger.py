"""What one owned partition holds in memory between two checkpoints.

Everything in here can be thrown away at any time: it is in Kafka still, and the
position in the database says from where to read it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from consumers.admit import Admitted, Rules, admit, dead_letter
from consumers.count import count, counted_under
from consumers.source import Record
from consumers.watermark import Progress, advance
from driftline.errors import DataError, DriftlineError, StreamError
from monitor.storage.checkpoint import Claim, Look, Move
from monitor.storage.delta import MAX_LETTERS, CounterKey, Delta
from monitor.storage.registry import Registry

log = logging.getLogger(__name__)

# So many records are taken before it is asked what they weigh: with a hundred features, and each
# of another hour, 100 MB.
PART_RECORDS: Final = 500


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
        self._delta = Delta()
        self._progress = Progress.restore(self.claim.max_event_time_ms, self.claim.pending_advance)
        self._last_counted_kafka_ms: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is held and the position has not moved."""
        return self.position == self.claim.next_offset

    def take(self, records: Sequence[Record], position: int) -> None:
        """Admit and count the records; `position` is where reading goes on after them.

        A record on which our own code fails becomes a dead letter, so that it cannot stop
        the partition for ever; a database that is away is no such failure and is raised.

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
        rest = records
        while rest:
            try:
                admitted = admit(rest, self._rules, self.registry.layouts)
                delta = self._counting(admitted, self.registry)
            except Exception as error:
                if isinstance(error, DriftlineError) and not isinstance(error, DataError):
                    raise
                if len(rest) > 1:
                    for record in rest:
                        self.take([record], record.offset + 1)
                    break
                log.exception("record %d cannot be counted", rest[0].offset)
                admitted, delta = _broken(rest[0], error, self._rules)
            self._hold(admitted, delta)
            self.position = rest[admitted.n_records - 1].offset + 1
            rest = rest[admitted.n_records :]
        self.position = position

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
            n += len(part)
            before = self.weight_bytes
            self.take(part, position() if n == len(records) else part[-1].offset + 1)
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
        self._delta.add(delta)
        # What lies beyond the cap is counted and never stored: it need not be held either.
        room = max(0, MAX_LETTERS - self.claim.letters)
        del self._delta.letters[room:]
        self.rows += len(admitted)
        self.n_bytes += admitted.n_bytes

    @property
    def weight_bytes(self) -> int:
        """Bytes held, roughly: records as a bound for letters and names, and the counts."""
        grids = self._delta.gridsets
        # Counts, and sums for one segment in a few; twice the counts is the bound.
        panes = sum(16 * grids[key.gridset].size for key in self._delta.panes)
        return self.n_bytes // 8 + panes

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
