"""Predictions by hour: what is judged adds up, holes are zeros, lost spans are clipped."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.storage.rows import Gap
from monitor.views.rate import Rate, rate
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS


def look(engine: Engine, days: int, gaps: tuple[Gap, ...] = ()) -> Rate:
    with reading(engine) as conn:
        found = rate(conn, days=days, gaps=gaps)
    assert found is not None
    return found


@pytest.mark.parametrize("days", [1, 7, 30])
def test_the_hours_add_up_to_the_judged_windows(living: Engine, days: int) -> None:
    found = look(living, days)
    assert len(found.hours) == 24 * days
    w = t.window.c
    with reading(living) as conn:
        counted = conn.execute(
            sa.select(sa.func.sum(w.rows)).where(
                w.length == "hour", w.segment == "all", w.start_ms >= found.from_ms
            )
        ).scalar_one()
        judged_to_ms = reads.watermark_ms(conn)
    assert sum(found.hours) == counted > 0
    assert judged_to_ms is not None
    assert 0 <= judged_to_ms - found.to_ms < HOUR_MS


def test_what_was_lost_is_clipped_to_the_range_and_a_cut_log_lost_nothing(living: Engine) -> None:
    to_ms = look(living, 7).to_ms

    def gap(kind: str, first: int, last: int) -> Gap:
        return Gap("events", 0, kind, 0, 10, to_ms + first * HOUR_MS, to_ms + last * HOUR_MS, 0)

    gaps = (gap("retention", -9_000, -100), gap("truncation", -5, -4), gap("recreated", -400, -300))
    assert look(living, 7, gaps).gaps == ((to_ms - 7 * DAY_MS, to_ms - 100 * HOUR_MS),)


def test_nothing_judged_is_no_rate(engine: Engine) -> None:
    with reading(engine) as conn:
        assert rate(conn, days=7) is None
