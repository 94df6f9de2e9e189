"""What was sent about incidents: the messages of the alerts that tell of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.evaluation import IN_AT_MOST


@dataclass(frozen=True, slots=True)
class Sent:
    """One message for one endpoint; times are epoch ms of the wall clock.

    Attributes
    ----------
    kind
        The endpoint's: webhook, slack, ...
    is_removed, disabled_reason
        Whether there is the endpoint no more; why nothing is sent to it, None while it is enabled.
    state
        pending, delivered, dead (given up) or cancelled.
    attempts, tried_before
        How often it was sent; of these, before somebody asked for it again.
    due_ms, not_before_ms
        When a pending one is tried next, and until when quiet hours hold it.
    lease_until_ms
        Until when a process that sends it has it to itself.
    """

    id: int
    endpoint: str
    kind: str
    is_removed: bool
    disabled_reason: str | None
    webhook_id: str
    alert_id: str | None
    sequence: int
    type: str
    state: str
    attempts: int
    tried_before: int
    created_ms: int
    due_ms: int
    not_before_ms: int | None
    lease_until_ms: int | None
    finished_ms: int | None


def alerts_about(conn: Connection, numbers: Collection[int]) -> dict[str, set[int]]:
    """Return the alerts that tell, or told, of incidents, with which of them, by alert's id.

    An incident that opened again under another alert keeps those whose link names it.
    """
    a, i = t.alert.c, t.alert_incident.c
    found: dict[str, set[int]] = {}
    for some in _in_parts(numbers):
        members = (
            sa.select(a.alert_id, i.incident_number.label("number"))
            .join(t.alert_incident, i.alert_row == a.id)
            .where(i.incident_number.in_(some))
        )
        named = sa.select(a.alert_id, a.number).where(a.number.in_(some))
        for alert_id, number in conn.execute(members.union(named)):
            found.setdefault(alert_id, set()).add(number)
    return found


def messages_of(
    conn: Connection, alert_ids: Collection[str], webhook_ids: Collection[str] = ()
) -> list[Sent]:
    """Return the messages of alerts, and those of an id of their own, the first decided first."""
    o, e = t.outbox.c, t.endpoint.c
    own = {name: o[name] for name in Sent.__slots__ if name in o}
    columns: dict[str, Any] = own | {
        "endpoint": e.name,
        "kind": e.kind,
        "is_removed": e.removed_ms.is_not(None),
        "disabled_reason": sa.case(
            (e.disabled_ms.is_not(None), sa.func.coalesce(e.disabled_reason, "")), else_=None
        ),
    }
    query = (
        sa.select(*(columns[name].label(name) for name in Sent.__slots__))
        .join(t.endpoint, e.id == o.endpoint_id)
        .order_by(o.id)
    )
    found: list[Sent] = []
    ids, own_ids = list(_in_parts(alert_ids)), list(_in_parts(webhook_ids))
    for place in range(max(len(ids), len(own_ids))):
        asked = [
            column.in_(parts[place])
            for column, parts in ((o.alert_id, ids), (o.webhook_id, own_ids))
            if place < len(parts)
        ]
        rows = conn.execute(query.where(sa.or_(*asked)))
        found += [Sent(**{**row._mapping, "is_removed": bool(row.is_removed)}) for row in rows]
    return sorted({one.id: one for one in found}.values(), key=lambda one: one.id)


def states_of(conn: Connection, alert_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Return how many messages of each alert are in which state, by the alert's id."""
    o = t.outbox.c
    found: dict[str, dict[str, int]] = {}
    for some in _in_parts(alert_ids):
        query = (
            sa.select(o.alert_id, o.state, sa.func.count())
            .where(o.alert_id.in_(some))
            .group_by(o.alert_id, o.state)
        )
        for alert_id, state, n in conn.execute(query):
            found.setdefault(alert_id, {})[state] = int(n)
    return found


def _in_parts(wanted: Collection[Any]) -> Iterator[list[Any]]:
    """Yield what fits into one IN (...)."""
    ordered = sorted(wanted)
    for place in range(0, len(ordered), IN_AT_MOST):
        yield ordered[place : place + IN_AT_MOST]
