"""What a length learnt of its natural wobble from live windows."""

from __future__ import annotations

import json
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from driftline.stats.calibration import Calibration
from monitor.storage import schema as t


class Learnt(NamedTuple):
    """What a length learnt once from live windows; it judges those that end after `after_ms`."""

    revision: int
    after_ms: int
    windows: list[tuple[int, int]]
    calibration: Calibration


def calibrations(
    conn: Connection, version_id: int, digest: str
) -> dict[tuple[str, str], list[Learnt]]:
    """Return all that each (segment, length) has learnt from live windows, oldest first."""
    c = t.calibration.c
    query = (
        sa.select(c.segment, c.length, c.revision, c.after_ms, c.windows, c.body)
        .where(c.version_id == version_id, c.reference_digest == digest)
        .order_by(c.revision)
    )
    out: dict[tuple[str, str], list[Learnt]] = {}
    for segment, length, revision, after_ms, windows, body in conn.execute(query):
        spans = [(start, end) for start, end in json.loads(windows)]
        learnt = Learnt(
            revision,
            spans[-1][1] if after_ms is None else after_ms,
            spans,
            Calibration.from_json(json.loads(body)),
        )
        out.setdefault((segment, length), []).append(learnt)
    return out


def live_calibrations(
    conn: Connection, version_id: int, digest: str
) -> dict[tuple[str, str], tuple[int, Calibration]]:
    """Return {(segment, length): (after when it judges, calibration)}, the latest revisions."""
    return {
        key: (learnt[-1].after_ms, learnt[-1].calibration)
        for key, learnt in calibrations(conn, version_id, digest).items()
    }


def store_calibration(
    conn: Connection,
    version_id: int,
    digest: str,
    segment: str,
    length: str,
    learnt: Learnt,
    now_ms: int,
) -> None:
    """Keep what a length learnt from live windows, for good."""
    conn.execute(
        sa.insert(t.calibration).values(
            version_id=version_id,
            reference_digest=digest,
            segment=segment,
            length=length,
            revision=learnt.revision,
            source=learnt.calibration.source,
            windows=json.dumps(learnt.windows),
            body=json.dumps(learnt.calibration.to_json()),
            created_ms=now_ms,
            after_ms=learnt.after_ms,
        )
    )
