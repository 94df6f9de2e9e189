"""Uploads as the pipeline's page lists them, and who let each count."""

from __future__ import annotations

import json
from collections.abc import Collection

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.upload_rows import SELECT, Upload


def newest(conn: Connection, limit: int) -> tuple[list[Upload], int]:
    """Return the uploads that were begun last, newest first; and how many there are."""
    total = sa.func.count().over().label("total")
    query = SELECT.add_columns(total).order_by(t.upload.c.id.desc()).limit(limit)
    rows = [dict(row._mapping) for row in conn.execute(query)]
    n = int(rows[0]["total"]) if rows else 0
    return [Upload(**{k: v for k, v in row.items() if k != "total"}) for row in rows], n


def counted_by(conn: Connection, uploads: Collection[Upload]) -> dict[str, str]:
    """Return who let uploads count, as the audit names them, by the names of those that do."""
    counted = [upload for upload in uploads if upload.counted_ms is not None]
    if not counted:
        return {}
    a = t.audit.c
    query = sa.select(a.actor, a.detail).where(
        a.action == "upload.count",
        a.subject.in_({upload.model for upload in counted}),
        a.at_ms.in_({upload.counted_ms for upload in counted}),
    )
    found = {json.loads(row.detail).get("upload"): str(row.actor) for row in conn.execute(query)}
    return {upload.name: found[upload.name] for upload in counted if upload.name in found}
