"""The SQL of reminders: which alerts are told again now, and their messages."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.alerts import Notice
from monitor.detect.knowledge import OPEN, Alert
from monitor.detect.messages import body_of, webhook_id_of
from monitor.detect.reminders import reminders
from monitor.detect.routes import Route
from monitor.detect.silencing import silenced
from monitor.storage import alerts, notes, outbox, routes, silences
from monitor.storage import schema as t
from monitor.storage.reads.incidents import incidents
from monitor.storage.registry import BoundVersion
from monitor.windows.panes import HOUR_MS


def models_reminded(conn: Connection) -> set[str]:
    """Return the models of which a route says that it repeats."""
    return {one.model for one in routes.listed(conn) if one.route.repeat_hours is not None}


def due(conn: Connection, bound: BoundVersion, now_ms: int) -> Mapping[Notice, tuple[int, ...]]:
    """Return what is to be said again of a version now, with the endpoints that it is said to.

    Nothing of what is acknowledged, silenced, or still on its way to an endpoint.
    """
    ways = [
        one.route for one in routes.listed(conn, bound.model) if one.route.repeat_hours is not None
    ]
    hours = min((way.repeat_hours or 0 for way in ways), default=None)
    a = t.alert.c
    if hours is None:
        return {}
    waits = sa.select(a.id).where(
        a.version_id == bound.version_id,
        a.state == OPEN,
        a.recorded_ms <= now_ms - hours * HOUR_MS,
    )
    if conn.execute(waits.limit(1)).first() is None:
        return {}
    stored = alerts.known(conn, bound.version_id, (), ())
    found: dict[Notice, tuple[int, ...]] = {}
    for alert in stored.alerts.values():
        told = [
            n for n, i in stored.incidents.items() if i.alert_id == alert.alert_id and i.is_open
        ]
        if alert.state == OPEN:
            found |= _of_alert(conn, bound, alert, told, ways, now_ms)
    return found


def tell(
    conn: Connection,
    found: Mapping[Notice, tuple[int, ...]],
    bound: BoundVersion,
    *,
    web_url: str,
    now_ms: int,
) -> int:
    """Write reminders into the outbox, in the transaction that decided them; return how many."""
    numbers = {number for notice in found for number in notice.numbers}
    described = {i.number: i for i in (incidents(conn, numbers=numbers) if numbers else ())}
    count = 0
    for notice, endpoints in found.items():
        body = body_of(
            notice, described, model=bound.model, version=bound.version,
            timezone=bound.timezone, web_url=web_url,
        )  # fmt: skip
        message = outbox.Message(
            webhook_id_of(notice), notice.alert.alert_id, notice.alert.sequence, notice.type, body
        )
        count += outbox.enqueue(conn, message, now_ms, to=dict.fromkeys(endpoints))
    return count


def _of_alert(
    conn: Connection,
    bound: BoundVersion,
    alert: Alert,
    told: list[int],
    ways: list[Route],
    now_ms: int,
) -> dict[Notice, tuple[int, ...]]:
    standing = [one for one in alerts.incidents(conn, told).values() if one.is_open]
    hushed = silenced(standing, silences.active(conn, now_ms), bound.model, bound.version)
    done = notes.handling(conn, [one.number for one in standing])
    left = [
        one
        for one in standing
        if one.number not in hushed
        and (one.number not in done or done[one.number].acknowledged is None)
    ]
    o = t.outbox.c
    rows = conn.execute(
        sa.select(o.endpoint_id, o.webhook_id, o.state).where(o.alert_id == alert.alert_id)
    ).all()
    waits = {row.endpoint_id for row in rows if row.state == "pending"}
    has = {(row.endpoint_id, row.webhook_id) for row in rows}
    knowing = routes.knowing(conn, alert.alert_id) - waits
    found = {}
    for notice, endpoints in reminders(alert, left, ways, knowing, now_ms).items():
        new = tuple(i for i in endpoints if (i, webhook_id_of(notice)) not in has)
        if new:
            found[notice] = new
    return found
