"""A topic that is read twice: by a consumer that stands at its end, and by a replay beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from fake_source import START_MS, Entry, FakeSource, prediction, register
from ingest_rig import Rig
from sqlalchemy.engine import Engine

from consumers.admit import Rules, admit
from consumers.count import count
from consumers.replay import Asked, Outcome, Verified, replay, verify
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference
from monitor.storage import registry
from monitor.storage import schema as t

STEP_MS = 600_000


class FakeLog(FakeSource):
    """A topic read by nobody's group."""

    # Called before each poll: what happens meanwhile.
    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def assign(self, partitions: Iterable[int]) -> None:
        self.assigned = dict.fromkeys(partitions, 0)
        self.paused = set(self.assigned)

    def first_at(self, time_ms: int) -> dict[int, tuple[int, int] | None]:
        self._ask()
        return {
            p: next(((e.offset, e.timestamp) for e in log if e.timestamp >= time_ms), None)
            for p, log in self.topic.logs.items()
        }

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Entry]]:
        self.meanwhile()
        found = super().poll(timeout_s)
        if not found:
            self.clock.advance(timeout_s)
        return found


class Twice:
    """One consumer of two partitions, and replays of what it has read."""

    def __init__(self, engine: Engine, partitions: int = 2) -> None:
        self.engine, self.rig = engine, Rig(engine, partitions)
        self.sent = 0

    def log(self, max_records: int = 50) -> FakeLog:
        return FakeLog(self.rig.topic, self.rig.clock, max_records)

    def send(self, n: int, **changes: Any) -> None:
        """Write predictions, each ten minutes after the one before and sent when it was made."""
        topic = self.rig.topic
        for i in range(self.sent, self.sent + n):
            value = prediction(i, **changes)
            topic.append(value, i % len(topic.logs), kafka_ms=START_MS + i * STEP_MS)
        self.sent += n

    def count(self) -> None:
        """Let the consumer read all there is."""
        self.rig.settle()

    def register(self, version: str = "1", seed: int = 1) -> Reference:
        return register(self.engine, version=version, seed=seed)

    def replay(self, log: FakeLog | None = None, **asked: Any) -> Outcome:
        return replay(
            self.engine, log or self.log(), self.rig.settings, Asked(**asked), clock=self.rig.clock
        )

    def verify(self, **asked: Any) -> Verified:
        return verify(
            self.engine, self.log(), self.rig.settings, Asked(**asked), clock=self.rig.clock
        )

    def said_by_the_log(self) -> Facts:
        """What the log adds up to by the registry as it is now, counted in one piece."""
        known = registry.load(self.engine)
        found: Facts = {}
        for partition, log in self.rig.topic.logs.items():
            for key, profile in count(admit(log, Rules()), known).counted().items():
                place = (key.version_id, key.start_ms, key.segment, partition)
                found[place] = profile.counts.tolist()
        return found

    def stored(self) -> Facts:
        """What the database holds."""
        known = registry.load(self.engine)
        grids = {r.gridset.digest: r.gridset for r in known.references.values()}
        found: Facts = {}
        for row in self.rows(t.pane):
            if row.rows:
                place = (row.version_id, row.start_ms, row.segment, row.partition)
                found[place] = Profile.from_bytes(grids[row.gridset], row.body).counts.tolist()
        return found

    def rows(self, table: sa.Table) -> list[Any]:
        with self.engine.connect() as conn:
            return list(conn.execute(sa.select(table).order_by(*table.primary_key.columns)))

    def counters(self) -> dict[tuple[str, str], int]:
        """Events by version and outcome, over all partitions."""
        found: dict[tuple[str, str], int] = {}
        for row in self.rows(t.counter):
            key = (row.version, row.outcome)
            found[key] = found.get(key, 0) + row._mapping["count"]
        return found

    def nothing_is_left(self) -> bool:
        """Whether no lane is there."""
        lanes = (t.lane, t.lane_position, t.lane_pane, t.lane_unseen, t.lane_counter)
        return not any(self.rows(table) for table in lanes)


Facts = dict[tuple[int, int, str, int], list[int]]
