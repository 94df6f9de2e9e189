"""What was done about incidents, and silences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which incidents a silence means: those that are all that is not None.

    `severity` is the worst that is meant.
    """

    model: str | None
    version: str | None
    segment: str | None
    feature: str | None
    kind: str | None
    severity: str | None


@dataclass(frozen=True, slots=True)
class Silence:
    """Of what nobody is told for a while; `state` is scheduled, active or over."""

    number: int
    state: str
    matcher: Matcher
    start: datetime
    until: datetime
    reason: str
    by: str
    created: datetime
    ended: datetime | None
    ended_by: str | None


@dataclass(frozen=True, slots=True)
class SilencePreview:
    """Numbers of incidents that a silence would hold back, and of silences that overlap.

    `firing` stand now; `past` opened in the last 30 days of what is judged.
    """

    firing: tuple[int, ...]
    past: tuple[int, ...]
    overlapping: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Something that somebody did about an incident.

    `action` is acknowledged, given back, assigned, commented, useful, noise or unjudged.
    """

    action: str
    at: datetime
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Handling:
    """What was done about an incident, or about what is one problem with it.

    `incidents` are the numbers that this is about; `feedback` is useful, noise or None.
    """

    incidents: tuple[int, ...]
    acknowledged_by: str | None
    acknowledged: datetime | None
    assignee: str | None
    feedback: str | None
    silence: Silence | None
    notes: tuple[Note, ...]
