"""From when to when a version was judged is two steps into an index, however long that was."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.windows.panes import HOUR_MS


def judged(engine: Engine, version_id: int, hours: int) -> None:
    """A version with so many judged hours, and none of the other segment's."""
    row: dict[str, Any] = {
        "version_id": version_id, "length": "hour", "rows": 1, "rev_sum": 1, "revision": 1,
        "closed_by": "watermark", "reference_digest": "d", "monitor_revision": 1, "fold": "{}",
        "judged_ms": 0,
    }  # fmt: skip
    with transaction(engine) as conn:
        version = {"id": version_id, "model_id": 1, "name": str(version_id), "created_ms": 0}
        conn.execute(sa.insert(t.model_version).values(**version))
        for start_ms in range(HOUR_MS, (hours + 1) * HOUR_MS, HOUR_MS):
            span = {"start_ms": start_ms, "end_ms": start_ms + HOUR_MS}
            conn.execute(sa.insert(t.window).values(**row, **span, segment="all"))


def steps_of(engine: Engine, version_ids: list[int]) -> tuple[int, dict[int, tuple[int, int]]]:
    """What is found, and how many steps of SQLite's machine that took."""
    steps = [0]

    def step() -> int:
        steps[0] += 1
        return 0

    with reading(engine) as conn:
        raw: Any = conn.connection.dbapi_connection
        raw.set_progress_handler(step, 1)
        found = reads.version_spans(conn, version_ids, length="hour", segment="all")
        raw.set_progress_handler(None, 1)
    return steps[0], found


def test_spans_are_found_without_reading_what_lies_between(engine: Engine) -> None:
    with transaction(engine) as conn:
        conn.execute(sa.insert(t.model).values(id=1, name="m", timezone="UTC", created_ms=0))
    for version_id, hours in (1, 3), (2, 300):
        judged(engine, version_id, hours)
    few, short = steps_of(engine, [1])
    many, long = steps_of(engine, [2])
    assert short == {1: (HOUR_MS, 4 * HOUR_MS)} and long == {2: (HOUR_MS, 301 * HOUR_MS)}
    assert 0 < many == few


def test_a_version_without_judged_windows_has_no_span(engine: Engine) -> None:
    with transaction(engine) as conn:
        conn.execute(sa.insert(t.model).values(id=1, name="m", timezone="UTC", created_ms=0))
    judged(engine, 1, 0)
    judged(engine, 2, 2)
    _, found = steps_of(engine, [1, 2])
    assert found == {2: (HOUR_MS, 3 * HOUR_MS)}
