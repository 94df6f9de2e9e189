"""The messages about endpoints themselves; what is about models, the evaluator writes."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy.engine import Connection

from monitor.storage import endpoints, retrains, service_incidents, service_telling
from monitor.storage.deliveries import TEST_TYPE
from monitor.storage.endpoints import Endpoint
from monitor.storage.outbox import Message
from monitor.storage.service_incidents import DELIVERY, ServiceIncident

DISABLED, ENABLED = "endpoint.disabled", "endpoint.enabled"
# A summary stays a line: what a receiver answered may be long.
_WHY_AT_MOST: Final = 300


def endpoint_test(endpoint: Endpoint, now_ms: int) -> Message:
    """Return a message that says nothing but that it arrives."""
    summary = f"A test of endpoint {endpoint.name}: nothing is wrong."
    data = {"endpoint": endpoint.name, "summary": summary}
    return Message(
        f"test_{secrets.token_hex(16)}",
        None,
        0,
        TEST_TYPE,
        service_telling.body_of(TEST_TYPE, data, now_ms),
    )


def tell_disabled(conn: Connection, endpoint: Endpoint, why: str, lost: int, now_ms: int) -> None:
    """Open the incident of an endpoint that was switched off, and tell the others.

    `lost` is how many messages for it were given up. Call it in the transaction that does it.
    """
    more = f" {lost} waiting messages were given up." if lost else ""
    summary = f"Endpoint {endpoint.name} was disabled: {why[:_WHY_AT_MOST]}.{more}"
    opened = service_incidents.begin(
        conn, DELIVERY, str(endpoint.id), name=endpoint.name, summary=summary, now_ms=now_ms
    )
    _tell(conn, opened, DISABLED, 1, summary, {"reason": why[:_WHY_AT_MOST]}, now_ms)


def enable(conn: Connection, endpoint: Endpoint, now_ms: int) -> None:
    """Send to an endpoint again, resolve its incident, and tell everybody."""
    endpoints.enable(conn, endpoint.id)
    ended = service_incidents.end(conn, DELIVERY, str(endpoint.id), "enabled", now_ms=now_ms)
    if ended is not None:
        _tell(conn, ended, ENABLED, 2, f"Endpoint {endpoint.name} was enabled again.", {}, now_ms)


def remove(conn: Connection, endpoint: Endpoint, now_ms: int) -> int:
    """Remove an endpoint and resolve its incident; return how many messages are cancelled.

    A request for a retraining that it has not taken yet has failed: nobody sends it any more.
    """
    cancelled = endpoints.remove(conn, endpoint.id, now_ms=now_ms)
    words = f"{endpoint.name} was removed before it took the request"
    for number in retrains.waiting_for(conn, endpoint.id):
        retrains.report(conn, number, "failed", actor=endpoint.name, words=words, now_ms=now_ms)
    service_incidents.end(conn, DELIVERY, str(endpoint.id), "removed", now_ms=now_ms)
    return cancelled


def _tell(
    conn: Connection,
    incident: ServiceIncident,
    kind: str,
    sequence: int,
    summary: str,
    more: dict[str, str],
    now_ms: int,
) -> None:
    webhook_id = f"endpoint_{incident.subject}_{kind.partition('.')[2]}_{incident.opened_ms}"
    service_telling.tell(
        conn, incident, kind, sequence, summary, {"endpoint": incident.name, **more},
        now_ms=now_ms, webhook_id=webhook_id,
    )  # fmt: skip
