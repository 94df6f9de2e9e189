"""The messages about endpoints themselves; what is about models, the evaluator writes."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime
from typing import Any

from monitor.storage.deliveries import TEST_TYPE
from monitor.storage.endpoints import Endpoint
from monitor.storage.outbox import Message


def endpoint_test(endpoint: Endpoint, now_ms: int) -> Message:
    """Return a message that says nothing but that it arrives."""
    summary = f"A test of endpoint {endpoint.name}: nothing is wrong."
    data = {"endpoint": endpoint.name, "summary": summary}
    return Message(
        f"test_{secrets.token_hex(16)}", None, 0, TEST_TYPE, _body(TEST_TYPE, data, now_ms)
    )


def endpoint_disabled(endpoint: Endpoint, why: str, lost: int, now_ms: int) -> Message:
    """Return what the other endpoints are told of one that wants nothing more."""
    kind = "endpoint.disabled"
    more = f" {lost} waiting messages were given up." if lost else ""
    data = {
        "severity": "warning",
        "endpoint": endpoint.name,
        "reason": why,
        "summary": f"Endpoint {endpoint.name} was disabled: {why}.{more}",
    }
    # Named by what happened: whoever says it again says the same.
    webhook_id = f"endpoint_{endpoint.id}_disabled_{now_ms}"
    return Message(webhook_id, None, 0, kind, _body(kind, data, now_ms))


def _body(kind: str, data: dict[str, Any], now_ms: int) -> str:
    at = datetime.fromtimestamp(now_ms / 1_000, UTC).isoformat(timespec="milliseconds")
    said = {"type": kind, "timestamp": at.replace("+00:00", "Z"), "data": data}
    return json.dumps(said, ensure_ascii=False, separators=(",", ":"))
