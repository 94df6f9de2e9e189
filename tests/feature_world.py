"""A model whose panes are real: rows counted on a real grid, judged by the real evaluator.

Pages and views that open panes are tested with it; `seed_database` has rows only.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage import retention
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.storage.reads import find_version
from monitor.storage.rows import Version
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

# A Monday, 00:00 UTC.
START_MS = 1_704_067_200_000
ROWS_AN_HOUR = 30
DAYS_OF_REFERENCE = 28
DRIFT_MS = START_MS + 10 * DAY_MS


def frame(start_ms: int, hours: int, seed: int) -> pd.DataFrame:
    """Rows without drift: a normal, one with many zeros, a category, a boolean, a constant."""
    draw = np.random.default_rng(seed)
    n = hours * ROWS_AN_HOUR
    times = start_ms + np.arange(n, dtype=np.int64) * (HOUR_MS // ROWS_AN_HOUR)
    return pd.DataFrame(
        {
            "x": draw.normal(50.0, 10.0, size=n),
            "zeros": np.where(draw.random(n) < 0.7, 0.0, draw.gamma(2.0, size=n)),
            "count": draw.poisson(6.0, size=n),
            "c": draw.choice(["a", "b", "c", "rare"], size=n, p=[0.5, 0.3, 0.195, 0.005]),
            "flag": draw.random(n) < 0.25,
            "same": np.full(n, 7.0),
            "at": pd.to_datetime(times, unit="ms", utc=True),
        }
    )


@cache
def reference(seed: int = 1, shift: float = 0.0) -> Reference:
    """Four weeks of rows, with segments `c=a`, `c=b`, ..."""
    rows = frame(START_MS - DAYS_OF_REFERENCE * DAY_MS, DAYS_OF_REFERENCE * 24, seed)
    rows["x"] += shift
    return build_reference(
        rows, timestamp="at", categorical=("c",), importance={"x": 0.7, "c": 0.3}
    )


@dataclass
class FeatureWorld:
    """One model; `write` counts hours of rows, `judge` evaluates what there is."""

    engine: Engine
    reference: Reference = field(default_factory=reference)
    version: str = "1"
    now_ms: int = START_MS + 400 * DAY_MS
    is_new: bool = True

    def __post_init__(self) -> None:
        if not self.is_new:
            return
        self.register(self.reference, self.version)
        with storage.transaction(self.engine) as conn:
            conn.execute(
                sa.insert(t.stream).values(
                    cluster_id="c", topic="t", topic_id="t", start_policy="earliest",
                    group_id="g", created_ms=0,
                )
            )  # fmt: skip

    def register(self, reference: Reference, version: str) -> None:
        """Bind a reference to a version."""
        with storage.transaction(self.engine) as conn:
            registry_store.register_reference(
                conn, reference, model="m", version=version, now_ms=int(version) * 1_000
            )

    def write(
        self, start_ms: int, hours: int, *, seed: int = 7, reference: Reference | None = None,
        version_id: int = 1, **changed: Any,
    ) -> None:  # fmt: skip
        """Count hours of rows; `shift` moves x; `unseen` (c) and `missing` (zeros) are shares."""
        reference = reference or self.reference
        rows = frame(start_ms, hours, seed)
        n = len(rows)
        share = np.arange(n) % 100
        names = np.array(rows["c"].tolist(), dtype=object)
        names[share < 100 * changed.get("unseen", 0.0)] = "new"
        absent = (share < 100 * changed.get("missing", 0.0)).astype(np.uint8) * 2
        columns = {
            "x": Column(rows["x"].to_numpy() + changed.get("shift", 0.0)),
            "zeros": Column(rows["zeros"].to_numpy(), absent),
            "count": Column(rows["count"].to_numpy().astype(float)),
            "c": Column(names.tolist()),
            "flag": Column(["true" if flag else "false" for flag in rows["flag"]]),
            "same": Column(np.where(share < 3, 8.0, 7.0)),
        }
        pane = np.repeat(np.arange(hours), ROWS_AN_HOUR)
        grids = reference.gridset
        made = grids.count(columns, n, pane, hours, with_sums=True)
        with storage.transaction(self.engine) as conn:
            for hour, profile in enumerate(made):
                conn.execute(
                    sa.insert(t.pane).values(
                        version_id=version_id, gridset=grids.digest,
                        start_ms=start_ms + hour * HOUR_MS, segment="all", stream_id=1,
                        partition=0, rev=1, rows=profile.rows, body=profile.to_bytes(),
                    )
                )  # fmt: skip
            if changed.get("unseen"):
                conn.execute(
                    sa.insert(t.unseen_value).values(
                        version_id=version_id, gridset=grids.digest, feature="c", stream_id=1,
                        partition=(start_ms - START_MS) // HOUR_MS, value="new",
                        count=int((names == "new").sum()),
                        first_seen_ms=start_ms, last_seen_ms=start_ms + hours * HOUR_MS - 1,
                    )
                )  # fmt: skip
            self._advance(conn, start_ms + (hours + 1) * HOUR_MS)

    def _advance(self, conn: sa.Connection, time_ms: int) -> None:
        position = t.stream_position
        if conn.execute(sa.select(position.c.stream_id)).first() is not None:
            conn.execute(
                sa.update(position).values(max_event_time_ms=time_ms, fetched_ms=self.now_ms)
            )
        else:
            conn.execute(
                sa.insert(position).values(
                    stream_id=1, partition=0, start_offset=0, next_offset=1, claim_epoch=1,
                    group_id="g", registry_revision=2, max_event_time_ms=time_ms,
                    fetched_ms=self.now_ms,
                )
            )  # fmt: skip
        for version in ("1", "2"):
            values = {
                "stream_id": 1, "partition": 0, "model": "m", "version": version,
                "outcome": "prediction",
            }  # fmt: skip
            counter = t.counter
            known = [counter.c[name] == value for name, value in values.items()]
            if conn.execute(sa.select(counter.c.count).where(*known)).first() is None:
                conn.execute(sa.insert(counter).values(**values, count=1))

    def add_up(self, day_ms: int) -> int:
        """Let the hours of a day be added up to it; return how many that were."""
        grids, until_ms = self.reference.gridset, day_ms + DAY_MS
        with storage.transaction(self.engine) as conn:
            parts = retention.parts_of(conn, 1, grids.digest, day_ms, until_ms)
            return sum(
                retention.add_up(conn, grids, 1, part, day_ms, until_ms, without=())
                for part in parts
            )

    def judge(self) -> None:
        """Evaluate everything that is due."""
        settings = EvaluateSettings("", stalled_after_s=60.0)
        Evaluator(self.engine, settings, now_ms=lambda: self.now_ms).step()

    def found(self, version: str | None = None) -> Version:
        """Return the version's row."""
        with reading(self.engine) as conn:
            row = find_version(conn, "m", version)
        assert row is not None
        return row


@cache
def _drifted(folder: Path, is_judged: bool) -> Path:
    path = folder / f"drifted-{is_judged}.db"
    engine = storage.create(f"sqlite:///{path}")
    storage.upgrade(engine)
    made = FeatureWorld(engine)
    made.write(START_MS, 24 * 10)
    made.write(DRIFT_MS, 24 * 4, seed=8, shift=12.0, unseen=0.05, missing=0.1)
    if is_judged:
        made.judge()
    engine.dispose()
    return path


def drifted(folder: Path, target: Path, *, is_judged: bool = True) -> FeatureWorld:
    """Return ten calm days and four on which x, c and zeros moved: made once, copied for each.

    Parameters
    ----------
    folder
        Where the one that is copied lies.
    target
        A folder of the test's own.
    """
    path = target / "world.db"
    shutil.copy(_drifted(folder, is_judged), path)
    return FeatureWorld(storage.create(f"sqlite:///{path}"), is_new=False)


class Statements:
    """Counts the statements that a connection executes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.texts: list[str] = []

    def __enter__(self) -> Statements:
        sa.event.listen(self._engine, "before_cursor_execute", self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._seen)

    def _seen(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(("SELECT", "WITH")):
            self.texts.append(statement)

    def __len__(self) -> int:
        return len(self.texts)
