"""How each kind of endpoint is sent a message: one table, one small module each.

Whatever the kind, the message is the outbox's, the attempt one attempt, and the answer one that
`monitor.alerts.schedule` understands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from driftline.webhooks import sign
from monitor.alerts import pagerduty, slack
from monitor.alerts.apprise import Notifier
from monitor.alerts.http import Caller
from monitor.alerts.said import Said, said
from monitor.alerts.schedule import Answer
from monitor.alerts.smtp import Mailer
from monitor.alerts.trainers import Trainers
from monitor.alerts.trainers.talk import Seen
from monitor.detect.retraining import TRAINS_ONLY
from monitor.storage.deliveries import Claim
from monitor.storage.endpoints import WEBHOOK, Endpoint
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Run

SLACK, PAGERDUTY, SMTP, APPRISE = "slack", "pagerduty", "smtp", "apprise"
KINDS: Final = (WEBHOOK, SLACK, PAGERDUTY, SMTP, APPRISE, *TRAINS_ONLY)
_JSON: Final = {"content-type": "application/json"}


class Post(Protocol):
    """What sends a body to a URL, and never raises."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer: ...


class Mail(Protocol):
    """What sends a mail, and never raises."""

    def __call__(
        self, url: str, settings: Mapping[str, Any], password: str | None, said: Said
    ) -> Answer: ...


class Notify(Protocol):
    """What sends a message through Apprise, and never raises."""

    def __call__(self, url: str, said: Said) -> Answer: ...


class Train(Protocol):
    """What asks a trainer for a training, and how it is; it never raises."""

    def send(self, endpoint: Endpoint, message: Message) -> Answer: ...

    def look(self, endpoint: Endpoint, run: Run) -> Seen: ...


@dataclass(frozen=True)
class Ways:
    """What sends: over HTTP, as mail, through Apprise, and to trainers."""

    post: Post
    mail: Mail = field(default_factory=Mailer)
    notify: Notify = field(default_factory=Notifier)
    train: Train = field(default_factory=lambda: Trainers(Caller()))


def send(held: Claim, at_ms: int, ways: Ways) -> Answer:
    """Send a message to its endpoint once, as its kind wants it."""
    endpoint, message = held.endpoint, held.message
    secrets = endpoint.signing(at_ms)
    match endpoint.kind:
        case "slack":
            return ways.post(endpoint.url, _JSON, slack.body_of(said(message)))
        case "pagerduty":
            return ways.post(endpoint.url, _JSON, pagerduty.body_of(said(message), secrets[0]))
        case "smtp":
            password = secrets[0] if secrets else None
            return ways.mail(endpoint.url, endpoint.settings, password, said(message))
        case "apprise":
            return ways.notify(endpoint.url, said(message))
        case "webhook":
            return ways.post(endpoint.url, _signed(held, at_ms), message.body.encode())
        case kind if kind in TRAINS_ONLY:
            return ways.train.send(endpoint, message)
    return Answer(error=f"endpoints of kind {endpoint.kind} are of a newer release than this one")


def _signed(held: Claim, at_ms: int) -> dict[str, str]:
    """What Standard Webhooks asks for; the signature is of this attempt's time."""
    at_s, message = at_ms // 1_000, held.message
    signatures = [
        sign(secret, message.webhook_id, at_s, message.body)
        for secret in held.endpoint.signing(at_ms)
    ]
    return {
        **_JSON,
        "webhook-id": message.webhook_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(signatures),
    }
