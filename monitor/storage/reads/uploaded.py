"""Uploads as the pipeline's page lists them, and who let each count."""

from __future__ import annotations

import json

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.uploads import SELECT, Upload


def newest(conn: Connection, limit: int) -> list[Upload]:
    """Return the uploads that were begun last, newest first."""
    query = SELECT.order_by(t.upload.c.id.desc()).limit(limit)
    return [Upload(**row._mapping) for row in conn.execute(query)]


def number(conn: Connection) -> int:
    """Return how many uploads there are."""
    return int(conn.execute(sa.select(sa.func.count()).select_from(t.upload)).scalar_one())


def counted_by(conn: Connection, upload: Upload) -> str | None:
    """Return who let an upload count, as the audit names them; None where it does not."""
    if upload.counted_ms is None:
        return None
    a = t.audit.c
    query = sa.select(a.actor, a.detail).where(
        a.action == "upload.count", a.subject == upload.model, a.at_ms == upload.counted_ms
    )
    for actor, detail in conn.execute(query):
        if json.loads(detail).get("upload") == upload.name:
            return str(actor)
    return None
