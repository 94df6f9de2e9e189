"""The demo's flights are exactly the year that the statistics page describes."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import pytest

from monitor.cli.demo.flights import FEATURES, ZONE, Year, build

NULLS: Final = {
    "temp": 1_310,
    "wind_speed": 1_347,
    "precip": 1_288,
    "visib": 1_288,
    "pressure": 35_424,
    "plane_age": 53_002,
    "plane_seats": 48_127,
    "airport_delay": 1_363,
    "airport_waiting": 1_392,
}


@pytest.fixture(scope="module")
def year() -> Year:
    return build()


@pytest.fixture(scope="module")
def stream(year: Year) -> pd.DataFrame:
    return year.stream.assign(local=year.stream["time"].dt.tz_convert(ZONE))


def on(stream: pd.DataFrame, month: int, day: int) -> pd.DataFrame:
    local = stream["local"].dt
    rows: pd.DataFrame = stream.loc[(local.month == month) & (local.day == day)]
    return rows


def test_january_is_the_reference_and_the_rest_by_local_date_is_the_stream(year: Year) -> None:
    assert len(year.reference) == 27_004
    assert len(year.stream) == 309_772
    # By UTC dates 139 flights of the last evening of January would be February's.
    assert (year.reference["time"] >= "2013-02-01").sum() == 309_911 - 309_772


def test_every_known_arrival_is_a_label_after_its_prediction(year: Year) -> None:
    landed = year.stream[year.stream["late"].notna()]
    assert len(landed) == 300_948
    assert landed["lands_at"].notna().all()
    assert (landed["lands_at"] > landed["time"]).all()
    assert year.stream["lands_at"].isna().sum() == 309_772 - 300_948


def test_the_ids_are_unique_though_an_hour_comes_twice_in_november(year: Year) -> None:
    assert pd.concat([year.reference["id"], year.stream["id"]]).is_unique
    assert "2013-01-01-UA-1545-EWR-IAH-515" in set(year.reference["id"])


def test_the_sixteen_features_hold_the_nulls_they_must(year: Year) -> None:
    assert len(FEATURES) == 16
    nulls = year.stream[list(FEATURES)].isna().sum()
    assert nulls[nulls > 0].to_dict() == NULLS


def test_both_frames_are_in_order_of_the_scheduled_departure(year: Year) -> None:
    assert year.reference["time"].is_monotonic_increasing
    assert year.stream["time"].is_monotonic_increasing


def test_the_scheduled_hour_is_the_local_clock_on_both_sides_of_summer_time(
    stream: pd.DataFrame,
) -> None:
    assert (stream["local"].dt.hour == stream["sched_hour"]).all()
    before, after = on(stream, 3, 9), on(stream, 3, 10)
    assert (before["time"].dt.hour - before["sched_hour"]).mod(24).eq(5).all()
    assert (after["time"].dt.hour - after["sched_hour"]).mod(24).eq(4).all()


def test_no_hour_has_a_hundred_flights(stream: pd.DataFrame) -> None:
    assert stream.groupby(stream["time"].dt.floor("h")).size().max() == 94


def test_the_blizzard_empties_the_board_on_the_evening_of_8_february(stream: pd.DataFrame) -> None:
    day = on(stream, 2, 8)
    empty = day["airport_delay"].isna().groupby(day["sched_hour"]).agg(["sum", "count"])
    assert empty.loc[17:20].to_numpy().tolist() == [[16, 68], [27, 63], [46, 60], [46, 46]]
    assert empty.loc[6:16, "sum"].sum() == 0
    assert [int(on(stream, 2, d)["plane_seats"].isna().sum()) for d in (8, 9)] == [291, 239]


def test_april_is_warmer_than_january_ever_was(year: Year, stream: pd.DataFrame) -> None:
    low, high = year.reference["temp"].min(), year.reference["temp"].max()
    assert (low, high) == (10.94, 64.4)
    warm = [~on(stream, 4, day)["temp"].between(low, high) for day in (7, 8, 9, 10, 11)]
    shares = [round(float(np.mean(day)), 2) for day in warm]
    assert shares == [0, 0.25, 0.7, 0.26, 0]


def test_the_weather_feed_dies_on_30_december(stream: pd.DataFrame) -> None:
    for name in ("temp", "wind_speed", "precip", "visib", "pressure"):
        assert on(stream, 12, 30)[name].isna().sum() >= 97
        assert on(stream, 12, 31)[name].isna().sum() == 776
    assert [int(on(stream, 12, d)["precip"].isna().sum()) for d in (29, 30, 31)] == [0, 97, 776]


def test_summer_brings_destinations_and_no_carrier_that_january_did_not_know(year: Year) -> None:
    known = year.reference
    assert (~year.stream["dest"].isin(known["dest"].unique())).sum() == 1_398
    assert year.stream["carrier"].isin(known["carrier"].unique()).all()


def test_block_minutes_elapse_and_do_not_move_with_the_clocks(year: Year) -> None:
    both = pd.concat([year.reference, year.stream])
    speed = both["distance"] / both["block_minutes"] * 60  # miles an hour, gate to gate
    assert both["block_minutes"].between(50, 700).all()
    assert speed.between(10, 620).all()
    phoenix = both[both["dest"] == "PHX"].set_index("time")["block_minutes"]
    winter, summer = phoenix[:"2013-03-09"].median(), phoenix["2013-03-11":"2013-10"].median()
    assert abs(winter - summer) < 25  # a plain difference of the clocks jumps by 60


def test_the_board_knows_nothing_that_happens_after_the_scheduled_departure(year: Year) -> None:
    # Counted the slow way for some flights, from the rows themselves.
    flights = pd.concat([year.reference, year.stream])
    minute = (flights["time"].astype("int64") // 60_000).to_numpy()
    origin = flights["origin"].to_numpy()
    for i in np.random.default_rng(7).choice(len(flights), 40, replace=False):
        same = origin == origin[i]
        near = (minute >= minute[i] - 30) & (minute < minute[i] + 30)
        assert flights["airport_load"].iloc[i] == (same & near).sum()


def test_the_board_counts_who_waits_and_who_left_by_the_minute() -> None:
    from monitor.cli.demo.flights import _board

    # Four flights of one airport: on time, 90 late, cancelled, and 5 minutes early.
    origin = np.zeros(4, np.int64)
    departs = np.array([1_000, 1_030, 1_060, 1_090])
    board = _board(origin, departs, np.array([0.0, 90.0, np.nan, -5.0]))
    np.testing.assert_array_equal(board["airport_load"], [1, 2, 2, 2])
    # At 1,090 the second waits still, the third never left, and the own early start is not seen.
    np.testing.assert_array_equal(board["airport_delay"], [np.nan, 0, 0, 0])
    np.testing.assert_allclose(board["airport_waiting"], [np.nan, 0, 1 / 2, 2 / 3])
