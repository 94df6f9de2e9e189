"""What only lists ask for: every revision of a monitor, every segment with what it holds."""

from __future__ import annotations

import json
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t


class MonitorRevision(NamedTuple):
    """A revision of a model's monitor; `spec` as it is stored.

    It judges the windows of a length that end after `after` says, in ms.
    """

    model: str
    revision: int
    spec: str
    created_ms: int
    after: dict[str, int]


class SegmentSpan(NamedTuple):
    """A segment's judged windows of one length."""

    segment: str
    windows: int
    first_ms: int
    last_ms: int  # start of the last
    rows: int


def monitor_revisions(conn: Connection, *, model_id: int | None = None) -> list[MonitorRevision]:
    """Return the monitors by model, the one in force first."""
    m = t.monitor.c
    query = (
        sa.select(t.model.c.name, m.revision, m.spec, m.created_ms, m.after_by_length)
        .join(t.model, t.model.c.id == m.model_id)
        .order_by(t.model.c.name, m.revision.desc())
    )
    if model_id is not None:
        query = query.where(m.model_id == model_id)
    return [
        MonitorRevision(model, revision, spec, created_ms, json.loads(after_by_length))
        for model, revision, spec, created_ms, after_by_length in conn.execute(query)
    ]


def segment_spans(conn: Connection, version_id: int, *, length: str) -> list[SegmentSpan]:
    """Return the segments that have judged windows of a length."""
    w = t.window.c
    query = (
        sa.select(
            w.segment,
            sa.func.count(),
            sa.func.min(w.start_ms),
            sa.func.max(w.start_ms),
            sa.func.sum(w.rows),
        )
        .where(w.version_id == version_id, w.length == length)
        .group_by(w.segment)
    )
    return [
        SegmentSpan(row[0], int(row[1]), int(row[2]), int(row[3]), int(row[4]))
        for row in conn.execute(query)
    ]
