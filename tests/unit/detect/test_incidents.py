"""Incidents are a function of latches: joined, told once, reopened, muted by what was told."""

from __future__ import annotations

import itertools

from driftline.stats.episodes import Latch
from monitor.detect.incidents import Incident, IncidentState, Member, derive
from monitor.windows.calendar import DAY_MS, NOMINAL_MS

HOUR = NOMINAL_MS["hour"]


def member(
    length: str,
    starts: list[int],
    closed: int | None,
    *,
    level: str = "warning",
    statistic: str = "missing",
    closed_as: str = "cleared",
    clear_count: int = 0,
) -> Member:
    """A latch over windows that start at `starts`, in units of the length, closed at `closed`."""
    nominal = NOMINAL_MS[length]
    spans = tuple((start * nominal, (start + 1) * nominal) for start in starts)
    latch = Latch(
        spans[1][1],
        spans,
        spans[-1][1],
        None if closed is None else closed * nominal,
        None if closed is None else closed_as,
    )
    return Member(statistic, length, level, latch, clear_count)


def told(incidents: list[Incident]) -> list[str]:
    return [event for incident in incidents for _, event in incident.told]


def test_an_open_latch_is_a_firing_incident() -> None:
    (incident,) = derive([member("day", [3, 4], None)])
    assert incident.state is IncidentState.FIRING
    assert (incident.first_window_ms, incident.opened_ms) == (3 * DAY_MS, 5 * DAY_MS)
    assert told([incident]) == ["opened"]


def test_clear_windows_make_it_recovering_and_three_resolve_it() -> None:
    (incident,) = derive([member("day", [3, 4], None, clear_count=2)])
    assert incident.state is IncidentState.RECOVERING
    (incident,) = derive([member("day", [3, 4], 8)])
    assert incident.state is IncidentState.RESOLVED
    assert incident.resolved_ms == 8 * DAY_MS


def test_nothing_to_judge_expires_it() -> None:
    (incident,) = derive([member("day", [3, 4], 12, closed_as="expired")])
    assert incident.state is IncidentState.EXPIRED


def test_becoming_critical_is_told_once_more_under_the_same_incident() -> None:
    (incident,) = derive(
        [member("day", [3, 4], None), member("day", [5, 6], None, level="critical")]
    )
    assert incident.severity == "critical"
    assert told([incident]) == ["opened", "escalated"]


def test_what_opens_as_critical_is_told_once() -> None:
    (incident,) = derive(
        [member("day", [3, 4], None), member("day", [3, 4], None, level="critical")]
    )
    assert incident.severity == "critical"
    assert told([incident]) == ["opened"]


def test_it_is_critical_only_while_a_critical_latch_is_open() -> None:
    drift, holidays = member("day", [3, 4], None), member("day", [3, 4], 8, level="critical")
    (incident,) = derive([drift, holidays])
    assert incident.severity == "warning"
    (over,) = derive([member("day", [3, 4], 90), holidays])
    assert over.severity == "critical"


def test_a_day_does_not_tell_again_what_its_hours_told() -> None:
    hours = member("hour", [17, 18, 19], 41)
    day = member("day", [0, 1], 5)
    (incident,) = derive([hours, day])
    assert incident.resolved_ms == 41 * HOUR
    assert told([incident]) == ["opened"]


def test_a_day_tells_what_goes_on_after_the_hours_fell_silent() -> None:
    hours = member("hour", [17, 18], 22)
    day = member("day", [0, 1, 2], 9)
    (incident,) = derive([hours, day])
    assert told([incident]) == ["opened", "reopened"]
    assert incident.told[1][0] == 3 * DAY_MS


def test_a_return_within_a_fortnight_reopens_and_a_later_one_is_new() -> None:
    first = member("day", [0, 1], 5)
    soon, late = member("day", [15, 16], 22), member("day", [19, 20], 26)
    assert told(derive([first, soon])) == ["opened", "reopened"]
    assert len(derive([first, soon])) == 1
    assert told(derive([first, late])) == ["opened", "opened"]
    assert len(derive([first, late])) == 2


def test_an_incident_is_open_while_any_length_is_latched() -> None:
    days = member("day", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 20, statistic="psi")
    weeks = member("week", [0, 1], 5, statistic="psi")
    (incident,) = derive([days, weeks])
    assert incident.resolved_ms == 35 * DAY_MS
    assert told([incident]) == ["opened"]


def test_the_order_in_which_latches_are_given_does_not_matter() -> None:
    latches = [
        member("hour", [17, 18, 19], 41),
        member("day", [0, 1, 2], 9),
        member("day", [20, 21], 25, level="critical"),
        member("week", [3, 4], None),
    ]
    first = derive(latches)
    for order in itertools.permutations(latches):
        assert [incident.told for incident in derive(order)] == [i.told for i in first]
