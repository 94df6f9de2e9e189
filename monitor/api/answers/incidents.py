"""Incidents, their history and their groups."""

from __future__ import annotations

from typing import Any

from monitor.api.answers.common import Answer, Instant, said

SUMMARY = "temp: PSI 0.88, limit 0.64, in 2 of the last 3 days."


class EpisodeAnswer(Answer):
    """One span in which the problem stood; an incident that reopens has several."""

    opened: Instant = said("When it was sure", "2013-05-12T04:00:00Z")
    first_window: Instant = said("Start of the first bad window", "2013-05-10T04:00:00Z")
    last_window_end: Instant = said("End of the last one", "2013-05-16T04:00:00Z")
    resolved: Instant | None = said("Null while it stands", None)


class IncidentAnswer(Answer):
    """An incident: one problem of one feature, from its first window on."""

    id: int = said("Its number", 19, at="number")
    model: str = said("The model", "flight-delay")
    version: str = said("The version", "3")
    segment: str = said("`all`, or rows with one value of a dimension", "all")
    feature: str = said("What moved", "temp")
    kind: str = said("distribution, missing, unseen, type_error ...", "distribution")
    severity: str = said("warning or critical", "warning")
    state: str = said(
        "pending, firing, recovering, resolved, withdrawn, expired or superseded", "firing"
    )
    muted: bool = said("Whether nobody is told", False)
    first_window: Instant = said(
        "Start of its first bad window", "2013-05-10T04:00:00Z", at="first_window_ms"
    )
    opened_at: Instant = said(
        "End of the window that made it sure", "2013-05-12T04:00:00Z", at="opened_ms"
    )
    resolved_at: Instant | None = said("Null while it stands", None, at="resolved_ms")
    summary: str = said("What happened, in one sentence", SUMMARY)
    episodes: list[EpisodeAnswer] = said("Each span in which it stood")
    evidence: dict[str, Any] = said(
        "What was measured when it opened and at its worst",
        {"opened": {"feature": "temp", "statistic": "psi", "value": 0.88, "limit": 0.64}},
    )


class EventAnswer(Answer):
    """A line of an incident's history."""

    event: str = said("opened, escalated, resolved, reopened, withdrawn ...", "opened")
    at: Instant = said("In event time", "2013-05-12T04:00:00Z", at="at_ms")
    recorded: Instant = said("By the wall clock", "2025-06-02T08:00:04Z", at="recorded_ms")
    detail: str = said("What was known then", SUMMARY)


class IncidentDetail(IncidentAnswer):
    """An incident with its history."""

    history: list[EventAnswer] = said("What happened to it, the oldest first")


class SpanAnswer(Answer):
    """A span of time."""

    start: Instant = said("Inclusive", "2013-05-12T04:00:00Z")
    end: Instant | None = said("Null while it lasts", None)


class GroupAnswer(Answer):
    """Incidents of one version that are one problem; it goes by the first one's number."""

    id: int = said("The number of the first of them", 19)
    model: str = said("The model", "flight-delay")
    version: str = said("The version", "3")
    state: str = said("Of the member that is worst off", "firing")
    severity: str = said("warning or critical", "warning")
    opened_at: Instant = said("When the first of them was told", "2013-05-12T04:00:00Z")
    resolved_at: Instant | None = said("Null while one stands", None)
    spans: list[SpanAnswer] = said("When it stood")
    features: list[str] = said("What is concerned, the worst first", ["temp", "dest"])
    kinds: list[str] = said("The kinds of problem", ["distribution", "unseen"])
    segments: list[str] = said("Where it shows, `all` first", ["all"])
    incidents: list[int] = said("The members, the worst first", [19, 20])
    summary: str = said("The worst one's sentence", SUMMARY)


class MemberAnswer(IncidentAnswer):
    """A member of a group."""

    length: str | None = said("The window length that shows it best", "day")
    over: int | None = said("Windows over the limit ...", 5)
    windows: int | None = said("... of so many that it spans", 6)


class HappenedAnswer(EventAnswer):
    """What happened to one member."""

    incident: int = said("The member's number", 19)


class GroupDetail(GroupAnswer):
    """A group with all that is recorded of it."""

    chosen: int = said("The number that was asked for", 19)
    members: list[MemberAnswer] = said(
        "The worst first, at most 100; the others by their numbers in `incidents`"
    )
    history: list[HappenedAnswer] = said(
        "What happened, the oldest first, the last 300 lines; a member's own are with it"
    )
    n_members: int = said("How many members there are", 2)
    n_history: int = said("How many lines there are", 3)
    n_features: int | None = said("How many features the version has", 18)
    timezone: str = said("The model's", "America/New_York")
    judged_to: Instant | None = said("To when the version is judged", "2013-05-16T04:00:00Z")
