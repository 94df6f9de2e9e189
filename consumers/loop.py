"""The loop that owns partitions: claim, read, checkpoint, and let go.

Its laws (numbers as in the design's "Counting once"):

1. What the group does to this member is noted elsewhere and handled here, between polls.
2. A partition is claimed in SQL before any of its records is taken; then seek, then resume.
3. After a poll that raised, every owned partition is put back to its own next offset.
4. A checkpoint is one transaction a partition; `monitor.storage.checkpoint` holds its rules.
5. Fenced: drop, poll once, and claim again only when still assigned, after a random wait.
6. A commit of unknown outcome is no special case: drop, claim, seek.
7. Revoked: checkpoint soon, or drop. Lost: drop.
8. Afterwards Kafka is told the offsets, for lag tools only.

Nothing here sleeps: the wait is in the poll, so membership is kept whatever is down.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules
from consumers.breaker import Breaker, held
from consumers.gaps import UNKNOWN, lost
from consumers.ledger import Ledger
from consumers.meter import NOBODY, Meter, Result, Standing
from consumers.opening import open_topic
from consumers.outages import Outages
from consumers.owned import Owned, Partitions
from consumers.settings import IngestSettings
from consumers.source import Identity, LogTruncated, Record, Source
from driftline.errors import (
    BrokerUnavailable,
    Fenced,
    OffsetOutOfRange,
    StorageUnavailable,
    StreamError,
)
from monitor.clock import Clock, SystemClock
from monitor.storage import checkpoint, registry
from monitor.storage.checkpoint import Look, RegistryMoved, Stream
from monitor.storage.engine import transaction

log = logging.getLogger(__name__)

# Short enough to stop soon, long enough to cost nothing.
POLL_S: Final = 0.25
# Claiming at once after a fence lets two owners take a partition from each other for ever.
FENCED_WAIT_S: Final = 3.0
# The first records after a quiet interval are written so soon: somebody is waiting for them.
FIRST_S: Final = 2.0
# Between two attempts at a database or broker that does not answer.
RETRY_S: Final = 1.0


class Loop:
    """Reads one topic into one database, as one member of the group.

    Parameters
    ----------
    db
        Engine of a database at this release's schema.
    source
        The broker's side.
    uniform
        ``random.uniform``, injected so that tests do not wait.
    meter
        Who measures it.
    """

    def __init__(
        self,
        db: Engine,
        source: Source,
        settings: IngestSettings,
        clock: Clock | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
        meter: Meter = NOBODY,
    ) -> None:
        self._db, self._source, self._settings = db, source, settings
        self._clock: Clock = clock or SystemClock()
        self._uniform = uniform
        self._rules = Rules(settings.max_record_bytes, settings.keep_payload)
        self._breaker = Breaker(
            is_on=settings.breaker, ratio=settings.breaker_ratio, events=settings.breaker_events
        )
        self._owner = settings.owner or (
            f"{socket.gethostname()[:100]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        )
        self._identity: Identity | None = None
        self._stream: Stream | None = None
        self._registry: registry.Registry | None = None
        self._owned = Partitions()
        # Refused and not told yet: the next claim tells it, though the group takes most of them
        # away in between.
        self._fenced_of: set[int] = set()
        self._checkpoint_at_s = self._clock.monotonic_s() + settings.checkpoint_interval_s
        self._was_quiet = True
        self._broker_at_s = self._storage_at_s = 0.0
        self._meter = meter
        self._outages = Outages(meter)
        self._is_pressed = False
        # Events and bytes held, as they were added up last.
        self._held = (0, 0)
        # Polled and not taken yet; a seek makes what is in hand of its partition void.
        self._in_hand: dict[int, Sequence[Record]] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then checkpoint what is held and leave the group."""
        try:
            while not stop.is_set():
                self.step()
            self._checkpoint_round()
        finally:
            self._source.close()

    def step(self) -> None:
        """Poll once, do what is due, and tell how it stands."""
        self._turn()
        n_claimed = len(self._owned.ledgers())
        self._meter.stepped(
            Standing(
                self._stream is not None, len(self._owned), n_claimed, *self._held, self._is_pressed
            )
        )

    def _turn(self) -> None:
        if not self._is_open():
            # Nothing is subscribed yet, or the database is away: stay in the group if in it.
            self._poll()
            return
        self._poll()
        self._claim_due()
        self._hurry_after_quiet()
        if self._clock.monotonic_s() >= self._checkpoint_at_s or self._is_heavy():
            self._checkpoint_round()
            self._apply_pressure()

    # Opening: the topic's life, the stream's row, the registry.

    def _is_open(self) -> bool:
        if self._stream is not None:
            return True
        now = self._clock.monotonic_s()
        if now < max(self._broker_at_s, self._storage_at_s):
            return False
        try:
            found = open_topic(
                self._db, self._source, self._settings, self._breaker, self._registry,
                self._clock.now_ms(),
            )  # fmt: skip
        except BrokerUnavailable as error:
            self._broker_lost(error)
            return False
        except StorageUnavailable as error:
            self._outages.up("broker", "topic")
            self._storage_lost(error)
            return False
        if found is None:
            self._broker_at_s = now + RETRY_S
            self._outages.down("topic", f"topic {self._settings.topic} does not exist yet: waiting")
            return False
        self._outages.up("broker", "topic", "database")
        self._identity, self._stream, self._registry = found
        return True

    # Reading.

    def _poll(self) -> None:
        try:
            batches = self._source.poll(self._poll_s())
        except OffsetOutOfRange as error:
            self._meter.poll_failed(error)
            self._apply_changes()
            self._let_go(error.partition, "its position is not in the log")
            if error.partition in self._owned:
                self._owned[error.partition].is_out_of_range = True
            self._put_back()
            return
        except LogTruncated as error:
            self._meter.poll_failed(error)
            self._apply_changes()
            for partition, offset in error.divergent.items():
                self._let_go(partition, "the log was truncated")
                if partition in self._owned:
                    self._owned[partition].diverges_at = UNKNOWN if offset is None else offset
            self._put_back()
            return
        except StreamError as error:
            self._meter.poll_failed(error)
            self._outages.down("reading", str(error))
            self._apply_changes()
            self._put_back()
            return
        if batches:
            self._outages.up("reading")
        self._in_hand = dict(batches)
        self._apply_changes()
        for partition in batches:
            records = self._in_hand.pop(partition, ())
            ledger = self._owned.ledger(partition)
            if ledger is None or not records:
                continue
            try:
                before = held(ledger)
                taken = self._take(partition, ledger, records)
                self._breaker.look(taken, ledger, before)
                self._stop_flood(ledger, taken)
            except StorageUnavailable as error:  # a reference is read when it is first needed
                self._storage_lost(error)
                return
            except StreamError as error:
                self._let_go(partition, str(error))
                continue
            is_rest = len(taken) < len(records) or bool(self._in_hand)
            if is_rest and self._is_heavy():
                # Nothing is taken on top: the rest is read again after the checkpoint.
                self._in_hand = {}
                self._put_back()
                return
        self._follow_holes()

    def _take(self, partition: int, ledger: Ledger, records: Sequence[Record]) -> Sequence[Record]:
        """Take records until too much is held, and return those that were taken."""
        return ledger.take_what_fits(records, lambda: self._source.position(partition), self._room)

    def _room(self) -> int:
        """Bytes that may still be held; 0 where nothing more may."""
        return 0 if self._is_heavy() else max(1, self._settings.max_bytes - self._held[1])

    def _stop_flood(self, ledger: Ledger, records: Sequence[Record]) -> None:
        """End here, by `DeadLetterLimit`, when most cannot be read; nothing held is written."""
        assert self._stream is not None
        self._breaker.act(
            self._db, self._stream, ledger, records, self._rules, self._clock.now_ms(),
            list(self._owned),
        )  # fmt: skip

    def _poll_s(self) -> float:
        until = self._checkpoint_at_s - self._clock.monotonic_s()
        return min(POLL_S, max(0.0, until))

    def _follow_holes(self) -> None:
        """Transaction markers and compaction leave holes: the position passes them silently."""
        for partition, ledger in self._owned.ledgers().items():
            with contextlib.suppress(StreamError):
                ledger.position = max(ledger.position, self._source.position(partition))

    def _put_back(self) -> None:
        """A poll that raised may have moved positions past records it never returned."""
        for partition, ledger in self._owned.ledgers().items():
            self._seek(partition, ledger.position)

    def _seek(self, partition: int, offset: int) -> None:
        self._in_hand.pop(partition, None)
        self._source.seek(partition, offset)

    # The group.

    def _apply_changes(self) -> None:
        for change in self._source.changes():
            self._meter.rebalanced(change.kind)
            if change.kind == "assigned":
                for partition in change.partitions:
                    self._owned[partition] = Owned()
                continue
            held = [p for p in change.partitions if self._owned.ledger(p) is not None]
            in_time = self._clock.monotonic_s() - change.at_s < self._settings.session_ms / 3000
            if change.kind == "revoked" and in_time:
                self._checkpoint_round(held)
            for partition in change.partitions:
                self._owned.pop(partition, None)
            log.info("%s: partitions %s", change.kind, list(change.partitions))

    def _let_go(self, partition: int, why: str, wait_s: float = 0.0) -> None:
        """Drop what is held of a partition; it is claimed again when it is still ours."""
        owned = self._owned.get(partition)
        if owned is not None:
            log.info("partition %d is let go: %s", partition, why)
            self._source.pause([partition])
            self._owned[partition] = Owned(claim_at_s=self._clock.monotonic_s() + wait_s)

    def _let_all_go(self, why: str, wait_s: float = 0.0) -> None:
        for partition in list(self._owned):
            self._let_go(partition, why, wait_s)

    # Claiming.

    def _claim_due(self) -> None:
        now = self._clock.monotonic_s()
        due = self._owned.due(now)
        if not due or self._stream is None or now < max(self._broker_at_s, self._storage_at_s):
            return
        try:
            claims = [self._claim(partition) for partition in due]
            # After the claims: nobody but us can move these positions now.
            is_same = self._source.identity() == self._identity
            bounds = self._source.bounds()
            if not is_same or self._source.identity() != self._identity:
                self._topic_was_recreated()
                return
            self._outages.up("broker", "database")
            for claim in claims:
                if claim.partition not in bounds:
                    self._let_go(claim.partition, "the broker does not know it yet", RETRY_S)
                    continue
                self._begin(self._cross_gaps(claim, *bounds[claim.partition]))
        except BrokerUnavailable as error:
            self._broker_lost(error)
        except Fenced as error:
            self._fenced(error.partition)
        except StorageUnavailable as error:
            self._storage_lost(error)

    def _begin(self, claim: checkpoint.Claim) -> None:
        """Read a claimed partition from where SQL says."""
        assert self._registry is not None
        self._owned[claim.partition] = Owned(Ledger(claim, self._registry, self._rules))
        self._seek(claim.partition, claim.next_offset)
        if not self._is_pressed:
            self._source.resume([claim.partition])
        # A first look at the log's end: until then nobody knows how far behind it is.
        self._checkpoint_at_s = self._clock.monotonic_s()
        log.info("partition %d is claimed at offset %d", claim.partition, claim.next_offset)

    def _claim(self, partition: int) -> checkpoint.Claim:
        assert self._stream is not None
        with transaction(self._db) as conn:
            self._breaker.heed(conn, self._stream, self._clock.now_ms())
            claim = checkpoint.claim(
                conn,
                stream_id=self._stream.id,
                partition=partition,
                owner=self._owner,
                group_id=self._settings.group_id,
                was_fenced=partition in self._fenced_of,
            )
        self._fenced_of.discard(partition)
        return claim

    def _cross_gaps(self, claim: checkpoint.Claim, low: int, high: int) -> checkpoint.Claim:
        """Record what the log lost and move past it."""
        owned, partition = self._owned[claim.partition], claim.partition
        gap = lost(
            claim.next_offset, low, high,
            diverges_at=owned.diverges_at, is_out_of_range=owned.is_out_of_range,
        )  # fmt: skip
        if gap is None:
            return claim
        log.warning(
            "partition %d lost offsets %d to %d: %s", partition, gap.first, gap.last, gap.kind
        )
        with transaction(self._db) as conn:
            return checkpoint.skip_gap(
                conn, claim, gap.kind, gap.first, gap.last, self._clock.now_ms()
            )

    def _topic_was_recreated(self) -> None:
        log.warning("topic %s was made again: a new stream begins", self._settings.topic)
        self._let_all_go("the topic was made again")
        self._fenced_of.clear()
        self._stream = self._identity = None

    # Checkpoints.

    def _hurry_after_quiet(self) -> None:
        """Bring the next checkpoint forward when records come after an interval without any."""
        if self._was_quiet and not self._owned.is_clean:
            self._was_quiet = False
            soon_s = self._clock.monotonic_s() + min(FIRST_S, self._settings.checkpoint_interval_s)
            self._checkpoint_at_s = min(self._checkpoint_at_s, soon_s)

    def _is_heavy(self) -> bool:
        self._held = rows, n_bytes = self._owned.held()
        return rows >= self._settings.max_rows or n_bytes >= self._settings.max_bytes

    def _apply_pressure(self) -> None:
        """Read no further while what is held cannot be written."""
        is_heavy = self._is_heavy()
        claimed = list(self._owned.ledgers())
        if is_heavy and not self._is_pressed:
            log.warning("too much is held: reading pauses")
            self._source.pause(claimed)
        elif self._is_pressed and not is_heavy:
            self._source.resume(claimed)
        self._is_pressed = is_heavy

    def _checkpoint_round(self, only: Iterable[int] | None = None) -> None:
        """Checkpoint the claimed partitions, after a look at the log that proves whose it is."""
        now = self._clock.monotonic_s()
        if only is None:
            self._checkpoint_at_s = now + self._settings.checkpoint_interval_s
            self._was_quiet = self._owned.is_clean
        wanted = [p for p in self._owned.ledgers() if only is None or p in only]
        if not wanted or self._stream is None:
            return
        try:
            # The topic's id first: had it been made again, records of another life are held.
            if self._source.identity() != self._identity:
                self._topic_was_recreated()
                return
            bounds = self._source.bounds()
        except BrokerUnavailable as error:
            self._broker_lost(error)
            return
        self._outages.up("broker")
        for partition in wanted:
            ledger = self._owned.ledger(partition)
            if ledger is None or partition not in bounds:
                continue
            look = ledger.look(
                bounds[partition][1], self._clock.now_ms(), self._clock.monotonic_s()
            )
            if not self._checkpoint(partition, ledger, look):
                return
        self._source.commit(
            {p: led.claim.next_offset for p in wanted if (led := self._owned.ledger(p)) is not None}
        )

    def _checkpoint(self, partition: int, ledger: Ledger, look: Look) -> bool:
        """Write one partition; False when the database is away and the round must end."""
        began_s = self._clock.monotonic_s()
        result: Result = "watched" if ledger.is_clean else "committed"
        try:
            with transaction(self._db) as conn:
                if ledger.is_clean:
                    checkpoint.heartbeat(conn, ledger.claim, look)
                    moved = registry.revision(conn) != ledger.registry.revision
                    claim = ledger.claim
                else:
                    claim = self._commit(conn, ledger, look)
                    moved = False
        except Fenced:
            result = "fenced"
            self._fenced(partition)
        except RegistryMoved:
            result = "registry_moved"
            return self._reload_registry()
        except StorageUnavailable as error:
            result = "unavailable"
            self._storage_lost(error)
            return False
        else:
            ledger.committed(claim)
            self._outages.up("database")
            if moved:
                return self._reload_registry()
        finally:
            self._meter.checkpointed(result, self._clock.monotonic_s() - began_s)
        return True

    def _commit(self, conn: Connection, ledger: Ledger, look: Look) -> checkpoint.Claim:
        return checkpoint.commit(
            conn, ledger.claim, ledger.move(look), ledger.delta, self._clock.now_ms()
        )

    def _fenced(self, partition: int) -> None:
        wait_s = self._uniform(0.0, FENCED_WAIT_S)
        self._let_go(partition, f"another owner has claimed it; trying in {wait_s:.1f} s", wait_s)
        self._fenced_of.add(partition)

    def _reload_registry(self) -> bool:
        """Read the registry again, and with it everything that was admitted with the old one."""
        try:
            self._registry = registry.load(self._db, self._registry)
        except StorageUnavailable as error:
            self._storage_lost(error)
            return False
        for partition, ledger in self._owned.ledgers().items():
            if ledger.registry.revision != self._registry.revision:
                ledger.rewind(self._registry)
                self._seek(partition, ledger.position)
        log.info("the registry is at revision %d now", self._registry.revision)
        return True

    # What is down is said once, and once more when it is back.

    def _broker_lost(self, error: Exception) -> None:
        self._broker_at_s = self._clock.monotonic_s() + RETRY_S
        for ledger in self._owned.ledgers().values():
            ledger.not_seen()
        self._outages.down("broker", f"{error}; waiting")

    def _storage_lost(self, error: Exception) -> None:
        """Drop everything: whether a commit went through is asked when the database is back."""
        self._storage_at_s = self._clock.monotonic_s() + RETRY_S
        self._outages.down("database", f"{error}; reading pauses until it is back")
        self._let_all_go("the database is away", RETRY_S)
