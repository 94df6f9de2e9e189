"""Hour findings added up by local day, kept equal to a recount.

A year of hours holds 24 times the rows of a year of days, more than a page can
read in its time. The evaluator calls this in the transaction that writes the
findings; whatever became of them (new, revised, deleted, folded again), the
days they lie in are counted anew from the rows that stand now.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.rule import FIXED
from monitor.windows.calendar import window_of

# The length that is added up.
LENGTH = "hour"
# Those that have a column: their worst hour is told even where it is not the worst of all.
STATISTICS = ("psi", "missing", "type_error", "unseen", "out_of_range")
# The best first. An hour that could be judged says more of its day than one that could not.
VERDICTS = (
    "insufficient_data", "collecting", "blind", "uncalibrated", "ok", "warning", "critical",
)  # fmt: skip


def refresh(
    conn: Connection, version_id: int, timezone: str, starts: Mapping[str, Iterable[int]]
) -> None:
    """Count the local days of the hour windows at `starts` of each segment anew."""
    where = [
        {"version_id": version_id, "segment": segment, "from_ms": begin, "to_ms": end}
        for segment, of_segment in starts.items()
        for begin, end in sorted({window_of(start_ms, "day", timezone) for start_ms in of_segment})
    ]
    if where:
        conn.execute(_DELETE, where)
        conn.execute(_COUNT, where)


def _counting() -> str:
    over = {
        name: f"{'f.psi' if name == 'psi' else f'ABS(f.{name}_excess)'} / NULLIF(f.{name}_limit, 0)"
        for name in STATISTICS
    }
    ranks = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(VERDICTS))
    words = " ".join(f"WHEN {place} THEN '{name}'" for place, name in enumerate(VERDICTS))
    # Any that can have a fixed limit may be the worst of an hour.
    worst = " ".join(f"WHEN h.by_{name} = h.ratio THEN '{name}'" for name in FIXED)
    by = ", ".join(
        f"MAX(CASE WHEN f.evidence = '{name}' THEN f.ratio END) AS by_{name}" for name in FIXED
    )
    most = ", ".join(f"MAX({over[name]}) AS {name}" for name in STATISTICS)
    # A segment's windows say where its findings are; those of the other segments are stepped
    # over. CROSS JOIN keeps SQLite from turning the two round, `+ 0` from scanning the range.
    return f"""
        INSERT INTO finding_day (version_id, segment, day_ms, feature, windows, ratio, evidence,
                                 {", ".join(STATISTICS)}, verdict, is_alarming)
        SELECT CAST(:version_id AS BIGINT), CAST(:segment AS VARCHAR), CAST(:from_ms AS BIGINT),
               h.feature, h.windows, h.ratio, CASE {worst} END,
               {", ".join(f"h.{name}" for name in STATISTICS)},
               CASE h.worst {words} END, h.alarms = 1
        FROM (
            SELECT f.feature AS feature, COUNT(*) AS windows, MAX(f.ratio) AS ratio, {by}, {most},
                   MAX(CASE f.verdict {ranks} ELSE 0 END) AS worst,
                   MAX(CASE WHEN f.is_alarming THEN 1 ELSE 0 END) AS alarms
            FROM "window" w CROSS JOIN finding f
            WHERE w.version_id = :version_id AND w.segment = :segment AND w.length = '{LENGTH}'
              AND w.start_ms >= :from_ms AND w.start_ms < :to_ms
              AND f.version_id = w.version_id AND f.length = w.length
              AND f.start_ms = w.start_ms + 0 AND f.segment = w.segment
            GROUP BY f.feature
        ) h
    """


_COUNT = sa.text(_counting())
_DELETE = sa.text(
    "DELETE FROM finding_day "
    "WHERE version_id = :version_id AND segment = :segment AND day_ms = :from_ms"
)
