"""Who did what to which: rows that are only ever added."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t


def note(
    conn: Connection, *, actor: str, action: str, subject: str, now_ms: int, **detail: Any
) -> None:
    """Write into the audit who did what to which."""
    conn.execute(
        sa.insert(t.audit).values(
            at_ms=now_ms,
            actor=actor,
            action=action,
            subject=subject,
            detail=json.dumps(detail, sort_keys=True),
        )
    )
