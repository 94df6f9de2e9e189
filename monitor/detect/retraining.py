"""When a model's retraining is asked for: pure, from the days on which drift stood.

Only critical drift of the whole population (segment `all`, kind `distribution`) starts one, and
only by windows that are complete and that events closed: what is missing is a pipeline to mend,
and so is what holds a retraining back. A training on broken data teaches the break.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from monitor.detect.incidents import Incident
from monitor.windows.calendar import window_of
from monitor.words import counted

# What can start a training: an endpoint of one of these kinds.
TRAINERS: Final = ("webhook", "airflow", "databricks", "github")
# Of these, what takes nothing else: no alert is sent there.
TRAINS_ONLY: Final = ("airflow", "databricks", "github")


@dataclass(frozen=True, slots=True)
class Policy:
    """When the retraining of a model is asked for, and how long its trainer may be silent.

    Attributes
    ----------
    open_days, of_days
        On so many of the last `of_days` local days critical drift must have stood.
    cooldown_days
        From one request to the next, in event time.
    daily_budget
        As many requests may the whole service make in 24 hours.
    answer_within_hours
        From a trainer's word to its next one; a message is tried for 76 hours.
    dry_run
        Write down what would be asked for, and send nothing.
    enabled
        False asks for nothing, and keeps the rest.
    """

    open_days: int = 5
    of_days: int = 28
    cooldown_days: int = 28
    daily_budget: int = 10
    answer_within_hours: int = 96
    dry_run: bool = False
    enabled: bool = True

    def to_json(self) -> str:
        """Return the form that is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read the stored form back."""
        return msgspec.json.decode(text, type=cls)


# Critical incidents of these kinds hold a retraining back while they are open.
HOLDING: Final = ("missing", "type_error", "schema")
STARTING: Final = "distribution"
Span = tuple[int, int]


class Judged(NamedTuple):
    """A window of one length and of segment `all`, as far as a retraining goes by it."""

    start_ms: int
    end_ms: int
    counts: bool  # complete, and closed by the watermark


@dataclass(frozen=True, slots=True)
class Drift:
    """Critical drift of a feature that is open.

    Attributes
    ----------
    number
        Of its incident.
    since_ms, first_ms
        Event time from which it has been critical, and the start of the first window of it.
    """

    number: int
    feature: str
    since_ms: int
    first_ms: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What a decision goes by.

    Attributes
    ----------
    at_ms
        Event time of the decision: a midnight in `timezone`.
    stood
        When critical drift stood, by windows that count.
    drifts
        What of it is open now, the oldest first.
    holding
        What must be mended first, in words.
    asked_ms
        Event time of the model's request that is nearest, which may be later; None without one.
    asked_today
        Requests of the whole service in the last 24 hours.
    open_request
        Of the version, in words.
    no_trainer
        Why the trainer takes no messages.
    """

    at_ms: int
    timezone: str
    stood: Sequence[Span] = ()
    drifts: Sequence[Drift] = ()
    holding: Sequence[str] = ()
    asked_ms: int | None = None
    asked_today: int = 0
    open_request: str | None = None
    no_trainer: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a retraining is asked for.

    Attributes
    ----------
    verdict
        ask; held: it would be but for `why`; nothing: there is no reason to.
    days
        On how many of the policy's days critical drift stood.
    """

    verdict: Literal["ask", "held", "nothing"]
    days: int
    why: tuple[str, ...] = ()


def decide(policy: Policy, facts: Facts) -> Decision:
    """Return whether a retraining is asked for now."""
    days = len(open_days(facts.stood, facts.at_ms, policy.of_days, facts.timezone))
    if not policy.enabled:
        return Decision("nothing", days, ("the policy is switched off",))
    stood = f"critical drift stood on {days} of the last {policy.of_days} days"
    if not facts.drifts:
        return Decision("nothing", days, (f"no critical drift is open; {stood}",))
    if days < policy.open_days:
        return Decision("nothing", days, (f"{stood}, {policy.open_days} are needed",))
    held = list(_held_by(policy, facts))
    return Decision("held" if held else "ask", days, tuple(held))


def _held_by(policy: Policy, facts: Facts) -> Iterator[str]:
    if facts.no_trainer is not None:
        yield facts.no_trainer
    if facts.open_request is not None:
        yield facts.open_request
    yield from facts.holding
    if facts.asked_ms is not None:
        passed = _date(facts.at_ms, facts.timezone) - _date(facts.asked_ms, facts.timezone)
        if abs(passed) < policy.cooldown_days:
            when = (
                f"the last request was {counted(passed, 'day')} ago"
                if passed >= 0
                else f"there is a request of {counted(-passed, 'day')} later"
            )
            yield f"{when}, the cool-down is {counted(policy.cooldown_days, 'day')}"
    if facts.asked_today >= policy.daily_budget:
        yield (
            f"{counted(facts.asked_today, 'request')} in the last 24 hours, the budget is "
            f"{policy.daily_budget}"
        )


def critical_spans(
    incidents: Iterable[Incident], windows: Mapping[str, Sequence[Judged]], timezone: str
) -> list[Span]:
    """Return when incidents were critical, by windows that count.

    What a window says of a latch holds until the next one of its length has spoken, and no longer
    than to where that one ends.

    Parameters
    ----------
    windows
        By length, in the order of their starts: those that ended since the first day that counts,
        and the last one before it.
    """
    found: list[Span] = []
    for incident in incidents:
        for episode in incident.episodes:
            for member in episode.members:
                if member.level != "critical":
                    continue
                from_ms = max(member.latch.opened_ms, episode.opened_ms)
                closed_ms = member.latch.closed_ms
                own = windows.get(member.length, ())
                for place, window in enumerate(own):
                    if not window.counts or window.end_ms < member.latch.opened_ms:
                        continue
                    next_ms = own[place + 1].end_ms if place + 1 < len(own) else None
                    ends = [window_of(window.end_ms, member.length, timezone).end_ms]
                    until_ms = min([*ends, *(end for end in (closed_ms, next_ms) if end)])
                    start_ms = max(window.end_ms, from_ms)
                    if start_ms < until_ms:
                        found.append((start_ms, until_ms))
    return found


def open_drifts(number: int, feature: str, incident: Incident) -> Drift | None:
    """Return the critical drift of an incident that is open, None where there is none."""
    episode = incident.episodes[-1]
    critical = [
        member.latch
        for member in episode.members
        if member.level == "critical" and member.latch.closed_ms is None
    ]
    if not critical:
        return None
    since_ms = max(min(latch.opened_ms for latch in critical), episode.opened_ms)
    return Drift(number, feature, since_ms, episode.first_ms)


def open_days(spans: Iterable[Span], at_ms: int, of_days: int, timezone: str) -> list[int]:
    """Return on which of the last `of_days` local days before `at_ms` any span lay, by start.

    Examples
    --------
    >>> day = 86_400_000
    >>> open_days([(0, 1), (day - 1, day + 1), (3 * day, 4 * day)], 4 * day, 4, "UTC")
    [0, 86400000, 259200000]
    """
    days = list(days_before(at_ms, of_days, timezone))
    known = list(spans)
    return sorted(
        start for start, end in days if any(low < end and start < high for low, high in known)
    )


def days_before(at_ms: int, count: int, timezone: str) -> Iterator[Span]:
    """Yield the last `count` local days that are over at `at_ms`, the last one first."""
    end_ms = window_of(at_ms, "day", timezone).start_ms
    for _ in range(count):
        start_ms = window_of(end_ms - 1, "day", timezone).start_ms
        yield start_ms, end_ms
        end_ms = start_ms


def midnights(after_ms: int | None, until_ms: int, timezone: str, *, most: int = 32) -> list[int]:
    """Return the local midnights in `(after_ms, until_ms]`, the last `most` of them in order.

    After None only the last one.

    Examples
    --------
    >>> day = 86_400_000
    >>> midnights(0, 2 * day + 5, "UTC") == [day, 2 * day], midnights(day, day + 5, "UTC")
    (True, [])
    >>> midnights(None, 2 * day + 5, "UTC") == [2 * day]
    True
    """
    found: list[int] = []
    at_ms = window_of(until_ms, "day", timezone).start_ms
    while len(found) < most and (after_ms is None or at_ms > after_ms):
        found.append(at_ms)
        if after_ms is None:
            break
        at_ms = window_of(at_ms - 1, "day", timezone).start_ms
    return found[::-1]


def summary_of(policy: Policy, days: int, drifts: Sequence[Drift]) -> str:
    """Return in a sentence why a retraining is asked for.

    Examples
    --------
    >>> summary_of(Policy(), 5, [Drift(7, "temp", 0, 0), Drift(9, "wind", 0, 0)])
    'critical drift (temp and 1 more) stood on 5 of the last 28 days'
    """
    more = f" and {len(drifts) - 1} more" if len(drifts) > 1 else ""
    who = f" ({drifts[0].feature}{more})" if drifts else ""
    return f"critical drift{who} stood on {days} of the last {policy.of_days} days"


def _date(at_ms: int, timezone: str) -> int:
    """The number of a local day."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(ZoneInfo(timezone)).toordinal()
