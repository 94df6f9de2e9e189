"""What a frozen message says, for services that take another form than webhooks do.

The outbox holds one body a message; what Slack, PagerDuty, a mailbox or Apprise are sent is a
function of it alone, so that an attempt that is made again says the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from monitor.alerts.messages import ENABLED
from monitor.detect.message_types import PIPELINE_RECOVERED, RETRAIN_RECOVERED, TYPES
from monitor.storage.deliveries import TEST_TYPE
from monitor.storage.outbox import Message

OVER: Final = {ENABLED, PIPELINE_RECOVERED, RETRAIN_RECOVERED} | {
    kind for each in TYPES.values() for kind in (each.over, each.gone, each.withdrawn)
}
# Lines of incidents that people read before they open the page.
LINES: Final = 10


@dataclass(frozen=True, slots=True)
class Said:
    """A message as people read it.

    Attributes
    ----------
    key
        What all messages of one alert have in common, and no other has.
    is_over
        Whether it ends its alert; `is_test` whether it is about nothing.
    lines
        What its incidents say, the worst first.
    """

    type: str
    at: str
    key: str
    sequence: int
    severity: str
    summary: str
    url: str
    model: str
    version: str
    lines: tuple[str, ...]
    is_over: bool
    is_test: bool
    data: Mapping[str, Any]

    @property
    def word(self) -> str:
        """What stands before the summary."""
        return "test" if self.is_test else "over" if self.is_over else self.severity


def said(message: Message) -> Said:
    """Return what a message says.

    Examples
    --------
    >>> body = '{"type": "drift.resolved", "timestamp": "2025-06-15T00:00:00Z", "data": {}}'
    >>> said(Message("msg_1", "a", 2, "drift.resolved", body)).word
    'over'
    """
    body = json.loads(message.body)
    data = body["data"]
    incidents = data.get("incidents") or ()
    lines = [_line(incident) for incident in incidents[:LINES]]
    more = len(incidents) - len(lines) + int(data.get("more", 0))
    if more:
        lines.append(f"and {more} more")
    return Said(
        type=message.type,
        at=str(body["timestamp"]),
        key=message.alert_id or message.webhook_id,
        sequence=message.sequence,
        severity=str(data.get("severity") or "info"),
        summary=one_line(str(data.get("summary") or message.type)),
        url=str(data.get("url") or ""),
        model=str(data.get("model") or ""),
        version=str(data.get("version") or ""),
        lines=tuple(lines),
        is_over=message.type in OVER,
        is_test=message.type == TEST_TYPE,
        data=data,
    )


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters: names are data."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _line(incident: Mapping[str, Any]) -> str:
    segment = incident.get("segment")
    where = "" if segment in (None, "all") else f" in {segment}"
    about = incident.get("feature") or incident.get("kind")
    words = incident.get("summary") or incident.get("state")
    return one_line(f"{about}{where}: {words} ({incident.get('severity')})")
