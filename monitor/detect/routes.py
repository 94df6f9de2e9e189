"""Routes: which of a model's messages go to which endpoints, and when they may wake somebody.

A model without routes sends everything everywhere. Quiet hours go by the wall clock of whoever
sleeps, so they hold back sending alone: what is decided, and its order, is the same with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from monitor.detect.message_types import PIPELINE, RETRAIN, TYPES

ANY: Final = "*"
# A whole subject by the word before the dot, or one type.
EVENTS: Final = (
    ANY,
    *sorted({types.opened.partition(".")[0] for types in TYPES.values()}),
    *sorted(
        {
            name
            for types in TYPES.values()
            for name in (types.opened, types.updated, types.over, types.gone, types.withdrawn)
        }
    ),
    "pipeline",
    *PIPELINE,
    "retrain",
    *RETRAIN,
)
SEVERITIES: Final = ("warning", "critical")
_HOURS: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


@dataclass(frozen=True)
class Quiet:
    """Hours of each day in which nothing below critical is sent.

    Attributes
    ----------
    hours
        From and to, such as ``22:00-07:00``; over midnight where the end is not after the start.
    timezone
        IANA name of the zone whose clock is meant.
    """

    hours: str
    timezone: str

    def until_ms(self, now_ms: int) -> int | None:
        """Return when it is over, epoch ms; None where it is not quiet at `now_ms`.

        Examples
        --------
        >>> night = Quiet("22:00-07:00", "UTC")
        >>> hour = 3_600_000
        >>> night.until_ms(23 * hour) == 31 * hour, night.until_ms(6 * hour) == 7 * hour
        (True, True)
        >>> night.until_ms(7 * hour) is None, night.until_ms(21 * hour) is None
        (True, True)
        """
        start, end = _hours(self.hours)
        zone = ZoneInfo(self.timezone)
        now = datetime.fromtimestamp(now_ms / 1_000, zone)
        clock = now.time()
        if start < end:
            if not start <= clock < end:
                return None
            day = now.date()
        elif clock >= start:
            day = now.date() + timedelta(days=1)
        elif clock < end:
            day = now.date()
        else:
            return None
        over_ms = round(datetime.combine(day, end, zone).timestamp() * 1_000)
        # In the hour that comes twice, the end may be over already.
        return over_ms if over_ms > now_ms else None


@dataclass(frozen=True)
class Route:
    """What of a model goes to some endpoints.

    Attributes
    ----------
    events
        Types of messages, or the words before their dots; ``*`` is all.
    severity
        From which on: of the worst that was told of the alert.
    endpoints
        Their numbers.
    repeat_hours
        After so many hours without another message an alert that still stands, and that nobody
        looks after, is told again; None is never.
    """

    events: tuple[str, ...]
    severity: str
    endpoints: tuple[int, ...]
    quiet: Quiet | None = None
    repeat_hours: int | None = None

    def takes(self, event: str, worst: str) -> bool:
        """Whether a message goes this way.

        Examples
        --------
        >>> route = Route(("drift", "schema.broken"), "critical", (1,))
        >>> route.takes("drift.updated", "critical"), route.takes("schema.broken", "critical")
        (True, True)
        >>> route.takes("drift.updated", "warning"), route.takes("schema.resolved", "critical")
        (False, False)
        """
        named = {ANY, event, event.partition(".")[0]}
        is_bad_enough = SEVERITIES.index(worst) >= SEVERITIES.index(self.severity)
        return is_bad_enough and not named.isdisjoint(self.events)

    def to_json(self) -> str:
        """Return the form that is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Route:
        """Read the stored form back."""
        return msgspec.json.decode(text, type=cls)


def destinations(
    routes: Iterable[Route], event: str, worst: str, now_ms: int
) -> dict[int, int | None]:
    """Return the endpoints that a message goes to, and until when each is left in peace.

    Where several routes lead to one, the earliest counts. What is critical waits for nobody.
    """
    found: dict[int, int | None] = {}
    for route in routes:
        if not route.takes(event, worst):
            continue
        is_held = route.quiet is not None and worst != "critical"
        until_ms = route.quiet.until_ms(now_ms) if route.quiet is not None and is_held else None
        for endpoint in route.endpoints:
            if endpoint not in found:
                found[endpoint] = until_ms
            else:
                before = found[endpoint]
                found[endpoint] = None if None in (before, until_ms) else min(before, until_ms)  # type: ignore[type-var]
    return found


def pipeline_destinations(
    routes: Iterable[Route], event: str, severity: str, now_ms: int
) -> dict[int, int | None] | None:
    """Return where a message about the pipeline goes; None for every endpoint.

    It is about no model, and no model's `*` takes it: from the first route on that names the
    pipeline, whichever model's, it goes where those say.

    Examples
    --------
    >>> ways = [Route(("*",), "warning", (1,)), Route(("pipeline",), "warning", (2,))]
    >>> pipeline_destinations(ways[:1], "pipeline.gap", "warning", 0) is None
    True
    >>> pipeline_destinations(ways, "pipeline.gap", "warning", 0)
    {2: None}
    """
    named = {"pipeline", *PIPELINE}
    own = [route for route in routes if not named.isdisjoint(route.events)]
    if not own:
        return None
    without_any = (replace(r, events=tuple(e for e in r.events if e != ANY)) for r in own)
    return destinations(without_any, event, severity, now_ms)


def is_hours(text: str) -> bool:
    """Whether a text is hours of a day.

    Examples
    --------
    >>> [is_hours(text) for text in ("22:00-07:00", "24:00-07:00", "07:00-07:00")]
    [True, False, False]
    """
    return _HOURS.fullmatch(text) is not None and text[:5] != text[6:]


def _hours(text: str) -> tuple[time, time]:
    found = _HOURS.fullmatch(text)
    assert found is not None, text
    a, b, c, d = map(int, found.groups())
    return time(a, b), time(c, d)
