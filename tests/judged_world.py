"""A model whose panes a test writes as a consumer would, judged by the real evaluator.

`conftest` has it as the fixtures `reference` (a calm month) and `world`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from driftline.stats.profile import Column, Profile
from driftline.stats.reference import Reference, build_reference
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

# A Monday, 00:00 UTC.
START_MS = 1_704_067_200_000
ROWS_AN_HOUR = 30
NOW_MS = START_MS + 400 * DAY_MS


def frame(start_ms: int, hours: int, seed: int, *, with_times: bool = True) -> pd.DataFrame:
    """Rows without any drift: a normal feature, a category, a daily rhythm in neither."""
    draw = np.random.default_rng(seed)
    n = hours * ROWS_AN_HOUR
    data = {
        "x": draw.normal(size=n),
        "c": draw.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2]),
    }
    if with_times:
        times = start_ms + np.arange(n, dtype=np.int64) * (HOUR_MS // ROWS_AN_HOUR)
        data["at"] = pd.to_datetime(times, unit="ms", utc=True)
    return pd.DataFrame(data)


@dataclass
class World:
    """A model with its reference, whose panes a test writes as a consumer would."""

    engine: Engine
    reference: Reference
    now_ms: int = NOW_MS
    written: dict[tuple[int, int], Profile] = field(default_factory=dict)

    def evaluator(self) -> Evaluator:
        return Evaluator(
            self.engine,
            EvaluateSettings("", stalled_after_s=60.0),
            now_ms=lambda: self.now_ms,
        )

    def write(
        self,
        start_ms: int,
        hours: int,
        *,
        partition: int = 0,
        segment: str = "all",
        seed: int = 7,
        version_id: int = 1,
        **changed: Any,
    ) -> None:
        """Count `hours` of rows into panes; `changed` replaces columns, or leaves one out."""
        rows = frame(start_ms, hours, seed, with_times=False)
        pane = np.repeat(np.arange(hours), ROWS_AN_HOUR)
        columns = {
            "x": Column(rows["x"].to_numpy() + changed.get("shift", 0.0)),
            "c": Column(rows["c"].tolist()),
        }
        if "missing" in changed:
            share = np.arange(len(rows)) % 100 < 100 * changed["missing"]
            columns["x"] = Column(columns["x"].values, np.where(share, 2, 0).astype(np.uint8))
        columns.pop(changed.get("lacking", ""), None)
        profiles = self.reference.gridset.count(columns, len(rows), pane, hours, with_sums=True)
        with storage.transaction(self.engine) as conn:
            for hour, profile in enumerate(profiles):
                self._add(conn, start_ms + hour * HOUR_MS, partition, profile, segment, version_id)
            self._position(conn, partition, start_ms + hours * HOUR_MS + HOUR_MS)

    def _add(
        self,
        conn: sa.Connection,
        start_ms: int,
        partition: int,
        profile: Profile,
        segment: str = "all",
        version_id: int = 1,
    ) -> None:
        key = {
            "version_id": version_id,
            "gridset": self.reference.gridset.digest,
            "start_ms": start_ms,
            "segment": segment,
            "stream_id": 1,
            "partition": partition,
        }
        where = [t.pane.c[name] == value for name, value in key.items()]
        found = conn.execute(sa.select(t.pane).where(*where)).one_or_none()
        if found is None:
            conn.execute(
                sa.insert(t.pane).values(**key, rev=1, rows=profile.rows, body=profile.to_bytes())
            )
            return
        total = profile + Profile.from_bytes(self.reference.gridset, found.body)
        conn.execute(
            sa.update(t.pane)
            .where(*where)
            .values(rev=found.rev + 1, rows=total.rows, body=total.to_bytes())
        )

    def _position(self, conn: sa.Connection, partition: int, time_ms: int) -> None:
        where = (t.stream_position.c.stream_id == 1, t.stream_position.c.partition == partition)
        found = conn.execute(sa.select(t.stream_position).where(*where)).one_or_none()
        values = {"max_event_time_ms": time_ms, "fetched_ms": self.now_ms}
        if found is not None:
            values["max_event_time_ms"] = max(time_ms, found.max_event_time_ms)
            conn.execute(sa.update(t.stream_position).where(*where).values(**values))
            return
        conn.execute(
            sa.insert(t.stream_position).values(
                stream_id=1, partition=partition, start_offset=0, next_offset=1, claim_epoch=1,
                group_id="g", registry_revision=2, **values,
            )
        )  # fmt: skip
        conn.execute(
            sa.insert(t.counter).values(
                stream_id=1, partition=partition, model="m", version="1", outcome="prediction",
                count=1,
            )
        )  # fmt: skip

    def idle(self, partition: int = 0) -> None:
        """Say that a partition has been read to its end for long."""
        with storage.transaction(self.engine) as conn:
            conn.execute(
                sa.update(t.stream_position)
                .where(t.stream_position.c.partition == partition)
                .values(caught_up_for_ms=10 * HOUR_MS, fetched_ms=self.now_ms)
            )

    def rows(self, table: sa.Table, *where: Any) -> list[Any]:
        with self.engine.connect() as conn:
            return list(conn.execute(sa.select(table).where(*where)))

    def facts(self) -> dict[str, Any]:
        """What a replay must find again: everything but revisions, owners and wall times.

        Nor what was told and withdrawn: who saw all events at once never told it.
        """

        def plain(table: sa.Table, *left_out: str) -> list[Any]:
            names = [column.name for column in table.c if column.name not in left_out]
            return sorted(
                tuple(str(getattr(row, name)) for name in names) for row in self.rows(table)
            )

        return {
            "windows": plain(t.window, "revision", "rev_sum", "judged_ms", "closed_by"),
            "findings": plain(t.finding),
            "models": plain(t.model_window),
            "latches": plain(t.latch),
            "incidents": [row for row in plain(t.incident, "number") if "withdrawn" not in row],
        }


def calm_month() -> Reference:
    """The month before, without any drift."""
    return build_reference(
        frame(START_MS - 28 * DAY_MS, 28 * 24, 1), timestamp="at", categorical=("c",)
    )


def world_of(engine: Engine, reference: Reference) -> World:
    with storage.transaction(engine) as conn:
        registry_store.register_reference(conn, reference, model="m", version="1", now_ms=0)
        conn.execute(
            sa.insert(t.stream).values(
                cluster_id="c", topic="t", topic_id="t", start_policy="earliest", group_id="g",
                created_ms=0,
            )
        )  # fmt: skip
    return World(engine, reference)
