"""What the swap of many panes reads: each of them some times, however few the planner knows of."""

from __future__ import annotations

import pytest
from replay_rig import Twice
from sqlalchemy.engine import Engine

from monitor.storage import lanes, registry, swap
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, transaction

PANES = 3_000


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_first_replay_of_many_panes_reads_them_some_times_and_not_each_for_each(
    engine: Engine,
) -> None:
    """Wrong were: a loop over all panes for each of them, where nothing was counted before."""
    twice = Twice(engine)
    reference = twice.register()
    twice.count()
    known = registry.load(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")  # as the server looked when there was nothing
    with transaction(engine) as conn:
        lane = lanes.begin(
            conn, stream_id=1, owner="me", asked={}, versions={1: 0}, starts={0: 0, 1: 0},
            registry_revision=known.revision, now_ms=1,
        )  # fmt: skip
        key = {"version_id": 1, "gridset": reference.gridset.digest, "segment": "all"}
        place = {"stream_id": 1, "partition": 0, "rev": 1, "rows": 30, "body": b"counts"}
        hours = [key | place | {"start_ms": i * 3_600_000} for i in range(PANES)]
        insert_rows(conn, t.lane_pane, hours)
    swap.prepare(engine)
    with transaction(engine) as conn:
        assert not swap.behind(conn, lane)
        made = swap.swap(
            conn, lane, known, is_whole=True, lost=(), whole_models={"m"}, actor="me", now_ms=1
        )
        query = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables"
        where = " WHERE relname IN ('pane', 'lane_pane')"
        read = conn.exec_driver_sql(query + where).scalar_one()
    assert made.panes == PANES
    assert len(twice.rows(t.pane)) == PANES
    assert read < 10 * PANES
