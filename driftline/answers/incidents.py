"""Incidents: alone, with their history, and in groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Episode:
    """One span in which an incident stood; `resolved` is None while it does."""

    opened: datetime
    first_window: datetime
    last_window_end: datetime
    resolved: datetime | None


@dataclass(frozen=True, slots=True)
class Incident:
    """One problem of one feature, from its first window on."""

    id: int
    model: str
    version: str
    segment: str
    feature: str
    kind: str
    severity: str
    state: str
    muted: bool
    first_window: datetime
    opened_at: datetime
    resolved_at: datetime | None
    summary: str
    episodes: tuple[Episode, ...]
    evidence: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """A line of an incident's history, in event time (`at`) and by the wall clock."""

    event: str
    at: datetime
    recorded: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class IncidentDetail(Incident):
    """An incident with its history, the oldest line first."""

    history: tuple[IncidentEvent, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """A span of time; `end` is None while it lasts."""

    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class IncidentGroup:
    """Incidents of one version that are one problem, by the number of the first."""

    id: int
    model: str
    version: str
    state: str
    severity: str
    opened_at: datetime
    resolved_at: datetime | None
    spans: tuple[Span, ...]
    features: tuple[str, ...]
    kinds: tuple[str, ...]
    segments: tuple[str, ...]
    incidents: tuple[int, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class GroupMember(Incident):
    """A member of a group, and in how many of its windows it was over the limit."""

    length: str | None
    over: int | None
    windows: int | None


@dataclass(frozen=True, slots=True)
class GroupEvent(IncidentEvent):
    """What happened to one member of a group."""

    incident: int


@dataclass(frozen=True, slots=True)
class IncidentGroupDetail(IncidentGroup):
    """A group with what is recorded of it; `chosen` is the number that was asked for.

    At most 100 members and 300 lines of history: `n_members` and `n_history` say of how many.
    """

    chosen: int
    members: tuple[GroupMember, ...]
    history: tuple[GroupEvent, ...]
    n_members: int
    n_history: int
    n_features: int | None
    timezone: str
    judged_to: datetime | None
