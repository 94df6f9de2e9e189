"""One feature through its windows: what was judged of it, and when which latch was closed."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.reads.judged import IN_AT_MOST, TOLD, between
from monitor.storage.rows import FeatureWindow, Latched
from monitor.windows.calendar import DAY_MS

# What a finding says of its window is said by the window.
_OF_WINDOW = ("version_id", "length", "start_ms", "segment", "feature", "rows")


def feature_windows(
    conn: Connection,
    version_ids: Collection[int],
    feature: str,
    *,
    length: str,
    segment: str,
    from_ms: int,
    to_ms: int,
) -> list[FeatureWindow]:
    """Return the windows that start in `[from_ms, to_ms)`, by start, each with its finding.

    `found` is None where nothing was stored of the feature: the window had too few rows, or
    its reference does not have the feature.
    """
    w, f = t.window.c, t.finding.c
    columns = [column for column in TOLD if column.name not in _OF_WINDOW]
    query = (
        sa.select(
            w.version_id, w.start_ms, w.end_ms, w.rows, w.revision, w.closed_by, w.incomplete,
            w.reference_digest, w.monitor_revision, *columns,
        )
        .outerjoin(
            t.finding,
            sa.and_(
                f.version_id == w.version_id,
                f.length == w.length,
                f.start_ms == w.start_ms,
                f.segment == w.segment,
                f.feature == feature,
            ),
        )
        .where(w.version_id.in_(list(version_ids)), w.length == length, w.segment == segment)
        .where(*between(w.start_ms, from_ms, to_ms))
        .order_by(w.start_ms, w.version_id)
    )  # fmt: skip
    names = [column.name for column in columns]
    rows = []
    for row in conn.execute(query):
        (version_id, start, end, n, revision, closed_by, incomplete, digest, monitor, *values) = row
        found = dict(zip(names, values, strict=True))
        rows.append(
            FeatureWindow(
                version_id=version_id,
                start_ms=start,
                end_ms=end,
                rows=n,
                revision=revision,
                closed_by=closed_by,
                incomplete=tuple(str(cause) for cause in json.loads(incomplete or "[]")),
                reference_digest=digest,
                monitor_revision=monitor,
                found=None if found["verdict"] is None else found,
            )
        )
    return rows


def feature_measures(
    conn: Connection,
    version_ids: Collection[int],
    feature: str,
    *,
    length: str,
    segment: str,
    starts: Sequence[int],
    names: Sequence[str],
) -> dict[tuple[int, int], dict[str, Any]]:
    """Return what else is stored of a feature's findings, by version and start; each a step."""
    m = t.finding.c
    out: dict[tuple[int, int], dict[str, Any]] = {}
    for place in range(0, len(starts), IN_AT_MOST):
        query = sa.select(m.version_id, m.start_ms, *(m[name] for name in names)).where(
            m.version_id.in_(list(version_ids)),
            m.length == length,
            m.start_ms.in_(starts[place : place + IN_AT_MOST]),
            m.segment == segment,
            m.feature == feature,
        )
        for version_id, start, *values in conn.execute(query):
            out[version_id, start] = dict(zip(names, values, strict=True))
    return out


def latches(
    conn: Connection, version_ids: Collection[int], feature: str, *, length: str, segment: str
) -> list[Latched]:
    """Return from when to when each statistic of a feature was alarming, by what judged it."""
    c = t.latch.c
    query = (
        sa.select(c.version_id, c.statistic, c.level, c.opened_ms, c.closed_ms)
        .where(
            c.version_id.in_(list(version_ids)),
            c.segment == segment,
            c.feature == feature,
            c.length == length,
        )
        .order_by(c.opened_ms, c.statistic, c.level)
    )
    return [Latched(*row) for row in conn.execute(query)]


def worst_by_feature(
    conn: Connection, version_id: int, *, length: str, segment: str, starts: Sequence[int]
) -> list[tuple[str, float | None]]:
    """Return every feature with its worst evidence over its limit in the windows at `starts`.

    Hours are read by the day, as they are added up: a day that the range cuts counts whole.
    """
    if not starts:
        return []
    if length == "hour":
        d = t.finding_day.c
        query = (
            sa.select(d.feature, sa.func.max(d.ratio))
            .where(d.version_id == version_id, d.segment == segment)
            .where(d.day_ms > min(starts) - DAY_MS, d.day_ms <= max(starts))
            .group_by(d.feature)
        )
        return [(name, ratio) for name, ratio in conn.execute(query)]
    f = t.finding.c
    worst: dict[str, float | None] = {}
    for place in range(0, len(starts), IN_AT_MOST):
        # By the starts: a range would step through the other segments too.
        query = (
            sa.select(f.feature, sa.func.max(f.ratio))
            .where(f.version_id == version_id, f.length == length, f.segment == segment)
            .where(f.start_ms.in_(starts[place : place + IN_AT_MOST]))
            .group_by(f.feature)
        )
        for name, ratio in conn.execute(query):
            before = worst.get(name)
            worst[name] = ratio if before is None else max(before, ratio or 0.0)
    return list(worst.items())
