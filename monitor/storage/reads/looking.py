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
            # The first event of all is counted long before a window is judged.
            sa.select(sa.exists(sa.select(t.pane.c.version_id)).cast(sa.Integer)).scalar_subquery(),
        )
    ).one()
    return ".".join(str(part or 0) for part in row)


def zone_of(conn: Connection, model: str) -> ZoneInfo | None:
    """Return a model's time zone, or None where no model has the name."""
    if "\x00" in model or any("\ud800" <= c <= "\udfff" for c in model):
        return None
    key = conn.execute(sa.select(t.model.c.timezone).where(t.model.c.name == model)).scalar()
    return ZoneInfo(key) if key is not None else None


def has_events(conn: Connection) -> bool:
    """Whether an event of any model was counted that was not archived."""
    v, m = t.model_version.c, t.model.c
    query = (
        sa.select(v.id)
        .join_from(t.model_version, t.model, m.id == v.model_id)
        .where(m.archived_ms.is_(None), _is_counted())
        .limit(1)
    )
    return conn.execute(query).first() is not None


def counted(conn: Connection, version_ids: Collection[int]) -> set[int]:
    """Return those of `version_ids` of which an event was counted."""
    v = t.model_version.c
    query = sa.select(v.id).where(v.id.in_(list(version_ids)), _is_counted())
    return set(conn.execute(query).scalars())


def _is_counted() -> sa.ColumnElement[bool]:
    """Whether a version has a pane, or a window that was judged: a seek by key each."""
    v = t.model_version.c
    return sa.or_(
        sa.exists().where(t.pane.c.version_id == v.id),
        sa.exists().where(t.window.c.version_id == v.id),
    )


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
