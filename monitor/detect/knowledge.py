"""What is true of incidents and what receivers know of it: the values that alerts go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.windows.calendar import DAY_MS, window_of

OPEN_STATES = ("firing", "recovering")
# Of an alert; "resolved" and "withdrawn" are the incident's words.
OPEN = "open"
# A stream that ended has no midnight: what was held is told after a day by the wall clock.
HELD_AT_MOST_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class IncidentNow:
    """An incident as it stands, as far as messages go by it.

    `episodes` are the instants at which it opened and opened again.
    """

    number: int
    version_id: int
    segment: str
    feature: str
    kind: str
    severity: str
    state: str
    muted: bool
    first_window_ms: int
    opened_ms: int
    resolved_ms: int | None
    episodes: tuple[int, ...]

    @property
    def is_open(self) -> bool:
        """Whether it stands."""
        return self.state in OPEN_STATES

    @property
    def is_withdrawn(self) -> bool:
        """Whether late events took its ground away."""
        return self.state == "withdrawn"


@dataclass(frozen=True, slots=True)
class KnownIncident:
    """What receivers know of an incident; the severity is the worst told of its episode."""

    alert_id: str
    kind: str
    severity: str
    state: str
    episodes: int

    @property
    def is_open(self) -> bool:
        """Whether they believe that it stands."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Alert:
    """One problem as it was told last.

    Attributes
    ----------
    number
        The incident that its URL names.
    state
        open, resolved or withdrawn.
    severity, worst
        Of the last message, and the worst since it was detected (again).
    sequence
        Of the last message; the first has 1.
    opened_ms
        Event time from which it stood, since it was detected (again).
    told_ms, recorded_ms
        Event and wall time of the last message.
    warned_ms
        Event time of its last detection or update below critical.
    """

    alert_id: str
    number: int
    state: str
    severity: str
    worst: str
    sequence: int
    opened_ms: int
    told_ms: int
    recorded_ms: int
    warned_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """Since when something new about an incident waits, in event time and by the wall clock.

    `silence` is the number of the silence that it waits for; None where it waits for a day.
    """

    at_ms: int
    recorded_ms: int
    silence: int | None = None


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What receivers know, as far as it matters now, and what is held back from them.

    Attributes
    ----------
    alerts
        By id, the oldest first.
    incidents, held
        By the incident's number.
    warned_ms
        Event time of the version's last detection or update below critical.
    """

    alerts: Mapping[str, Alert] = field(default_factory=dict)
    incidents: Mapping[int, KnownIncident] = field(default_factory=dict)
    held: Mapping[int, Held] = field(default_factory=dict)
    warned_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is decided: event time, wall time, and the zone whose days are counted.

    `silences` are the numbers of those that are active.
    """

    event_ms: int
    now_ms: int
    timezone: str
    silences: frozenset[int] = frozenset()

    def ends(self, held: Held) -> bool:
        """Whether what was held need not wait any longer.

        Examples
        --------
        >>> noon, midnight = 12 * 3_600_000, 24 * 3_600_000
        >>> held = Held(at_ms=noon, recorded_ms=0)
        >>> [Moment(ms, 0, "UTC").ends(held) for ms in (midnight - 1, midnight)]
        [False, True]
        >>> held = Held(at_ms=noon, recorded_ms=0, silence=7)
        >>> [Moment(midnight, 0, "UTC", frozenset(s)).ends(held) for s in ({7}, {8})]
        [False, True]
        """
        if held.silence is not None:
            return held.silence not in self.silences
        return (
            self.event_ms >= window_of(held.at_ms, "day", self.timezone).end_ms
            or self.now_ms - held.recorded_ms >= HELD_AT_MOST_MS
        )

    def is_same_day(self, event_ms: int) -> bool:
        """Whether another instant of event time is of the same local day."""
        day = window_of(self.event_ms, "day", self.timezone)
        return day.start_ms <= event_ms < day.end_ms
