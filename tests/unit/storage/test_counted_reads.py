"""How what consumers counted is found: by steps into an index, and not by passing all of it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from driftline.stats.lengths import HOUR_MS
from monitor.storage import evaluation as sql
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, transaction

SEGMENTS = ["all", *(f"plan={n}" for n in range(20))]


def panes(segments: list[str], hours: range, version_id: int = 1) -> list[dict[str, Any]]:
    return [
        {
            "version_id": version_id, "gridset": "g", "start_ms": hour * HOUR_MS,
            "segment": segment, "stream_id": 1, "partition": partition, "rev": 1, "rows": 1,
            "body": b"x" * 500,
        }
        for hour in hours for segment in segments for partition in (0, 1)
    ]  # fmt: skip


@pytest.mark.both_databases
def test_hours_of_all_rows_are_found_without_passing_the_segments(engine: Engine) -> None:
    with transaction(engine) as conn:
        insert_rows(conn, t.pane, panes(SEGMENTS, range(100)))
        insert_rows(conn, t.pane, panes(SEGMENTS[1:], range(100, 110)))  # none of all rows
        insert_rows(conn, t.pane, panes(["all"], range(120, 130), version_id=2))
    said: list[tuple[str, Any]] = []
    with engine.connect() as conn:
        if engine.dialect.name == "postgresql":
            conn.exec_driver_sql("ANALYZE pane")
        sa.event.listen(conn, "before_cursor_execute", lambda *args: said.append(args[2:4]))
        found = sql.pane_starts(conn, 1, ["g"], 40 * HOUR_MS)
        [(statement, values)] = said
        how = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        plan = " ".join(str(row) for row in conn.exec_driver_sql(f"{how} {statement}", values))
    assert found == [hour * HOUR_MS for hour in range(40, 100)]
    assert "ix_pane_segment" in plan, plan
