"""A retraining is asked for by days on which critical drift stood, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.stats.episodes import Latch
from monitor.detect.incidents import Incident, Member, derive
from monitor.detect.retraining import (
    Drift,
    Facts,
    Judged,
    Policy,
    critical_spans,
    days_before,
    decide,
    midnights,
    open_days,
    open_drifts,
    summary_of,
)
from monitor.windows.calendar import DAY_MS, window_of

HOUR = 3_600_000
ZONE = "America/New_York"
# A midnight there, a week after the clocks went forward.
AT_MS = int(datetime(2024, 3, 17, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)


def _days(*back: int) -> list[tuple[int, int]]:
    """An hour of each day that was so many days ago (1 is yesterday)."""
    found = list(days_before(AT_MS, max(back), ZONE))
    return [(found[n - 1][0] + 5 * HOUR, found[n - 1][0] + 6 * HOUR) for n in back]


DUE = Facts(
    AT_MS,
    ZONE,
    stood=_days(1, 2, 3, 4, 5),
    drifts=[Drift(7, "temp", AT_MS - 5 * DAY_MS, AT_MS - 7 * DAY_MS)],
)


def test_five_of_the_last_28_days_are_enough_and_four_are_not() -> None:
    assert decide(Policy(), DUE).verdict == "ask"
    for stood in (_days(1, 2, 3, 4), _days(1, 2, 3, 4, 29), _days(1, 1, 1, 1, 1, 2)):
        found = decide(Policy(), replace(DUE, stood=stood))
        assert found.verdict == "nothing", stood
    assert decide(Policy(), replace(DUE, stood=_days(3, 9, 14, 27, 28))).verdict == "ask"
    assert decide(Policy(), replace(DUE, stood=_days(1, 2, 3))).why == (
        "critical drift stood on 3 of the last 28 days, 5 are needed",
    )


def test_what_is_over_asks_for_nothing() -> None:
    found = decide(Policy(), replace(DUE, drifts=()))
    assert (found.verdict, found.days) == ("nothing", 5)
    assert "no critical drift is open" in found.why[0]


def test_a_policy_that_is_switched_off_asks_for_nothing() -> None:
    assert decide(Policy(enabled=False), DUE).why == ("the policy is switched off",)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"holding": ("incident 3 is open",)}, "incident 3 is open"),
        ({"open_request": "request 4 is running"}, "request 4 is running"),
        ({"no_trainer": "trainer x is disabled"}, "trainer x is disabled"),
        ({"asked_today": 10}, "10 requests in the last 24 hours, the budget is 10"),
        ({"asked_ms": AT_MS - 27 * DAY_MS + 2 * HOUR}, "the last request was 27 days ago"),
        ({"asked_ms": AT_MS + 3 * DAY_MS}, "there is a request of 3 days later, the cool-down"),
    ],
)
def test_each_brake_holds_it_and_says_why(change: dict[str, object], why: str) -> None:
    found = decide(Policy(), replace(DUE, **change))  # type: ignore[arg-type]
    assert found.verdict == "held" and found.days == 5
    assert len(found.why) == 1 and why in found.why[0]


def test_a_cool_down_is_of_local_days() -> None:
    # 28 local days before are an hour more than 28 times 24 hours: the clock went forward.
    (*_, (asked_ms, _)) = days_before(AT_MS, 28, ZONE)
    assert AT_MS - asked_ms == 28 * DAY_MS - HOUR
    assert decide(Policy(), replace(DUE, asked_ms=asked_ms)).verdict == "ask"
    assert decide(Policy(cooldown_days=29), replace(DUE, asked_ms=asked_ms)).verdict == "held"


def test_a_request_of_another_time_cools_nothing_down() -> None:
    # Somebody asked by the clock, of a log of years before.
    asked = replace(DUE, asked_ms=AT_MS + 4_000 * DAY_MS)
    assert decide(Policy(), asked).verdict == "ask"
    soon = replace(DUE, asked_ms=AT_MS + DAY_MS)
    assert decide(Policy(cooldown_days=0), soon).verdict == "ask"


def test_every_brake_that_holds_is_said_at_once() -> None:
    held = replace(DUE, holding=("a", "b"), open_request="c", no_trainer="d", asked_today=99)
    assert [why[0] for why in decide(Policy(), held).why] == ["d", "c", "a", "b", "9"]


def test_the_last_day_is_the_one_that_is_over() -> None:
    found = list(days_before(AT_MS + 5 * HOUR, 8, ZONE))
    assert found[0] == (AT_MS - DAY_MS, AT_MS)
    assert all(later[0] == earlier[1] for later, earlier in pairwise(found))
    # The day on which the clock goes forward has 23 hours.
    assert {end - start for start, end in found} == {DAY_MS, DAY_MS - HOUR}


@given(
    st.lists(
        st.tuples(st.integers(-40 * 24, 24), st.integers(1, 200)),
        max_size=6,
    ),
    st.integers(1, 35),
)
def test_days_are_those_of_which_any_hour_lies_in_a_span(
    hours: list[tuple[int, int]], of_days: int
) -> None:
    spans = [(AT_MS + a * HOUR, AT_MS + (a + n) * HOUR) for a, n in hours]
    zone = ZoneInfo(ZONE)
    first = datetime.fromtimestamp(AT_MS / 1000, UTC).astimezone(zone).toordinal() - of_days
    days = set()
    for low, high in spans:
        for at in range(low, min(high, AT_MS), HOUR):
            days.add(datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).toordinal())
    assert len(open_days(spans, AT_MS, of_days, ZONE)) == len([d for d in days if d >= first])


@given(st.integers(0, 40), st.integers(0, 40 * 24))
def test_midnights_are_each_met_once_however_the_time_is_cut(first: int, cut_h: int) -> None:
    start = AT_MS - 40 * DAY_MS
    cut = min(start + cut_h * HOUR, AT_MS)
    whole = midnights(start, AT_MS, ZONE, most=99)
    assert midnights(start, cut, ZONE, most=99) + midnights(cut, AT_MS, ZONE, most=99) == whole
    assert all(at == window_of(at, "day", ZONE).start_ms for at in whole)
    assert midnights(start, AT_MS, ZONE, most=3) == whole[-3:]


def _latched(level: str, opened: int, closed: int | None, length: str = "day") -> Member:
    latch = Latch(
        opened_ms=opened * DAY_MS,
        exceeding=(((opened - 2) * DAY_MS, (opened - 1) * DAY_MS),),
        last_ms=opened * DAY_MS,
        closed_ms=None if closed is None else closed * DAY_MS,
        closed_as=None if closed is None else "cleared",
    )
    return Member("psi", length, level, latch)


def _judged(days: range, *, not_counting: tuple[int, ...] = ()) -> list[Judged]:
    return [Judged(d * DAY_MS, (d + 1) * DAY_MS, d not in not_counting) for d in days]


def _of(members: list[Member], windows: list[Judged], at: int) -> list[int]:
    incidents: list[Incident] = derive(members)
    spans = critical_spans(incidents, {"day": windows}, "UTC")
    return [start // DAY_MS for start in open_days(spans, at * DAY_MS, 28, "UTC")]


def test_only_critical_latches_of_the_incident_count() -> None:
    windows = _judged(range(30))
    assert _of([_latched("warning", 10, None)], windows, 20) == []
    both = [_latched("warning", 10, None), _latched("critical", 13, 17)]
    assert _of(both, windows, 20) == [13, 14, 15, 16]


def test_a_day_counts_by_windows_that_are_complete_and_that_events_closed() -> None:
    latched = [_latched("critical", 10, None)]
    assert _of(latched, _judged(range(15)), 15) == [10, 11, 12, 13, 14]
    # What the window of day 11 says would hold on day 12.
    assert _of(latched, _judged(range(15), not_counting=(11,)), 15) == [10, 11, 13, 14]
    assert _of(latched, _judged(range(15), not_counting=tuple(range(15))), 15) == []


def test_what_a_window_says_holds_no_longer_than_such_a_window_is() -> None:
    latched = [_latched("critical", 10, None)]
    # No rows from day 12 on: nothing is judged, and the latch stands.
    assert _of(latched, _judged(range(12)), 20) == [10, 11, 12]
    # The fifth day of 1970 was a Monday.
    week = [_latched("critical", 11, None, "week")]
    judged = {"week": [Judged(4 * DAY_MS, 11 * DAY_MS, True)]}
    spans = critical_spans(derive(week), judged, "UTC")
    assert spans == [(11 * DAY_MS, 18 * DAY_MS)]


def test_open_drift_is_critical_now() -> None:
    assert open_drifts(1, "x", derive([_latched("warning", 10, None)])[0]) is None
    assert open_drifts(1, "x", derive([_latched("critical", 10, 12)])[0]) is None
    both = [_latched("warning", 10, None), _latched("critical", 13, None)]
    found = open_drifts(1, "x", derive(both)[0])
    assert found == Drift(1, "x", 13 * DAY_MS, 8 * DAY_MS)


def test_a_policy_is_stored_as_it_is() -> None:
    policy = Policy(open_days=3, dry_run=True)
    assert Policy.from_json(policy.to_json()) == policy
    assert Policy.from_json("{}") == Policy()


def test_a_summary_says_who_and_for_how_long() -> None:
    one = Drift(1, "temp", 0, 0)
    assert summary_of(Policy(of_days=7), 6, [one]) == (
        "critical drift (temp) stood on 6 of the last 7 days"
    )
