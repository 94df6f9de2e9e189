"""Incidents as a function of latches.

One incident per (version, segment, feature, kind), whatever lengths and
statistics latched. Nothing here remembers anything: the same latches give the
same incidents, so that a replay or a late event finds what a live run found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise

from driftline.stats.episodes import Latch
from monitor.windows.calendar import DAY_MS, NOMINAL_MS

# A return within a fortnight is the same problem coming back.
REOPENS_WITHIN_MS = 14 * DAY_MS


class IncidentState(StrEnum):
    """Where an incident stands."""

    PENDING = "pending"  # one window exceeded: not told
    FIRING = "firing"
    RECOVERING = "recovering"  # the last windows were clear, fewer than three
    RESOLVED = "resolved"
    EXPIRED = "expired"  # nothing could be judged for too long
    WITHDRAWN = "withdrawn"  # late events took its ground away
    SUPERSEDED = "superseded"  # another version of the model answers


_ENDED = {"cleared": IncidentState.RESOLVED, "superseded": IncidentState.SUPERSEDED}


@dataclass(frozen=True)
class Member:
    """A latch with where it is: statistic, window length and level."""

    statistic: str
    length: str
    level: str  # warning | critical
    latch: Latch
    clear_count: int = 0

    @property
    def rank(self) -> tuple[int, int, int, str]:
        """What is told first when several latch at once: the shorter, the milder."""
        return (
            self.latch.opened_ms,
            NOMINAL_MS[self.length],
            self.level == "critical",
            self.statistic,
        )


@dataclass
class Episode:
    """One stretch in which an incident was open.

    `first_ms` is the start of its first exceeding window, `last_ms` the end of
    its last one; `told_by` is the shortest length that told it, in ms.
    """

    opened_ms: int
    first_ms: int
    members: list[Member] = field(default_factory=list)
    told_by_ms: int = 0

    @property
    def last_ms(self) -> int:
        return max(member.latch.last_ms for member in self.members)

    @property
    def resolved_ms(self) -> int | None:
        ends = [member.latch.closed_ms for member in self.members]
        known = [end for end in ends if end is not None]
        return max(known) if len(known) == len(ends) else None

    @property
    def closed_as(self) -> str | None:
        """What ended the latch that ended last: cleared, expired or superseded; None while open."""
        if self.resolved_ms is None:
            return None
        latches = [member.latch for member in self.members]
        # At one instant the successor's coming is the better reason.
        return max(latches, key=lambda x: (x.closed_ms or 0, x.closed_as or "")).closed_as

    @property
    def is_superseded(self) -> bool:
        """Whether it ended because another version took over."""
        return self.closed_as == "superseded"

    def is_open_at(self, time_ms: int) -> bool:
        """Whether any member is still latched just before `time_ms`."""
        return any(
            member.latch.closed_ms is None or member.latch.closed_ms > time_ms
            for member in self.members
        )


@dataclass
class Incident:
    """The facts of one incident; `told` lists (time, event) of what is worth a message."""

    episodes: list[Episode]
    told: list[tuple[int, str]] = field(default_factory=list)

    @property
    def severity(self) -> str:
        """How bad it is now, or how bad it was at its worst once it is over.

        Critical has latches of its own: two holiday days do not stay critical
        for as long as the season that follows them is drifting.
        """
        current = self.episodes[-1]
        concerned = [m for m in current.members if m.latch.closed_ms is None] or self.members
        return "critical" if any(m.level == "critical" for m in concerned) else "warning"

    @property
    def opened_ms(self) -> int:
        return self.episodes[0].opened_ms

    @property
    def first_window_ms(self) -> int:
        return self.episodes[0].first_ms

    @property
    def last_ms(self) -> int:
        return max(episode.last_ms for episode in self.episodes)

    @property
    def resolved_ms(self) -> int | None:
        return self.episodes[-1].resolved_ms

    @property
    def members(self) -> list[Member]:
        """The latches of every episode."""
        return [member for episode in self.episodes for member in episode.members]

    @property
    def state(self) -> IncidentState:
        current = self.episodes[-1]
        if current.resolved_ms is not None:
            return _ENDED.get(current.closed_as or "", IncidentState.EXPIRED)
        open_now = [member for member in current.members if member.latch.closed_ms is None]
        if all(member.clear_count for member in open_now):
            return IncidentState.RECOVERING
        return IncidentState.FIRING


def derive(members: Iterable[Member]) -> list[Incident]:
    """Return the incidents of one (version, segment, feature, kind), oldest first."""
    incidents: list[Incident] = []
    for member in sorted(members, key=lambda member: member.rank):
        _take(incidents, member)
    return incidents


def _take(incidents: list[Incident], member: Member) -> None:
    latch = member.latch
    current = incidents[-1] if incidents else None
    if current is not None and current.episodes[-1].is_open_at(latch.opened_ms):
        _join(current, member)
        return
    opened_ms = _news_at(incidents, member)
    if opened_ms is None:
        return
    if current is not None and current.episodes[-1].is_open_at(opened_ms):
        _join(current, member)
        return
    episode = Episode(
        opened_ms=opened_ms,
        first_ms=latch.exceeding[0][0],
        members=[member],
        told_by_ms=NOMINAL_MS[member.length],
    )
    ended_ms = None if current is None else current.resolved_ms
    if current is not None and ended_ms is not None and opened_ms - ended_ms <= REOPENS_WITHIN_MS:
        current.episodes.append(episode)
        current.told.append((opened_ms, "reopened"))
        return
    incidents.append(Incident([episode], [(opened_ms, "opened")]))


def _join(incident: Incident, member: Member) -> None:
    """Add a latch to the open episode; told only where the episode becomes critical first."""
    episode = incident.episodes[-1]
    was_critical = any(other.level == "critical" for other in episode.members)
    episode.members.append(member)
    opened_ms = member.latch.opened_ms
    if member.level == "critical" and not was_critical and opened_ms > episode.opened_ms:
        incident.told.append((opened_ms, "escalated"))


def _news_at(incidents: Sequence[Incident], member: Member) -> int | None:
    """Return when `member` tells something that no shorter window has told, if ever.

    A day that exceeded because of the hours told yesterday is no news; two
    exceeding windows clear of every told episode are.
    """
    own_ms = NOMINAL_MS[member.length]
    told = [
        (episode.first_ms, episode.last_ms)
        for incident in incidents
        for episode in incident.episodes
        if episode.told_by_ms < own_ms
    ]
    fresh = [
        (start, end)
        for start, end in member.latch.exceeding
        if not any(start < last and first < end for first, last in told)
    ]
    if len(fresh) == len(member.latch.exceeding):
        return member.latch.opened_ms
    for (earlier, _), (later, end) in pairwise(fresh):
        # Two of three in a row: at most one window between them.
        if later - earlier <= 2 * own_ms + NOMINAL_MS["hour"]:
            return max(end, member.latch.opened_ms)
    return None
