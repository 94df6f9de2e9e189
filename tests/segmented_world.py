"""A model with segments, whose panes a test writes as a consumer would: see `judged_world`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from monitor.storage import engine as storage
from monitor.storage.schema import metadata
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

ROWS = 120
SEGMENTS = ("all", "s=a", "s=b", "s=new")


def columns(n: int, seed: int, features: int = 2, *, shift: float = 0.0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    data: dict[str, Any] = {f"x{i}": draw.normal(size=n) + shift for i in range(features - 1)}
    return data | {"c": draw.choice(["a", "b", "c"], size=n).astype(object)}


def reference_of(features: int = 2, segments: Sequence[str] = ("a", "b")) -> Reference:
    """The month before, of which most hours are too thin to be judged by their own."""
    n = 28 * 24 * 40
    data = columns(n, 1, features)
    data["at"] = pd.to_datetime(
        START_MS - 28 * DAY_MS + np.arange(n) * (HOUR_MS // 40), unit="ms", utc=True
    )
    data["s"] = np.array(list(segments), object)[np.arange(n) % len(segments)]
    return build_reference(pd.DataFrame(data), timestamp="at", segments=("s",))


def fresh_world(engine: Engine, reference: Reference) -> World:
    """A model with this reference, in a database of which nothing else is left."""
    tables = [
        table for table in metadata.sorted_tables if table.name not in ("registry", "data_version")
    ]
    with storage.transaction(engine) as conn:
        if engine.dialect.name == "postgresql":
            names = ", ".join(f'"{table.name}"' for table in tables)
            conn.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
        else:
            for table in reversed(tables):
                conn.execute(sa.delete(table))
            conn.exec_driver_sql("DELETE FROM sqlite_sequence")
    return world_of(engine, reference)


def write(world: World, segment: str, hour: int, seed: int, *, n: int, shift: float = 0.0) -> None:
    """Count an hour's rows of one segment into its pane, whatever is there already."""
    names = [name for name in world.reference.gridset.names() if name.startswith("x")]
    data = columns(n, seed, len(names) + 1, shift=shift)
    values = segment.partition("=")[2] or "a"
    counted = {name: Column(data[name]) for name in names}
    counted |= {"c": Column(list(data["c"])), "s": Column([values] * n)}
    (profile,) = world.reference.gridset.count(counted, n, with_sums=segment == "all")
    with storage.transaction(world.engine) as conn:
        world._add(conn, START_MS + hour * HOUR_MS, 0, profile, segment)


def passed(world: World, hour: int) -> None:
    """Say that the stream's time is that hour."""
    with storage.transaction(world.engine) as conn:
        world._position(conn, 0, START_MS + hour * HOUR_MS)
