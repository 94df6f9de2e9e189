"""Hour findings added up by local day, kept equal to a recount.

A year of hours holds 24 times the rows of a year of days, more than a page can
read in its time. The evaluator calls this in the transaction that writes the
findings; whatever became of them (new, revised, deleted, folded again), the
days they lie in are counted anew from the rows that stand now. Only an hour that
comes behind all others, as nearly every one does, is added to what its day was:
to the features of which it is worse than all before it in anything.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.rule import FIXED
from monitor.windows.calendar import window_of

# The length that is added up.
LENGTH = "hour"
# Segments of one statement: SQLite's limit is 32,766.
IN_AT_MOST = 10_000
# Those that have a column: their worst hour is told even where it is not the worst of all.
STATISTICS = ("psi", "missing", "type_error", "unseen", "out_of_range")
# The best first. An hour that could be judged says more of its day than one that could not.
VERDICTS = (
    "insufficient_data", "collecting", "blind", "uncalibrated", "ok", "warning", "critical",
)  # fmt: skip


def refresh(
    conn: Connection,
    version_id: int,
    timezone: str,
    starts: Mapping[str, Iterable[int]],
    *,
    following: Collection[str] = (),
) -> None:
    """Let the local days of the hour windows at `starts` of each segment be a recount of them.

    Parameters
    ----------
    following
        Segments whose windows at `starts` were never counted, and no window is behind them.
    """
    anew: list[dict[str, object]] = []
    behind: dict[tuple[int, int], list[str]] = {}
    for segment, of_segment in starts.items():
        by_day: dict[tuple[int, int], list[int]] = {}
        for start_ms in of_segment:
            by_day.setdefault(window_of(start_ms, "day", timezone), []).append(start_ms)
        for day, hours in sorted(by_day.items()):
            if segment in following and len(hours) == 1:
                behind.setdefault((hours[0], day[0]), []).append(segment)
            else:
                whole = {"from_ms": day[0], "to_ms": day[1]}
                anew.append({"version_id": version_id, "segment": segment, **whole})
    if anew:
        conn.execute(_DELETE, anew)
        conn.execute(_COUNT, anew)
    for (start_ms, day_ms), segments in behind.items():
        for place in range(0, len(segments), IN_AT_MOST):
            conn.execute(
                _ADD,
                {
                    "version_id": version_id,
                    "start_ms": start_ms,
                    "day_ms": day_ms,
                    "segments": segments[place : place + IN_AT_MOST],
                },
            )


_OVER = {
    name: f"{'f.psi' if name == 'psi' else f'ABS(f.{name}_excess)'} / NULLIF(f.{name}_limit, 0)"
    for name in STATISTICS
}
_INTO = f"""
    INSERT INTO finding_day (version_id, segment, day_ms, feature, ratio, evidence,
                             {", ".join(STATISTICS)}, verdict, is_alarming)
"""


def _counting() -> str:
    ranks = " ".join(f"WHEN '{name}' THEN {place}" for place, name in enumerate(VERDICTS))
    words = " ".join(f"WHEN {place} THEN '{name}'" for place, name in enumerate(VERDICTS))
    # Any that can have a fixed limit may be the worst of an hour.
    worst = " ".join(f"WHEN h.by_{name} = h.ratio THEN '{name}'" for name in FIXED)
    by = ", ".join(
        f"MAX(CASE WHEN f.evidence = '{name}' THEN f.ratio END) AS by_{name}" for name in FIXED
    )
    most = ", ".join(f"MAX({_OVER[name]}) AS {name}" for name in STATISTICS)
    # A segment's windows say where its findings are; those of the other segments are stepped
    # over. CROSS JOIN keeps SQLite from turning the two round, `+ 0` from scanning the range.
    return f"""
        {_INTO}
        SELECT CAST(:version_id AS BIGINT), CAST(:segment AS VARCHAR), CAST(:from_ms AS BIGINT),
               h.feature, h.ratio, CASE {worst} END,
               {", ".join(f"h.{name}" for name in STATISTICS)},
               CASE h.worst {words} END, h.alarms = 1
        FROM (
            SELECT f.feature AS feature, MAX(f.ratio) AS ratio, {by}, {most},
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


def _adding() -> str:
    def rank(name: str, order: Iterable[str]) -> str:
        whens = " ".join(f"WHEN '{word}' THEN {place}" for place, word in enumerate(order))
        return f"CASE {name} {whens} END"

    def is_first(hour: str) -> str:
        return f"{rank(f'{hour}.evidence', FIXED)} < {rank('d.evidence', FIXED)}"

    def is_worse(hour: str) -> str:
        return f"{rank(f'{hour}.verdict', VERDICTS)} > {rank('d.verdict', VERDICTS)}"

    def is_more(name: str, hours: str) -> str:
        """A number that is not there is below all others."""
        return f"({hours} > d.{name} OR (d.{name} IS NULL AND {hours} IS NOT NULL))"

    numbers = {"ratio": "f.ratio", **_OVER}
    most = ", ".join(
        f"{name} = CASE WHEN {is_more(name, f'excluded.{name}')} THEN excluded.{name} "
        f"ELSE d.{name} END"
        for name in numbers
    )
    # Every hour, most are not: the more hours a day has, the fewer.
    is_told = " OR ".join(
        (
            *(is_more(name, hours) for name, hours in numbers.items()),
            f"(f.ratio = d.ratio AND {is_first('f')})",
            is_worse("f"),
            "(f.is_alarming AND NOT d.is_alarming)",
        )
    )
    return f"""
        {_INTO.replace("finding_day", "finding_day AS d")}
        SELECT f.version_id, f.segment, CAST(:day_ms AS BIGINT), f.feature, f.ratio,
               CASE WHEN f.ratio IS NOT NULL THEN f.evidence END,
               {", ".join(_OVER[name] for name in STATISTICS)}, f.verdict, f.is_alarming
        FROM finding f LEFT JOIN finding_day d
          ON d.version_id = f.version_id AND d.segment = f.segment
         AND d.day_ms = CAST(:day_ms AS BIGINT) AND d.feature = f.feature
        WHERE f.version_id = :version_id AND f.length = '{LENGTH}' AND f.start_ms = :start_ms
          AND f.segment IN :segments AND (d.feature IS NULL OR {is_told})
        ON CONFLICT (version_id, segment, day_ms, feature) DO UPDATE SET
            evidence = CASE
                WHEN {is_more("ratio", "excluded.ratio")} THEN excluded.evidence
                WHEN excluded.ratio = d.ratio AND {is_first("excluded")} THEN excluded.evidence
                ELSE d.evidence END,
            {most},
            verdict = CASE WHEN {is_worse("excluded")} THEN excluded.verdict ELSE d.verdict END,
            is_alarming = d.is_alarming OR excluded.is_alarming
    """


_COUNT = sa.text(_counting())
_ADD = sa.text(_adding()).bindparams(sa.bindparam("segments", expanding=True))
_DELETE = sa.text(
    "DELETE FROM finding_day "
    "WHERE version_id = :version_id AND segment = :segment AND day_ms = :from_ms"
)
