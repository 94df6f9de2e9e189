"""`compare` of a window's rows says what the service stored of the window, figure by figure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from living_database import (
    DAY_MS,
    SECOND_MS,
    Living,
    begin,
    day_ms,
    main_reference,
    register,
    rows,
    spread,
)
from sqlalchemy.engine import Engine

from driftline import Comparison, compare
from driftline.stats.calibration import RATES
from driftline.stats.measures import MEASURES
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import SHARES
from monitor.cli.demo import flights
from monitor.storage import schema as t

SAME = ("psi", "psi_limit", "psi_critical", "psi_lower", "ks_low", "ks_high", "visible")
# What the row of the service calls as it does in the current frame.
MEASURED = tuple(name for name in MEASURES if name not in SHARES)
PLAIN = ("infinite", "zero", "negative")


def judge(world: Living) -> None:
    """Count and judge until nothing is left to do."""
    world.settle()
    while world.judge():
        pass


def stored(engine: Engine, length: str, start_ms: int) -> dict[str, Any]:
    f = t.finding.c
    query = sa.select(t.finding).where(
        f.length == length, f.start_ms == start_ms, f.segment == "all"
    )
    with engine.connect() as conn:
        return {row.feature: row for row in conn.execute(query)}


def assert_equal(found: Comparison, findings: dict[str, Any]) -> None:
    """Every figure to the last bit: both round what they compute to nine digits."""
    assert {row.feature for row in found} == set(findings)
    for row in found:
        finding = findings[row.feature]
        assert row.rows_current == finding.rows
        for name in SAME:
            assert getattr(row, name) == getattr(finding, name), (row.feature, name)
        for name in MEASURED:
            assert getattr(row, name) == getattr(finding, name), (row.feature, name)
        for name in RATES:
            assert getattr(row, f"{name}_current") == getattr(finding, name), (row.feature, name)
            for what in ("excess", "limit"):
                name_of = f"{name}_{what}"
                assert getattr(row, name_of) == getattr(finding, name_of), (row.feature, name_of)
        if finding.rows and finding.tv is not None:
            for name in PLAIN:
                here = getattr(row, f"{name}_current")
                assert here == getattr(finding, name), (row.feature, name)
        parts = None if finding.parts is None else tuple(json.loads(finding.parts))
        assert row.parts == parts, row.feature
        # One window for itself: what the service cannot calibrate is said in words here.
        assert row.verdict == finding.verdict.replace("uncalibrated", "ok"), row.feature


DAYS = {
    0: {},
    1: {"missing": 0.35},  # a Saturday
    2: {"missing": 0.13},
    3: {"newcomers": 0.15},
    4: {"shift": 0.9},
    5: {"shift": 0.9, "newcomers": 0.15},
}


@pytest.mark.parametrize("has_times", [True, False])
def test_days_of_every_kind_of_drift(engine: Engine, has_times: bool) -> None:
    world = begin(engine)
    names = world.names
    reference = main_reference(names, seed=1, with_times=has_times)
    register(world, names.model, names.version, reference)
    frames = {
        day: rows(
            np.random.default_rng(day),
            names,
            spread(np.random.default_rng(day), day_ms(day), day_ms(day + 1), 320),
            **changed,
        )
        for day, changed in DAYS.items()
    }
    for day, frame in frames.items():
        world.at(day_ms(day + 1))
        world.log(names.model, names.version, frame)
    judge(world)
    verdicts = set()
    for day in list(frames)[:-1]:
        found = compare(
            reference, frames[day], prediction="prediction", score="score", timestamp="at",
            length="day",
        )  # fmt: skip
        assert_equal(found, stored(engine, "day", day_ms(day)))
        verdicts |= {row.verdict for row in found}
    assert verdicts >= ({"ok", "warning", "critical", "blind"} if has_times else {"ok", "warning"})


def test_an_hour_is_judged_as_an_hour(engine: Engine) -> None:
    world = begin(engine)
    names = world.names
    draw = np.random.default_rng(5)
    first_ms = day_ms(0) - 14 * DAY_MS
    before = rows(draw, names, spread(draw, first_ms, day_ms(0), 14 * 24 * 130))
    options = {"prediction": "prediction", "score": "score", "timestamp": "at"}
    reference = build_reference(before, timezone="Europe/Berlin", **options)
    register(world, names.model, names.version, reference)
    hour_ms = DAY_MS // 24
    frames = {
        hour: rows(
            draw,
            names,
            spread(draw, day_ms(0) + hour * hour_ms, day_ms(0) + (hour + 1) * hour_ms, n),
            shift=shift,
        )
        for hour, n, shift in (
            (0, 130, 0.0),
            (1, 130, 1.5),
            (2, 60, 0.0),
            (3, 10, 0.0),
            (4, 90, 0.0),
        )
    }
    for frame in frames.values():
        world.at(int(frame["at"].max().timestamp() * 1_000) + 2 * SECOND_MS)
        world.log(names.model, names.version, frame)
    judge(world)
    for hour in (0, 1, 2):
        found = compare(before, frames[hour], timezone="Europe/Berlin", **options)
        assert found.length == "hour"
        assert_equal(found, stored(engine, "hour", day_ms(0) + hour * hour_ms))
    few = compare(before, frames[3], timezone="Europe/Berlin", **options)
    assert few.verdict == "insufficient_data"
    assert_equal(few, stored(engine, "hour", day_ms(0) + 3 * hour_ms))


@pytest.fixture(scope="module")
def year() -> flights.Year:
    return flights.build()


def flight_events(frame: pd.DataFrame) -> Iterator[tuple[bytes, int]]:
    for row in frame.to_dict("records"):
        time_ms = int(row["time"].timestamp() * 1_000)
        event = {
            "type": "prediction",
            "id": row["id"],
            "model": "flight-delay",
            "version": "1",
            "time": time_ms,
            "features": {
                name: None if row[name] != row[name] else row[name] for name in flights.FEATURES
            },
        }
        yield json.dumps(event).encode(), time_ms


@pytest.mark.parametrize("first", [date(2013, 2, 7), date(2013, 7, 3)])
def test_the_blizzard_and_the_fourth_of_july(
    engine: Engine, year: flights.Year, first: date
) -> None:
    options: dict[str, Any] = {
        "timestamp": "time",
        "timezone": flights.ZONE,
        "features": list(flights.FEATURES),
        "categorical": flights.CATEGORICAL,
    }
    reference: Reference = build_reference(year.reference, **options)
    world = begin(engine)
    register(world, "flight-delay", "1", reference)
    local = year.stream["time"].dt.tz_convert(flights.ZONE).dt.date
    days = [first + timedelta(days=number) for number in range(4)]
    frames = {day: year.stream[local == day] for day in days}
    for frame in frames.values():
        for payload, _ in flight_events(frame):
            world.send(payload)
    judge(world)
    found = {}
    for day in days[:-1]:
        found[day] = compare(year.reference, frames[day], **options)
        assert found[day].length == "day"
        midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(flights.ZONE))
        assert_equal(found[day], stored(engine, "day", int(midnight.timestamp() * 1_000)))
    if first.month == 7:
        load = found[date(2013, 7, 4)]["airport_load"]
        assert (round(load.psi or 0, 2), round(load.psi_limit or 0, 2)) == (0.68, 0.26)
        assert load.verdict == "critical"
    else:
        delay = found[date(2013, 2, 8)]
        assert {row.feature for row in delay.drifted} >= {"plane_age", "plane_seats"}


def test_january_against_july_is_what_a_reader_expects(year: flights.Year) -> None:
    local = year.stream["time"].dt.tz_convert(flights.ZONE)
    july = year.stream[local.dt.month == 7]
    found = compare(
        year.reference, july, timestamp="time", timezone=flights.ZONE, label="late",
        exclude=["id", "lands_at"],
    )  # fmt: skip
    assert [(row.feature, row.verdict) for row in found.drifted] == [
        ("temp", "critical"),
        ("dest", "warning"),
    ]
    assert "lie outside the reference's range 10.94 to 64.4" in found["temp"].why
    assert "such as ACK, MVY, TVC" in found["dest"].why
