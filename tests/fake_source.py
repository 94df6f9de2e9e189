"""A broker in memory that can be cut, emptied, made again and switched off, and what tests count.

It stands in for Kafka where a test must decide when things happen; the real one is used in
`tests/integration`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules, admit
from consumers.count import count
from consumers.ledger import Ledger
from consumers.loop import Loop
from consumers.source import Change, Identity, LogTruncated
from driftline.errors import BrokerUnavailable, OffsetOutOfRange, StreamError
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference, build_reference
from monitor.clock import HeldClock
from monitor.storage import checkpoint, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Look
from monitor.storage.engine import transaction

START_MS = 1_360_000_000_000  # 2013-02-04T17:46:40Z
KAFKA_MS = 1_900_000_000_000
HOUR_MS = 3_600_000


class Entry(NamedTuple):
    """A record."""

    offset: int
    timestamp: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class FakeTopic:
    """The log of one topic, shared by the members that read it."""

    def __init__(self, partitions: int = 1) -> None:
        self.logs: dict[int, list[Entry]] = {p: [] for p in range(partitions)}
        self.low = dict.fromkeys(self.logs, 0)
        self.end = dict.fromkeys(self.logs, 0)
        self.life = 1
        self.is_down = False
        self.committed: dict[int, int] = {}

    def append(
        self,
        value: bytes | None,
        partition: int = 0,
        kafka_ms: int = KAFKA_MS,
        headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:
        """Write one record."""
        self.logs[partition].append(Entry(self.end[partition], kafka_ms, value, headers))
        self.end[partition] += 1

    def extend(self, values: Iterable[bytes], partition: int = 0) -> None:
        """Write records."""
        for value in values:
            self.append(value, partition)

    def hole(self, size: int, partition: int = 0) -> None:
        """Leave offsets without records, as transaction markers and compaction do."""
        self.end[partition] += size

    def retain_from(self, offset: int, partition: int = 0) -> None:
        """Retention takes everything below `offset`."""
        self.low[partition] = offset
        self.logs[partition] = [e for e in self.logs[partition] if e.offset >= offset]

    def truncate(self, offset: int, partition: int = 0) -> None:
        """An unclean election takes everything from `offset` on."""
        self.end[partition] = offset
        self.logs[partition] = [e for e in self.logs[partition] if e.offset < offset]

    def make_again(self) -> None:
        """Delete the topic and create it under the same name."""
        self.life += 1
        self.logs = {p: [] for p in self.logs}
        self.low = dict.fromkeys(self.logs, 0)
        self.end = dict.fromkeys(self.logs, 0)


class FakeSource:
    """One member of the group, told by the test what it is assigned."""

    def __init__(self, topic: FakeTopic, clock: HeldClock, max_records: int = 500) -> None:
        self.topic, self.clock, self.max_records = topic, clock, max_records
        self.assigned: dict[int, int] = {}  # partition -> position
        self.paused: set[int] = set()
        self.notes: list[Change] = []
        self.polls = 0
        self.skip_and_raise = 0
        self.truncated: dict[int, int | None] = {}
        self.is_closed = False

    def give(self, *partitions: int) -> None:
        """The group assigns these, as the listener would note it."""
        for partition in partitions:
            self.assigned[partition] = 0
            self.paused.add(partition)
        self._note("assigned", partitions)

    def take(self, *partitions: int, kind: Literal["revoked", "lost"] = "revoked") -> None:
        """The group takes these away."""
        for partition in partitions:
            self.assigned.pop(partition, None)
        self._note(kind, partitions)

    def _note(self, kind: Any, partitions: tuple[int, ...]) -> None:
        self.notes.append(Change(kind, partitions, self.clock.monotonic_s()))

    def identity(self) -> Identity | None:
        self._ask()
        return Identity("fake", f"life-{self.topic.life}")

    def bounds(self) -> dict[int, tuple[int, int]]:
        self._ask()
        return {p: (self.topic.low[p], self.topic.end[p]) for p in self.topic.logs}

    def _ask(self) -> None:
        if self.topic.is_down:
            raise BrokerUnavailable("the fake broker is down")

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Entry]]:
        self.polls += 1
        if self.topic.is_down:
            return {}  # a client whose broker is away returns nothing, too
        if self.truncated:
            cut, self.truncated = self.truncated, {}
            raise LogTruncated(cut)
        if self.skip_and_raise:
            for partition in self.assigned.keys() - self.paused:
                self.assigned[partition] += self.skip_and_raise
            self.skip_and_raise = 0
            raise StreamError("a poll that raised had moved on already")
        found = {}
        for partition in sorted(self.assigned.keys() - self.paused):
            position = self.assigned[partition]
            low, end = self.topic.low[partition], self.topic.end[partition]
            if not low <= position <= end:
                raise OffsetOutOfRange("fake", partition, position, low, end)
            records = [e for e in self.topic.logs[partition] if e.offset >= position]
            records = records[: self.max_records]
            self.assigned[partition] = (
                records[-1].offset + 1 if len(records) == self.max_records else end
            )
            if records:
                found[partition] = records
        return found

    def changes(self) -> list[Change]:
        notes, self.notes = self.notes, []
        return notes

    def position(self, partition: int) -> int:
        if partition not in self.assigned:
            raise StreamError("not assigned")
        return self.assigned[partition]

    def seek(self, partition: int, offset: int) -> None:
        if partition in self.assigned:
            self.assigned[partition] = offset

    def pause(self, partitions: Iterable[int]) -> None:
        self.paused.update(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self.paused.difference_update(partitions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        self.topic.committed.update(offsets)

    def close(self) -> None:
        self.is_closed = True


class Unguarded(Loop):
    """The negative control: it writes the position without asking what it was."""

    def _commit(self, conn: Connection, ledger: Ledger, look: Look) -> Claim:
        row = conn.execute(
            sa.select(t.stream_position).where(
                t.stream_position.c.partition == ledger.claim.partition,
                t.stream_position.c.stream_id == ledger.claim.stream_id,
            )
        ).one()
        forged = replace(
            ledger.claim,
            next_offset=row.next_offset,
            epoch=row.claim_epoch,
            registry_revision=row.registry_revision,
        )
        return checkpoint.commit(conn, forged, ledger.move(look), ledger.delta, 1)


def prediction(i: int, **changes: Any) -> bytes:
    """The i-th prediction of a stream: one every ten minutes, of a few values."""
    event = {
        "type": "prediction",
        "id": f"e{i}",
        "model": "m",
        "version": "1",
        "time": START_MS + i * 600_000,
        "features": {
            "x": float(i % 7),
            "kind": "abc"[i % 3],
            "site": "north" if i % 2 else "south",
        },
        "prediction": {"class": "yes" if i % 5 else "no", "score": (i % 10) / 10},
    }
    return json.dumps(event | changes).encode()


def small_reference(rows: int = 1_200, seed: int = 1) -> Reference:
    """A reference for `prediction`'s events."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.integers(0, 7, rows) + rng.random(rows) / 2,
            "kind": rng.choice(list("abc"), rows),
            "site": rng.choice(["north", "south"], rows),
            "prediction": rng.choice(["yes", "no"], rows),
            "score": rng.random(rows).round(3),
            "at": pd.date_range("2013-01-01", periods=rows, freq="15min", tz="UTC"),
        }
    )
    return build_reference(
        frame, prediction="prediction", score="score", timestamp="at", segments=["site"]
    )


def register(engine: Engine, *, version: str = "1", seed: int = 1) -> Reference:
    """Bind a small reference to a version of model m."""
    reference = small_reference(seed=seed)
    with transaction(engine) as conn:
        registry.register_reference(conn, reference, model="m", version=version, now_ms=1)
    return reference


Counts = dict[tuple[int, str], list[int]]


def stored_counts(engine: Engine, reference: Reference) -> Counts:
    """What the database holds, by pane and segment, summed over partitions."""
    totals: dict[tuple[int, str], Profile] = {}
    with engine.connect() as conn:
        for row in conn.execute(sa.select(t.pane)):
            profile = Profile.from_bytes(reference.gridset, row.body)
            assert profile.rows == row.rows
            key = (row.start_ms, row.segment)
            totals[key] = totals[key] + profile if key in totals else profile
    return {key: profile.counts.tolist() for key, profile in totals.items()}


def recount(engine: Engine, logs: Iterable[Sequence[Any]]) -> Counts:
    """What the logs hold, counted in one piece without a loop or a database in between."""
    totals: dict[tuple[int, str], Profile] = {}
    known = registry.load(engine)
    for log in logs:
        for key, profile in count(admit(log, Rules()), known).counted().items():
            place = (key.start_ms, key.segment)
            totals[place] = totals[place] + profile if place in totals else profile
    return {key: profile.counts.tolist() for key, profile in totals.items()}


def counters(engine: Engine) -> dict[str, int]:
    """Events by outcome, over all partitions and models."""
    with engine.connect() as conn:
        rows = conn.execute(
            sa.select(t.counter.c.outcome, sa.func.sum(t.counter.c["count"])).group_by(
                t.counter.c.outcome
            )
        )
        return {outcome: int(total) for outcome, total in rows}


def positions(engine: Engine) -> list[Any]:
    """The position rows, by stream and partition."""
    order = (t.stream_position.c.stream_id, t.stream_position.c.partition)
    with engine.connect() as conn:
        return list(conn.execute(sa.select(t.stream_position).order_by(*order)))
