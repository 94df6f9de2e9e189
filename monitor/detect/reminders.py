"""Reminders: an alert that still stands, and that nobody looks after, is told again.

Each route says how often. Which reminder is due follows from the alert's last message and the
clock alone: the hours since then, cut into stretches of the route's length. So whoever decides
twice, or on a database that was restored, names the same one, and of several that nobody was there
to send one goes out. A reminder adds nothing to the alert: it has the `sequence` of what it
repeats.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from monitor.detect.alerts import Notice, Repeat
from monitor.detect.kinds import subject_of_all
from monitor.detect.knowledge import OPEN, Alert, IncidentNow
from monitor.detect.message_types import TYPES
from monitor.detect.routes import Route
from monitor.windows.panes import HOUR_MS

# Less is no reminder, more is forgotten: a month.
AT_LEAST_H: Final = 1
AT_MOST_H: Final = 720
WHY: Final = "reminder"


def intervals(
    routes: Iterable[Route], events: Collection[str], worst: str, now_ms: int
) -> dict[int, int]:
    """Return by endpoint how many hours after the last message it is reminded.

    Of several routes to one the shortest counts. In quiet hours a route reminds of nothing below
    critical: it does when they are over.

    Parameters
    ----------
    events
        Types of which a route must take one.

    Examples
    --------
    >>> daily = Route(("drift",), "warning", (1,), repeat_hours=24)
    >>> intervals([daily, Route(("*",), "warning", (1, 2))], ["drift.updated"], "warning", 0)
    {1: 24}
    """
    found: dict[int, int] = {}
    for route in routes:
        hours = route.repeat_hours
        if hours is None or not any(route.takes(event, worst) for event in events):
            continue
        if route.quiet is not None and worst != "critical" and route.quiet.until_ms(now_ms):
            continue
        for endpoint in route.endpoints:
            found[endpoint] = min(hours, found.get(endpoint, hours))
    return found


def reminders(
    alert: Alert,
    incidents: Collection[IncidentNow],
    routes: Iterable[Route],
    knowing: Collection[int],
    now_ms: int,
) -> Mapping[Notice, tuple[int, ...]]:
    """Return what is to be said again of an alert, with the endpoints that it is said to.

    Parameters
    ----------
    incidents
        Those of it that were told, stand, and that nobody looks after or has silenced.
    knowing
        Endpoints that were told of it and not of its end.
    """
    if alert.state != OPEN or not incidents:
        return {}
    types = TYPES[subject_of_all({incident.kind for incident in incidents})]
    waited_ms = now_ms - alert.recorded_ms
    found: dict[Notice, tuple[int, ...]] = {}
    by_endpoint = intervals(routes, (types.opened, types.updated), alert.worst, now_ms)
    numbers = tuple(sorted(incident.number for incident in incidents))
    for endpoint, hours in sorted(by_endpoint.items()):
        nth = waited_ms // (hours * HOUR_MS)
        if endpoint in knowing and nth >= 1:
            again = Repeat(hours, nth, now_ms)
            notice = Notice(types.updated, alert, WHY, numbers, alert.opened_ms, repeat=again)
            found[notice] = (*found.get(notice, ()), endpoint)
    return found
