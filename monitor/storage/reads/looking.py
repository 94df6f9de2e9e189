"""What every look at a page asks first: is anything new, where is the model's clock."""

from __future__ import annotations

from collections.abc import Collection
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t


def version_mark(conn: Connection) -> str:
    """Return a text that changes whenever there is something new to show."""
    row = conn.execute(
        sa.select(
            sa.select(sa.func.max(t.data_version.c.value)).scalar_subquery(),
            sa.select(sa.func.max(t.registry.c.revision)).scalar_subquery(),
            # Another database in the place of this one may have counted as far.
            sa.select(sa.func.min(t.model.c.created_ms)).scalar_subquery(),
        )
    ).one()
    return ".".join(str(part or 0) for part in row)


def zone_of(conn: Connection, model: str) -> ZoneInfo | None:
    """Return a model's time zone, or None where no model has the name."""
    if "\x00" in model or any("\ud800" <= c <= "\udfff" for c in model):
        return None
    key = conn.execute(sa.select(t.model.c.timezone).where(t.model.c.name == model)).scalar()
    return ZoneInfo(key) if key is not None else None


def has_models(conn: Connection) -> bool:
    """Whether any model is registered that was not archived."""
    query = sa.select(t.model.c.id).where(t.model.c.archived_ms.is_(None)).limit(1)
    return conn.execute(query).first() is not None


def known_features(conn: Connection, version_ids: Collection[int]) -> list[tuple[int, str]]:
    """Return (version id, feature) of each version's last judged window of segment all."""
    w, f = t.window.c, t.finding.c
    last = (
        sa.select(w.version_id, w.length, sa.func.max(w.start_ms).label("start_ms"))
        .where(w.version_id.in_(version_ids), w.length == "day", w.segment == "all")
        .group_by(w.version_id, w.length)
        .subquery()
    )
    query = (
        sa.select(f.version_id, f.feature)
        .join(
            last,
            sa.and_(
                last.c.version_id == f.version_id,
                last.c.length == f.length,
                last.c.start_ms == f.start_ms,
            ),
        )
        .where(f.segment == "all")
        .order_by(f.version_id, f.feature)
    )
    return [(row[0], row[1]) for row in conn.execute(query)]
