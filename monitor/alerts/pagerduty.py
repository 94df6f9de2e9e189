"""PagerDuty: Events API v2, one incident of theirs for each alert of ours.

The alert's id is the `dedup_key`: whatever is told of it later joins the incident, and its end
resolves it. A test resolves what is not open: it tries address and key, and wakes nobody.
"""

from __future__ import annotations

import json
from typing import Any, Final

from monitor.alerts.said import Said

URL: Final = "https://events.pagerduty.com/v2/enqueue"
# What the API takes.
SUMMARY: Final = 1_024
KEY: Final = 255
_SEVERITIES: Final = {"critical": "critical", "warning": "warning"}


def action_of(said: Said) -> str:
    """Return trigger, acknowledge or resolve."""
    if said.is_over or said.is_test:
        return "resolve"
    return "acknowledge" if said.type.endswith(".acknowledged") else "trigger"


def body_of(said: Said, routing_key: str) -> bytes:
    """Return the body of the request."""
    event: dict[str, Any] = {
        "routing_key": routing_key,
        "event_action": action_of(said),
        "dedup_key": said.key[:KEY],
    }
    if event["event_action"] == "trigger":
        event["payload"] = {
            "summary": said.summary[:SUMMARY],
            "source": f"{said.model} {said.version}".strip() or "driftline",
            "severity": _SEVERITIES.get(said.severity, "info"),
            "timestamp": said.at,
            "component": said.model or "driftline",
            "class": said.type,
            "custom_details": {"incidents": list(said.lines), "sequence": said.sequence},
        }
        event["client"] = "Driftline"
        if said.url:
            event["client_url"] = said.url
            event["links"] = [{"href": said.url, "text": "Open it"}]
    return json.dumps(event).encode()
