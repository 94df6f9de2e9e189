"""Slices: hours, local days and Monday weeks, and which of them are full."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from driftline.stats.reference import build_reference
from driftline.stats.slicing import cut, is_weekend, local_to_utc_ms, offsets_ms
from monitor.windows.calendar import window_of

NEW_YORK = ZoneInfo("America/New_York")


def ms(text, zone=UTC):
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def every(minutes, start, stop, zone=UTC):
    return np.arange(ms(start, zone), ms(stop, zone), minutes * 60_000, dtype=np.int64)


@pytest.mark.parametrize(
    "zone", ["America/New_York", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "UTC"]
)
def test_offsets_are_those_of_the_zone_through_a_year(zone):
    times = every(5 * 60 + 7, "2013-01-01", "2014-01-01")
    where = ZoneInfo(zone)
    oracle = [
        datetime.fromtimestamp(t / 1000, where).utcoffset() / timedelta(milliseconds=1)
        for t in times.tolist()
    ]
    assert offsets_ms(times, where).tolist() == oracle
    local = times + offsets_ms(times, where)
    back = local_to_utc_ms(local, where)
    # Only in the hour that comes twice is the first one meant.
    assert (back == times).mean() > 0.999 and (back <= times).all()


def test_a_skipped_midnight_begins_when_the_day_does():
    zone = ZoneInfo("America/Sao_Paulo")
    day = ms("2013-10-20")  # 00:00 does not exist there on this day
    start = int(local_to_utc_ms(np.array([day]), zone)[0])
    assert datetime.fromtimestamp(start / 1000, zone).isoformat() == "2013-10-20T01:00:00-02:00"


def cuts(times, zone=NEW_YORK):
    return cut(times, np.ones(len(times), bool), zone)


def test_days_begin_at_local_midnight_and_weeks_on_local_monday():
    made = cuts(every(20, "2013-01-01", "2013-02-01", NEW_YORK))
    days, weeks = made["day"], made["week"]
    assert len(days.starts_ms) == 31 and days.is_full.all()
    assert days.starts_ms[0] == ms("2013-01-01", NEW_YORK)
    assert days.is_weekend[:7].tolist() == [False] * 4 + [True, True, False]
    assert weeks.starts_ms[1] == ms("2013-01-07", NEW_YORK)
    assert weeks.is_full.tolist() == [False, True, True, True, False]
    assert not weeks.is_weekend.any()


@pytest.mark.parametrize(
    "zone", ["America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe"]
)
def test_slices_of_a_reference_are_the_windows_of_the_service(zone):
    times = every(97, "2013-01-01", "2014-01-01")
    for length, found in cuts(times, ZoneInfo(zone)).items():
        windows = [window_of(t, length, zone) for t in times.tolist()]
        assert found.starts_ms[found.slice_of].tolist() == [w.start_ms for w in windows]
        assert found.ends_ms[found.slice_of].tolist() == [w.end_ms for w in windows]


def test_a_day_on_which_the_clock_changes_is_longer_or_shorter():
    days = cuts(every(20, "2013-03-08", "2013-03-13", NEW_YORK))["day"]
    hours = (days.ends_ms - days.starts_ms) / 3_600_000
    assert hours.tolist() == [24, 24, 23, 24, 24]


def test_hours_in_a_zone_with_a_quarter_hour_begin_on_its_clock():
    hours = cuts(every(10, "2013-01-01", "2013-01-02"), ZoneInfo("Asia/Kathmandu"))["hour"]
    assert set((hours.starts_ms % 3_600_000).tolist()) == {15 * 60_000}


def test_only_slices_that_begin_and_end_like_those_inside_are_full():
    times = every(30, "2013-01-01", "2013-01-11", NEW_YORK)
    hour = (times + offsets_ms(times, NEW_YORK)) % 86_400_000 / 3_600_000
    times = times[(hour >= 5) & (hour < 23)]  # no data at night
    assert cuts(times)["day"].is_full.all()
    clipped = times[(times >= ms("2013-01-01T09:00", NEW_YORK))]
    assert cuts(clipped)["day"].is_full.tolist() == [False] + [True] * 9
    clipped = times[times < ms("2013-01-10T15:00", NEW_YORK)]
    assert cuts(clipped)["day"].is_full.tolist() == [True] * 9 + [False]


def test_with_fewer_than_three_slices_none_is_known_to_be_full():
    assert not cuts(every(20, "2013-01-01", "2013-01-03", NEW_YORK))["day"].is_full.any()


def test_weekends_are_local():
    friday_evening = np.array([ms("2013-01-04T23:30", NEW_YORK)])
    assert not is_weekend(friday_evening, NEW_YORK)[0]
    assert is_weekend(friday_evening, ZoneInfo("UTC"))[0]


def frame(**columns):
    times = pd.date_range("2013-01-01", "2013-01-11", freq="10min", inclusive="left", tz=NEW_YORK)
    n = len(times)
    base = {"t": times, "x": np.arange(n) % 7 * 1.0, "c": ["a", "b"] * (n // 2)}
    return pd.DataFrame(base | columns)


def days_of(data, **kw):
    options = {"timestamp": "t", "timezone": "America/New_York", **kw}
    reference = build_reference(data, **options)
    return reference, reference.slices["all"]["day"]


def test_slices_hold_groups_and_rates_by_day():
    data = frame()
    data.loc[144:160, "x"] = np.nan
    reference, days = days_of(data)
    assert days.rows.tolist() == [144] * 10
    assert days.missing[:, 0].tolist() == [0, 17] + [0] * 8
    for f, span in enumerate(reference.gridset.groups):
        assert (days.groups[:, span].sum(axis=1) == days.rows - days.missing[:, f]).all()
    assert (
        days.groups.sum(axis=0) == reference.gridset.sum_groups(reference.profiles["all"].counts)
    ).all()


def test_a_category_of_one_slice_only_is_unseen_by_the_others():
    data = frame()
    data["c"] = data["c"].astype(object)
    data.loc[10:14, "c"] = "first day only"
    data.loc[[20, 500], "c"] = "two days"
    _, days = days_of(data)
    f = 1
    assert days.unseen[:, f].tolist() == [5] + [0] * 9
    assert not days.unseen[:, 0].any()


def test_values_beyond_the_range_of_the_other_slices_are_out_of_range():
    data = frame()
    data.loc[150:152, "x"] = 50.0  # second day, alone above
    data.loc[[300, 600], "x"] = -3.0  # two days, neither is alone
    _, days = days_of(data)
    assert days.out_of_range[:, 0].tolist() == [0, 3] + [0] * 8


def test_segments_have_slices_and_season_buckets_of_their_own():
    rng = np.random.default_rng(0)
    data = frame()
    data["o"] = rng.choice(["JFK", "LGA", "XXX"], len(data), p=[0.9, 0.09, 0.01])
    reference, _ = days_of(data, segments=["o"])
    assert set(reference.profiles) == {"all", "o=JFK"}
    assert set(reference.slices) == set(reference.buckets) == {"all", "o=JFK"}
    assert reference.dimensions == {"o": ("JFK", "LGA", "XXX")}
    for segment, pair in reference.buckets.items():
        both = pair["weekday"].counts + pair["weekend"].counts
        assert (both == reference.profiles[segment].counts).all()
    inside = reference.slices["o=JFK"]["day"].rows
    assert inside.sum() == reference.profiles["o=JFK"].rows


def test_rows_without_a_time_count_but_are_in_no_slice():
    data = frame()
    data.loc[3, "t"] = pd.NaT
    reference, days = days_of(data)
    assert reference.rows == len(data)
    assert days.rows.sum() == len(data) - 1
    assert any("1 rows have no time" in w for w in reference.warnings)
