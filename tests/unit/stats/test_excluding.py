"""Stretches that were no usual ones are left out of a reference."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from driftline.errors import InvalidReference
from driftline.stats.excluding import intervals_of
from driftline.stats.reference import Reference, build_reference

ZONE = "America/New_York"
NEW_YORK = ZoneInfo(ZONE)


def frame(days: int = 30, rows_a_day: int = 48) -> pd.DataFrame:
    n = days * rows_a_day
    at = pd.date_range("2013-02-01", periods=n, freq=f"{1440 // rows_a_day}min", tz=ZONE)
    x = np.random.default_rng(1).normal(size=n)
    x[at.strftime("%Y-%m-%d") == "2013-02-08"] += 5
    return pd.DataFrame({"at": at, "x": x, "c": ["a", "b"] * (n // 2)})


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).timestamp() * 1000)


def build(data: Any, *excluded: Any) -> Reference:
    return build_reference(data, timestamp="at", timezone=ZONE, exclude_slices=excluded)


def test_an_excluded_day_is_not_counted_and_its_slices_are_not_full():
    made = build(frame(), "2013-02-08")
    whole = build(frame())
    assert (made.rows, whole.rows) == (29 * 48, 30 * 48)
    assert made.profiles["all"].high[0] < 5 < whole.profiles["all"].high[0]
    assert made.excluded == ((ms("2013-02-08"), ms("2013-02-09")),)
    days = made.slices["all"]["day"].starts_ms.tolist()
    assert ms("2013-02-08") not in days and ms("2013-02-07") in days and len(days) == 29
    # Three Monday weeks are full without it; the one that it is a part of is not.
    weeks = [made.slices["all"]["week"].starts_ms.tolist() for made in (whole, made)]
    assert set(weeks[0]) - set(weeks[1]) == {ms("2013-02-04")}


def test_what_is_left_is_the_reference_of_the_rows_that_are_left():
    data = frame()
    made = build(data, "2013-02-01/2013-02-03")
    rest = build(data[data["at"] >= "2013-02-04"])
    assert made.gridset.digest == rest.gridset.digest
    assert made.profiles["all"] == rest.profiles["all"]
    assert made.digest != rest.digest  # it remembers


@pytest.mark.parametrize("library", [pl.from_pandas, pa.Table.from_pandas, "plain"])
def test_every_kind_of_frame_loses_the_same_rows(library):
    data = frame()
    if library == "plain":
        other: Any = {name: data[name].tolist() for name in data}
        other["at"] = [at.to_pydatetime().astimezone(UTC) for at in data["at"]]
    else:
        other = library(data)
    assert build(other, "2013-02-08").digest == build(data, "2013-02-08").digest


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("2013-02-08", ("2013-02-08", "2013-02-09")),
        (date(2013, 2, 8), ("2013-02-08", "2013-02-09")),
        ("2013-02-08/2013-02-10", ("2013-02-08", "2013-02-11")),
        (("2013-02-08", "2013-02-10"), ("2013-02-08", "2013-02-11")),
        ("2013-02-08T17:00/2013-02-08T21:30", ("2013-02-08T17:00", "2013-02-08T21:30")),
        ("2013-02-08T22:00Z/2013-02-09", ("2013-02-08T17:00", "2013-02-10")),
        ((datetime(2013, 2, 8, 17), datetime(2013, 2, 8, 18)), ("2013-02-08T17", "2013-02-08T18")),
    ],
)
def test_days_and_intervals_are_read_on_the_model_s_clock(entry, expected):
    times = np.array([ms("2013-02-08T17:30")])
    assert intervals_of([entry], NEW_YORK, times) == (tuple(map(ms, expected)),)


def test_a_day_of_25_hours_is_excluded_whole_and_neighbours_are_one_stretch():
    times = np.arange(ms("2013-11-01"), ms("2013-11-06"), 3_600_000)
    found = intervals_of(
        ["2013-11-04", "2013-11-03", "2013-11-03T12/2013-11-03T13"], NEW_YORK, times
    )
    assert found == ((ms("2013-11-03"), ms("2013-11-05")),)
    assert found[0][1] - found[0][0] == 49 * 3_600_000


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        (["8 February"], "'8 February' is neither a local date"),
        (["2013-02-08T17:00"], "is neither a local date"),
        ([17], "17 is neither a local date"),
        (["2013-02-08/2013-02-09/2013-02-10"], "is neither a local date"),
        (["2013-02-10/2013-02-08"], "2013-02-10/2013-02-08 ends before it begins"),
        (["2013-03-08"], "no row is in 2013-03-08; the nearest is of 2013-03-02"),
        (
            ["2012-12-24/2012-12-26"],
            "no row is in 2012-12-24/2012-12-26; the nearest is of 2013-02",
        ),
        (["2013-01-01/2013-12-31"], "leaves no row"),
        ("2013-02-08", r"must be a list: \['2013-02-08'\]"),
        (["9999-12-31"], "is neither a local date"),
    ],
)
def test_what_cannot_be_excluded_is_said_with_what_would_do(excluded, message):
    with pytest.raises(InvalidReference, match=message):
        build_reference(frame(), timestamp="at", timezone=ZONE, exclude_slices=excluded)


def test_without_times_nothing_can_be_excluded():
    with pytest.raises(InvalidReference, match=r"timestamp= names their column"):
        build_reference(frame().drop(columns="at"), exclude_slices=["2013-02-08"])


def test_a_document_carries_what_was_excluded_and_is_not_believed():
    made = build(frame(), "2013-02-08", "2013-02-20")
    read = Reference.from_document(made.to_document())
    assert (read.digest, read.excluded) == (made.digest, made.excluded)
    document = json.loads(made.to_document())
    for wrong in ([[1]], [[5, 5]], [[9, 12], [12, 15]], [["a", "b"]], "x"):
        document["facts"]["excluded"] = wrong
        with pytest.raises(InvalidReference, match="excluded"):
            Reference.from_document(json.dumps(document).encode())
