"""Where alerts are sent, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address that alerts are sent to; `state` is enabled or disabled.

    `failed` messages were given up; `fingerprint` tells its secret from others. `url` is as it
    may be shown: what may be a secret in it is hidden. `failing_since` is when nothing arrived
    any more, None while something does. `starts` is what a trainer starts, None where it is none.
    """

    name: str
    kind: str
    url: str
    starts: str | None
    state: str
    disabled_reason: str | None
    disabled: datetime | None
    created: datetime
    fingerprint: str | None
    rotating_until: datetime | None
    delivered: int
    failed: int
    pending: int
    last_attempt: datetime | None
    last_error: str | None
    failing_since: datetime | None

    @property
    def is_enabled(self) -> bool:
        """Whether anything is sent to it."""
        return self.state == "enabled"


@dataclass(frozen=True, slots=True)
class NewEndpoint(Endpoint):
    """An endpoint that was added, or whose secret was replaced.

    `secret` is told this once, and None where the endpoint was there already.
    """

    is_new: bool
    secret: str | None = field(repr=False)
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One time that a message was sent, and the answer's beginning."""

    number: int
    at: datetime
    duration_ms: int
    status: int | None
    error: str | None
    response: str | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message for one endpoint: pending, delivered, dead (given up) or cancelled.

    `status` and `error` are of the last attempt.
    """

    id: int
    endpoint: str
    webhook_id: str
    alert_id: str | None
    sequence: int
    type: str
    state: str
    attempts: int
    created: datetime
    due: datetime | None
    finished: datetime | None
    status: int | None
    error: str | None


@dataclass(frozen=True, slots=True)
class DeliveryDetail(Delivery):
    """A message with its body, as it is sent, and every recorded attempt."""

    body: str
    tried: tuple[DeliveryAttempt, ...]


@dataclass(frozen=True, slots=True)
class ServiceIncident:
    """What is wrong with a part of Driftline itself: an endpoint (`kind` delivery) or the way from
    the log to the verdicts (pipeline).

    Open while `resolved` is None; `resolved_as` is enabled or removed, recovered or forgotten.
    """

    id: int
    kind: str
    name: str
    severity: str
    summary: str
    opened: datetime
    resolved: datetime | None
    resolved_as: str | None


@dataclass(frozen=True, slots=True)
class Route:
    """Which of a model's messages go to some endpoints, and when not.

    `quiet` are hours of `timezone` in which nothing below critical is sent. After `repeat_hours`
    an alert that still stands is told again; None is never.
    """

    model: str
    name: str
    events: tuple[str, ...]
    severity: str
    endpoints: tuple[str, ...]
    quiet: str | None
    timezone: str | None
    created: datetime
    repeat_hours: int | None = None
