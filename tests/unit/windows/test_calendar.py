"""Windows follow the model's own calendar, through every clock change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from driftline.stats.lengths import LENGTHS
from monitor.windows.calendar import NOMINAL_MS, is_weekend, window_of
from monitor.windows.panes import HOUR_MS, pane_ms_of

ZONES = ("UTC", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def test_a_day_runs_from_local_midnight_and_has_23_or_25_hours_at_clock_changes() -> None:
    spring = window_of(ms("2013-03-10T12:00:00-04:00"), "day", "America/New_York")
    autumn = window_of(ms("2013-11-03T12:00:00-05:00"), "day", "America/New_York")
    assert spring == (ms("2013-03-10T00:00:00-05:00"), ms("2013-03-11T00:00:00-04:00"))
    assert (spring.end_ms - spring.start_ms, autumn.end_ms - autumn.start_ms) == (
        23 * HOUR_MS,
        25 * HOUR_MS,
    )


def test_a_week_begins_on_monday() -> None:
    window = window_of(ms("2013-02-08T12:00:00-05:00"), "week", "America/New_York")
    assert window == (ms("2013-02-04T00:00:00-05:00"), ms("2013-02-11T00:00:00-05:00"))


def test_28_days_begin_on_a_monday_and_tumble_from_the_first_one_of_1970() -> None:
    first = window_of(ms("1970-01-05T12:00:00+00:00"), "4weeks", "UTC")
    assert first == (ms("1970-01-05T00:00:00+00:00"), ms("1970-02-02T00:00:00+00:00"))
    # 28 days of 24 hours, but for the one that the clock change takes.
    window = window_of(ms("2013-03-10T12:00:00-04:00"), "4weeks", "America/New_York")
    assert window.end_ms - window.start_ms == NOMINAL_MS["4weeks"] - HOUR_MS
    weeks = (window.start_ms - ms("1970-01-05T00:00:00-05:00")) / NOMINAL_MS["week"]
    assert weeks % 4 == 0


def test_a_midnight_that_the_clock_change_skips_starts_at_the_first_instant() -> None:
    window = window_of(ms("2013-10-20T12:00:00-02:00"), "day", "America/Sao_Paulo")
    assert window.start_ms == ms("2013-10-20T01:00:00-02:00")


def test_local_hours_begin_at_half_past_in_half_hour_zones() -> None:
    assert pane_ms_of("Asia/Kolkata") == HOUR_MS // 4
    window = window_of(ms("2013-02-08T10:10:00+05:30"), "hour", "Asia/Kolkata")
    assert window.start_ms == ms("2013-02-08T10:00:00+05:30")


def test_weekends_are_local() -> None:
    assert is_weekend(ms("2013-02-09T00:00:00-05:00"), "America/New_York")
    assert not is_weekend(ms("2013-02-11T00:00:00-05:00"), "America/New_York")


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("length", LENGTHS)
@given(minutes=st.integers(0, 60 * 24 * 365 * 30))
def test_windows_tile_time_and_begin_on_panes(zone: str, length: str, minutes: int) -> None:
    time_ms = ms("2000-01-03T00:00:00+00:00") + minutes * 60_000
    window = window_of(time_ms, length, zone)
    assert window.start_ms <= time_ms < window.end_ms
    assert window.start_ms % pane_ms_of(zone) == 0
    assert abs(window.end_ms - window.start_ms - NOMINAL_MS[length]) <= HOUR_MS
    if length != "hour":  # local clock hours overlap where the clock is set back by half of one
        assert window_of(window.end_ms, length, zone).start_ms == window.end_ms
    local = datetime.fromtimestamp(window.start_ms / 1000, UTC).astimezone(ZoneInfo(zone))
    if length != "hour":
        assert local.time() <= (datetime.min + timedelta(hours=1)).time()
