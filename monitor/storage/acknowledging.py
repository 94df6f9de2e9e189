"""Those who page people are told that somebody has the alert: PagerDuty's incident is acknowledged.

Decided in the transaction of the acknowledgement. What was sent of the alert before goes first,
what is decided of it later goes after. Giving an incident back is told to nobody: PagerDuty takes
back an acknowledgement by its own timeout or by hand, and another trigger would change nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import blake2b
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.detect.knowledge import OPEN, OPEN_STATES
from monitor.storage import notes, outbox, routes, service_telling
from monitor.storage import schema as t
from monitor.storage.engine import take_turns

ACKNOWLEDGED: Final = "alert.acknowledged"
# Who has a state of its own for it; elsewhere one message more would wake somebody.
_KINDS: Final = ("pagerduty",)


def tell_acknowledged(conn: Connection, numbers: Collection[int], by: str, *, now_ms: int) -> int:
    """Tell of each alert of some incidents that somebody has it, where that is so of all of it.

    Only where the alert was told, and not its end. Returns how many messages were written. Call it
    after the notes, in their transaction.
    """
    take_turns(conn, "tell")
    a, i = t.alert.c, t.alert_incident.c
    concerned = (
        sa.select(a.id, a.alert_id, a.sequence, a.severity, t.model.c.name, t.model_version.c.name)
        .join(t.model_version, t.model_version.c.id == a.version_id)
        .join(t.model, t.model.c.id == t.model_version.c.model_id)
        .where(
            a.state == OPEN,
            a.id.in_(sa.select(i.alert_row).where(i.incident_number.in_(sorted(numbers)))),
        )
        .order_by(a.id)
    )
    count = 0
    for row_id, alert_id, sequence, severity, model, version in conn.execute(concerned).all():
        if not _is_all_of_it(conn, row_id):
            continue
        to = _to(conn, alert_id)
        if not to:
            continue
        said = f"{alert_id} {ACKNOWLEDGED} {sequence} {now_ms}"
        data = {
            "alert_id": alert_id,
            "sequence": sequence,
            "model": model,
            "version": version,
            "severity": severity,
            "summary": f"{model} {version}: {by} looks after it.",
        }
        message = outbox.Message(
            "msg_" + blake2b(said.encode(), digest_size=16).hexdigest(),
            alert_id,
            sequence,
            ACKNOWLEDGED,
            service_telling.body_of(ACKNOWLEDGED, data, now_ms),
        )
        count += outbox.enqueue(conn, message, now_ms, to=to)
    return count


def _is_all_of_it(conn: Connection, alert_row: int) -> bool:
    """Whether somebody looks after each incident of an alert that was told and stands."""
    i = t.alert_incident.c
    told = (
        sa.select(i.incident_number)
        .join(t.incident, t.incident.c.number == i.incident_number)
        .where(
            i.alert_row == alert_row,
            i.state.in_(OPEN_STATES),
            t.incident.c.state.in_(OPEN_STATES),
        )
    )
    standing = set(conn.execute(told).scalars())
    done = notes.handling(conn, standing)
    return bool(standing) and all(
        number in done and done[number].acknowledged is not None for number in standing
    )


def _to(conn: Connection, alert_id: str) -> dict[int, int | None]:
    """Return who was told of an alert, each with until when it is left in peace anyway."""
    o, e = t.outbox.c, t.endpoint.c
    held = sa.func.max(sa.case((o.state == "pending", o.not_before_ms)))
    query = (
        sa.select(e.id, held)
        .join(t.outbox, o.endpoint_id == e.id)
        .where(o.alert_id == alert_id, e.kind.in_(_KINDS), e.id.in_(routes.knowing(conn, alert_id)))
        .group_by(e.id)
    )
    return {row[0]: row[1] for row in conn.execute(query)}
