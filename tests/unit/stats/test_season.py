"""Seasons: what has a daily or weekly cycle is compared with the same hours or days."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from driftline.stats.calibration import Calibration, from_reference
from driftline.stats.evidence import Judge
from driftline.stats.judgement import Judgement, Mark
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from driftline.stats.season import Season, bucket, bucket_groups, judged_buckets, when
from driftline.stats.slicing import HOUR_MS
from driftline.stats.stack import Stack

MONDAY_MS, DAY_MS = 1_704_067_200_000, 24 * HOUR_MS
ROWS = 200  # an hour


def starts(hours: int) -> Any:
    return MONDAY_MS + HOUR_MS * np.arange(hours)


def drawn(hours: int, seed: int, mean: Any, rows: int = ROWS) -> pd.DataFrame:
    """So many rows an hour from a Monday on; `mean(hour of day, is weekend)` in sigma."""
    at = np.repeat(starts(hours), rows) + np.tile(np.arange(rows) * (HOUR_MS // rows), hours)
    place = when(at, "UTC")
    x = np.random.default_rng(seed).normal(mean(place.hour, place.is_weekend))
    return pd.DataFrame({"at": pd.to_datetime(at, unit="ms", utc=True), "x": x})


def daily(hour: Any, _: Any) -> Any:
    """A cycle of .6 sigma."""
    return 0.6 * np.sin(2 * np.pi * hour / 24)


def calibrated(frame: pd.DataFrame, length: str = "hour") -> tuple[Reference, Calibration]:
    reference = build_reference(frame, timestamp="at")
    calibration = from_reference(reference, "all", length)
    assert calibration is not None
    return reference, calibration


def judge(reference: Reference, calibration: Calibration, frame: pd.DataFrame) -> Judgement:
    """Judge a frame hour by hour."""
    at = frame["at"].dt.as_unit("ms").astype("int64").to_numpy()
    pane = (at - at[0]) // HOUR_MS
    profiles = reference.gridset.count(
        {"x": Column(frame["x"].to_numpy())}, len(frame), pane, int(pane[-1]) + 1
    )
    first = at[0] + HOUR_MS * np.arange(len(profiles))
    judge_hours = Judge(reference, "all", "hour", calibration)
    return judge_hours.judge(Stack.of(profiles), when(first, "UTC"), with_measures=False)


def test_of_a_month_with_a_daily_cycle_no_hour_exceeds() -> None:
    reference, calibration = calibrated(drawn(720, 1, daily))
    assert calibration.season.tolist() == [Season.HOUR]
    found = judge(reference, calibration, drawn(720, 2, daily))
    marks = found.marks["psi"][:, 0, 0]
    assert (marks == Mark.EXCEEDS).sum() == 0
    assert (marks != Mark.NOT_EVALUABLE).all()


def test_under_a_daily_cycle_a_shift_of_a_sigma_is_seen_that_is_blind_without_one() -> None:
    def shifted(hour: Any, weekend: Any) -> Any:
        return daily(hour, weekend) + 1.0

    reference, calibration = calibrated(drawn(720, 1, daily))
    found = judge(reference, calibration, drawn(48, 3, shifted))
    assert (found.marks["psi"][:, 0, 0] == Mark.EXCEEDS).mean() > 0.95
    plain = from_reference(reference, "all", "hour", with_season=False)
    assert plain is not None and plain.tau2[0] > 10 * calibration.tau2[0]
    without = judge(reference, plain, drawn(48, 3, shifted))
    assert (without.psi_limit[:, 0] > 2 * found.psi_limit[:, 0]).all()


def test_an_hour_that_looks_like_another_hour_is_drift() -> None:
    reference, calibration = calibrated(drawn(720, 1, lambda hour, _: 1.5 * (hour >= 12)))

    def swapped(hour: Any, _: Any) -> Any:
        return 1.5 * (hour < 12)

    found = judge(reference, calibration, drawn(24, 4, swapped))
    assert (found.marks["psi"][:, 0, 1] == Mark.EXCEEDS).all()


def test_weekends_with_a_cycle_of_their_own_are_told_apart_from_weekdays() -> None:
    def office(hour: Any, weekend: Any) -> Any:
        return np.where(weekend, -1.0, 1.5 * np.sin(2 * np.pi * hour / 24))

    # Seven weeks: eight Saturdays and Sundays, for every hour of them.
    reference, calibration = calibrated(drawn(49 * 24, 5, office, rows=120))
    assert calibration.season.tolist() == [Season.HOUR_WEEKEND]
    found = judge(reference, calibration, drawn(14 * 24, 6, office, rows=120))
    assert (found.marks["psi"][:, 0, 0] == Mark.EXCEEDS).sum() == 0
    # Three weeks have six: too few, and the hours alone are taken.
    _, short = calibrated(drawn(21 * 24, 5, office, rows=120))
    assert short.season.tolist() != [Season.HOUR_WEEKEND]


def test_without_a_cycle_no_season_is_taken() -> None:
    reference, calibration = calibrated(drawn(720, 7, lambda hour, _: 0.0 * hour))
    assert calibration.season.tolist() == [Season.NONE]
    found = judge(reference, calibration, drawn(720, 8, lambda hour, _: 0.0 * hour))
    assert (found.marks["psi"][:, 0, 0] == Mark.EXCEEDS).sum() == 0


def test_categories_without_a_cycle_have_no_season_by_the_bias_of_what_is_never_seen() -> None:
    frame = drawn(720, 7, lambda hour, _: 0.0 * hour)
    frame["c"] = np.random.default_rng(8).choice(list("abcdefgh"), len(frame))
    _, calibration = calibrated(frame)
    assert calibration.season.tolist() == [Season.NONE, Season.NONE]


def thinned(frame: pd.DataFrame, keep: int) -> pd.DataFrame:
    """The nights, from 0h to 5h, with `keep` rows an hour."""
    at = frame["at"]
    number = frame.groupby(at.dt.floor("h")).cumcount()
    return frame[(at.dt.hour >= 5) | (number < keep)]


def test_thin_night_hours_are_not_judged_and_do_not_veto_the_others() -> None:
    frame = thinned(drawn(720, 1, daily), 50)
    reference, calibration = calibrated(frame)
    assert calibration.season.tolist() == [Season.HOUR]
    judged = judged_buckets(reference, "all", "hour", Season.HOUR)[:, 0]
    assert judged.tolist() == [False] * 5 + [True] * 19
    # Even with the rows: nothing is known of what such an hour looks like.
    found = judge(reference, calibration, drawn(24, 9, daily))
    is_judged = found.marks["psi"][:, 0, 0] != Mark.NOT_EVALUABLE
    assert is_judged.tolist() == judged.tolist()
    assert np.isnan(found.psi_limit[:5, 0]).all() and not np.isnan(found.psi[:, 0]).any()


def test_hours_that_are_there_too_seldom_veto_the_season() -> None:
    _, calibration = calibrated(drawn(5 * 24, 1, daily))
    assert calibration.season.tolist() == [Season.NONE]


def test_the_buckets_of_hours_add_up_to_the_full_slices() -> None:
    reference, _ = calibrated(drawn(720, 1, daily))
    slices = reference.slices["all"]["hour"]
    for season in (Season.HOUR, Season.HOUR_WEEKEND):
        groups = bucket_groups(reference, "all", "hour", season)
        assert groups.sum(axis=0).tolist() == slices.groups.sum(axis=0).tolist()
    noon = when(slices.starts_ms, "UTC").hour == 12
    by_hour = bucket_groups(reference, "all", "hour", Season.HOUR)
    assert by_hour[12].tolist() == slices.groups[noon].sum(axis=0).tolist()


@pytest.mark.parametrize(
    ("text", "zone", "hour", "is_weekend"),
    [
        ("2013-02-08T22:30:00Z", "America/New_York", 17, False),
        ("2013-02-08T22:30:00Z", "Asia/Kolkata", 4, True),
        ("2013-03-10T07:00:00Z", "America/New_York", 3, True),  # 2h does not exist on this day
    ],
)
def test_hours_and_weekends_are_those_of_the_models_clock(
    text: str, zone: str, hour: int, is_weekend: bool
) -> None:
    at = when(np.array([int(pd.Timestamp(text).timestamp() * 1000)]), zone)
    assert (at.hour.tolist(), at.is_weekend.tolist()) == ([hour], [is_weekend])
    assert bucket(Season.HOUR_WEEKEND, at).tolist() == [hour + 24 * is_weekend]
    assert bucket(Season.NONE, at).tolist() == [0]


def test_a_calibration_of_a_release_without_hours_is_read() -> None:
    _, calibration = calibrated(drawn(720, 1, daily), "day")
    body = calibration.to_json()
    body["seasonal"] = [1]
    del body["season"], body["guard_max"]
    again = Calibration.from_json(body)
    assert again.season.tolist() == [Season.WEEKEND]
    np.testing.assert_array_equal(again.guard_max, calibration.guard)
    np.testing.assert_array_equal(Calibration.from_json(again.to_json()).season, again.season)


def days_of(n_days: int, seed: int, by: float, wobble: float = 0.2, rows: int = 1_000) -> Any:
    """Days from a Monday on, weekends `by` sigma off; each wobbles by itself besides."""
    draw = np.random.default_rng(seed)
    mean = draw.normal(0, wobble, n_days) + by * (np.arange(n_days) % 7 >= 5)
    at = MONDAY_MS + np.arange(n_days * rows) * (DAY_MS // rows)
    x = draw.normal(np.repeat(mean, rows))
    return pd.DataFrame({"at": pd.to_datetime(at, unit="ms", utc=True), "x": x})


def left_out(reference: Reference, kinds: Any) -> float:
    """What days show beyond noise against the others of their kind, on average, by degree."""
    groups = reference.slices["all"]["day"].groups.astype(float)
    found = []
    for day, c in enumerate(groups):
        alike = (kinds == kinds[day]) & (np.arange(len(groups)) != day)
        r, n = groups[alike].sum(axis=0), c.sum()
        p, q = ((some + 0.5) / (some.sum() + len(c) / 2) for some in (r, c))
        psi = ((q - p) * np.log(q / p)).sum()
        found.append(psi / (len(c) - 1) - 1 / n - 1 / r.sum())
    return float(np.mean(found))


@pytest.mark.parametrize(("by", "least", "most"), [(0.35, 0.55, 0.8), (0.6, 0.2, 0.45)])
def test_a_season_is_taken_where_it_more_than_halves_the_wobble(
    by: float, least: float, most: float
) -> None:
    reference, calibration = calibrated(days_of(56, 3, by), "day")
    before = left_out(reference, np.zeros(56))
    after = left_out(reference, np.arange(56) % 7 >= 5)
    assert least < after / before < most
    is_taken = after < before / 2
    assert calibration.season.tolist() == [Season.WEEKEND if is_taken else Season.NONE]
    assert calibration.tau2[0] == pytest.approx(after if is_taken else before, rel=1e-9)


@pytest.mark.parametrize(("weeks", "season"), [(3, Season.NONE), (4, Season.WEEKEND)])
def test_eight_days_of_a_kind_are_needed_for_one_of_its_own(weeks: int, season: Season) -> None:
    """Four weeks have eight days of weekends, three have six; all of them are two sigma off."""
    reference, calibration = calibrated(days_of(7 * weeks, 4, 2.0), "day")
    assert calibration.season.tolist() == [season]
    judged = judged_buckets(reference, "all", "day", Season.WEEKEND)
    assert judged[:, 0].tolist() == [True, season == Season.WEEKEND]


def test_weekends_and_weekdays_hold_the_rows_of_days_that_are_not_full_too() -> None:
    """The last day, a Monday, ends at noon: no slice, but weekdays are compared with its rows."""
    data = days_of(57, 6, 0.0, rows=400)
    cut_off = data[:-200]
    reference, _ = calibrated(cut_off, "day")
    assert len(reference.slices["all"]["day"].rows) == 56
    found = bucket_groups(reference, "all", "day", Season.WEEKEND)
    is_weekend = cut_off["at"].dt.day_of_week.to_numpy() >= 5
    for place in (0, 1):
        x = cut_off["x"].to_numpy()[is_weekend == place]
        profile = reference.gridset.count({"x": Column(x)}, len(x))[0]
        assert found[place].tolist() == reference.gridset.sum_groups(profile.counts).tolist()
    assert found.sum() == len(cut_off)
