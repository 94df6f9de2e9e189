"""Messages about Driftline's own parts: of one incident, in order, under ids that stay the same.

An incident is named by what it is about and when it began, so that whoever says it again says the
same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

from sqlalchemy.engine import Connection

from monitor.storage import outbox
from monitor.storage.outbox import Message
from monitor.storage.service_incidents import ServiceIncident


def alert_id_of(incident: ServiceIncident) -> str:
    """Return the id that all messages about an incident of the service have in common."""
    named = f"{incident.kind} {incident.subject} {incident.opened_ms}"
    return blake2b(named.encode(), digest_size=16).hexdigest()


def tell(
    conn: Connection,
    incident: ServiceIncident,
    kind: str,
    sequence: int,
    summary: str,
    more: Mapping[str, Any],
    *,
    now_ms: int,
    webhook_id: str | None = None,
    to: Mapping[int, int | None] | None = None,
) -> int:
    """Write a message about an incident; return for how many endpoints it is new.

    Parameters
    ----------
    kind, sequence
        The message's type, and its place among those of the incident, from 1.
    more
        What stands in `data` between the severity and the summary.
    webhook_id
        One that receivers know already; else it follows from the incident, type and sequence.
    to
        See `outbox.enqueue`; None is every endpoint.
    """
    alert_id = alert_id_of(incident)
    data = {
        "alert_id": alert_id,
        "sequence": sequence,
        "severity": incident.severity,
        **more,
        "summary": summary,
    }
    if webhook_id is None:
        told = f"{alert_id} {kind} {sequence}"
        webhook_id = "msg_" + blake2b(told.encode(), digest_size=16).hexdigest()
    message = Message(webhook_id, alert_id, sequence, kind, body_of(kind, data, now_ms))
    return outbox.enqueue(conn, message, now_ms, to=to)


def body_of(kind: str, data: Mapping[str, Any], now_ms: int) -> str:
    """Return the body of a message that is about no model, as JSON."""
    at = datetime.fromtimestamp(now_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    said = {"type": kind, "timestamp": at.replace("+00:00", "Z"), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
