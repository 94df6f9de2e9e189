"""The demo's log: merged by time, cut anywhere, stopped where days are over, taken over."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest

from monitor.cli.demo.flights import FEATURES, ZONE
from monitor.cli.demo.produce import Log, Slice
from monitor.windows.watermark import PartitionTime, watermark

PARTITIONS: Final = 4
LATENESS_MS: Final = 600_000
# Over the night in which New York's clocks go forward.
FIRST: Final = pd.Timestamp("2013-03-08T05:00", tz=ZONE)


@pytest.fixture(scope="module")
def stream() -> pd.DataFrame:
    """Five days of a flight every ten minutes but at night; each ninth never lands."""
    times = pd.date_range(FIRST, periods=5 * 144, freq="10min").tz_convert("UTC")
    times = times[times.tz_convert(ZONE).hour >= 5]
    n = len(times)
    lands = pd.Series(times + pd.to_timedelta(60 + np.arange(n) % 90, unit="min"))
    never = np.arange(n) % 9 == 0
    return pd.DataFrame(
        {
            "id": [f"flight-{i}" for i in range(n)],
            "time": times,
            **{name: np.arange(n) * 1.0 for name in FEATURES},
            "late": np.where(never, np.nan, np.arange(n) % 2 * 1.0),
            "lands_at": lands.where(~never),
            "prediction": "on_time",
            "score": (np.arange(n) % 100) / 250,
        }
    )


def records(slices: Iterable[Slice]) -> list[tuple[dict[str, Any], int]]:
    return [(json.loads(value), place) for one in slices for _, value, place in one.records]


def at_ms(event: dict[str, Any]) -> int:
    return int(pd.Timestamp(event["time"]).timestamp() * 1_000)


def test_predictions_and_labels_come_merged_by_time_however_the_log_is_cut(
    stream: pd.DataFrame,
) -> None:
    log = Log(stream, partitions=PARTITIONS)
    whole = records(log.slices())
    assert len(whole) == len(log) == len(stream) + stream["late"].notna().sum()
    times = [at_ms(event) for event, _ in whole]
    assert times == sorted(times)
    predictions = [event for event, _ in whole if event["type"] == "prediction"]
    assert [p["id"] for p in predictions] == list(stream["id"])
    assert [p["prediction"]["score"] for p in predictions] == list(stream["score"])
    assert {p["version"] for p in predictions} == {"1"}
    cuts = [0, 1, 7, 400, 401, len(log)]
    pieces = [records(log.slices(a, b)) for a, b in pairwise(cuts)]
    assert [record for piece in pieces for record in piece] == whole


def test_a_slice_says_what_it_holds(stream: pd.DataFrame) -> None:
    log = Log(stream, partitions=PARTITIONS)
    slices = list(log.slices(3, 500))
    assert sum(len(one.records) for one in slices) == 497
    for one in slices:
        kinds = [json.loads(value)["type"] for _, value, _ in one.records]
        assert (one.predictions, one.labels) == (
            kinds.count("prediction"),
            kinds.count("label"),
        )
        assert one.last_ms == at_ms(json.loads(one.records[-1][1]))


def judged_to(log: Log, position: int) -> int | None:
    """The watermark of who has read the log up to a position."""
    newest: dict[int, int] = {}
    for event, partition in records(log.slices(0, position)):
        newest[partition] = max(newest.get(partition, 0), at_ms(event))
    times = [PartitionTime(p, newest.get(p), 0, 0) for p in range(PARTITIONS)]
    limits = {"idle_timeout_ms": 10, "stalled_after_ms": 10, "max_hold_ms": 10}
    return watermark(times, now_ms=0, lateness_ms=LATENESS_MS, **limits).time_ms


def test_a_stop_is_the_first_place_from_which_a_local_day_is_known_to_be_over(
    stream: pd.DataFrame,
) -> None:
    log = Log(stream, partitions=PARTITIONS)
    stops = log.stops(ZONE, lateness_ms=LATENESS_MS)
    days = pd.date_range("2013-03-09", "2013-03-13", tz=ZONE)
    assert [stop.day_end_ms for stop in stops] == [int(d.timestamp() * 1_000) for d in days]
    for stop in stops:
        judged = judged_to(log, stop.position)
        assert judged is not None and judged >= stop.day_end_ms
        before = judged_to(log, stop.position - 1)
        assert before is None or before < stop.day_end_ms


def test_a_day_whose_end_the_log_does_not_tell_is_no_stop(stream: pd.DataFrame) -> None:
    times = stream["time"].dt.tz_convert(ZONE)
    until = stream[times < "2013-03-09T20:00"]
    assert len(Log(until, partitions=PARTITIONS).stops(ZONE, lateness_ms=LATENESS_MS)) == 1
    waits = 200 * LATENESS_MS  # longer than the log
    assert Log(until, partitions=PARTITIONS).stops(ZONE, lateness_ms=waits) == []


def test_another_version_scores_from_the_flight_after_it_took_over(stream: pd.DataFrame) -> None:
    log, position = Log(stream, partitions=PARTITIONS), 333
    before = records(log.slices(0, position))
    flown = sum(event["type"] == "prediction" for event, _ in before)
    scores = np.full(len(stream), np.nan)  # as a trainer leaves them: none of what was before
    scores[flown:] = np.linspace(0.30001, 0.90004, len(stream) - flown)
    live_ms = log.take_over("2", scores, position)
    assert live_ms == int(stream["time"].iloc[flown].timestamp() * 1_000)
    after = [e for e, _ in records(log.slices(position)) if e["type"] == "prediction"]
    assert {event["version"] for event in after} == {"2"}
    assert [e["prediction"]["score"] for e in after] == list(scores[flown:].round(4))
    for event in after:
        is_late = event["prediction"]["score"] >= 0.5
        assert event["prediction"]["class"] == ("late" if is_late else "on_time")
    # What is measured in the end is what was written.
    assert list(log.scores) == [*stream["score"][:flown], *scores[flown:].round(4)]
    assert log.take_over("3", scores, len(log)) is None
