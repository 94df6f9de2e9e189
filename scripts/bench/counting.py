"""Counts as a consumer would hold them, for what is measured without Kafka: SQL and judging."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from bench.material import Shape, json_records
from bench.parts.forms import records_of
from consumers.admit import Rules, admit
from consumers.count import count
from driftline.stats.profile import Profile
from monitor.storage import checkpoint, registry
from monitor.storage.checkpoint import Claim, Look, Move
from monitor.storage.delta import CounterKey, Delta, PaneKey
from monitor.storage.engine import transaction
from monitor.storage.registry import Registry

GROUP = "bench"


def delta_of(shape: Shape, known: Registry, events: int, *, seed: int = 1) -> Delta:
    """What so many events of one hour add."""
    # Within the same hour: what a checkpoint touches is segments, not hours.
    records = records_of(list(json_records(shape, events, span_ms=1, seed=seed)))
    found = Delta()
    while records:
        admitted = admit(records, Rules())
        found.add(count(admitted, known))
        records = records[admitted.n_records :]
    return found


def moved(delta: Delta, start_ms: int, *, times: int = 1) -> Delta:
    """The same counts, so many times, in the pane that starts then; the given one is left alone."""
    made = Delta(gridsets=dict(delta.gridsets), counters=delta.counters.copy())
    for key, profile in delta.panes.items():
        made.panes[key._replace(start_ms=start_ms)] = copy_of(delta, profile, times)
    return made


def copy_of(delta: Delta, profile: Profile, times: int = 1) -> Profile:
    """A profile of its own with these counts."""
    made = Profile.from_bytes(delta.gridsets[profile.gridset], profile.to_bytes())
    whole = made
    for _ in range(times - 1):
        whole = whole + made
    return whole


@dataclass
class Writer:
    """One partition of a stream that is written through checkpoints, as a consumer does.

    Attributes
    ----------
    statements
        SQL statements sent since the writer was made.
    """

    engine: Engine
    now_ms: int
    statements: int = 0
    known: Registry = field(init=False)
    claim: Claim = field(init=False)

    def __post_init__(self) -> None:
        sa.event.listen(self.engine, "before_cursor_execute", self._sent)
        self.known = registry.load(self.engine, None)
        with transaction(self.engine) as conn:
            stream = checkpoint.open_stream(
                conn,
                cluster_id="bench",
                topic="bench",
                topic_id="bench",
                start_policy="earliest",
                group_id=GROUP,
                bounds={0: (0, 0)},
                now_ms=self.now_ms,
            )
            self.claim = checkpoint.claim(
                conn, stream_id=stream.id, partition=0, owner="bench", group_id=GROUP
            )  # fmt: skip

    def _sent(self, *_: Any) -> None:
        self.statements += 1

    def write(self, delta: Delta, max_event_time_ms: int) -> None:
        """One checkpoint."""
        events = max(1, sum(delta.counters.values()))
        end = self.claim.next_offset + events
        move = Move(
            end, self.known.revision, max_event_time_ms, None, self.now_ms,
            Look(end, self.now_ms, 0),
        )  # fmt: skip
        with transaction(self.engine) as conn:
            self.claim = checkpoint.commit(conn, self.claim, move, delta, self.now_ms)


def segments_of(delta: Delta, start_ms: int, segments: int) -> Delta:
    """So many panes of one hour, each with the counts of the first pane of a segment."""
    key, profile = next((k, p) for k, p in delta.panes.items() if k.segment == "all")
    made = Delta(gridsets=dict(delta.gridsets))
    made.counters[CounterKey("m0", "1", "prediction")] += 1
    for i in range(segments):
        at = PaneKey(key.version_id, key.gridset, start_ms, f"site={i}")
        part = copy_of(delta, profile)
        part.sums = None  # segments have none
        made.panes[at] = part
    return made


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    """Let go of an engine's connections afterwards."""
    try:
        yield engine
    finally:
        engine.dispose()


def log_bytes(engine: Engine) -> int:
    """Where PostgreSQL's write-ahead log ends."""
    with engine.connect() as conn:
        said = conn.exec_driver_sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        return int(said.scalar_one())


def size_of(engine: Engine, table: str) -> Mapping[str, int]:
    """Rows of a table of PostgreSQL, and its bytes with indexes."""
    with engine.connect() as conn:
        rows = conn.exec_driver_sql(f'SELECT count(*) FROM "{table}"').scalar_one()
        size = conn.exec_driver_sql(f"SELECT pg_total_relation_size('{table}')").scalar_one()
    return {"rows": int(rows), "bytes": int(size)}
