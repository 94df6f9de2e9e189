"""The whole year of January's model: what must be found, and where it must be quiet."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from demo_year import Demo

from monitor.cli.demo.flights import ZONE
from monitor.storage import engine as storage
from monitor.storage import reads

pytestmark = pytest.mark.demo

INCIDENT_KEYS = {
    "id",
    "model",
    "version",
    "segment",
    "feature",
    "kind",
    "severity",
    "state",
    "first_window",
    "opened_at",
    "resolved_at",
    "summary",
}
# What moves with the calendar and not with the world; judged against the year, not a month.
QUIET = ("origin", "carrier", "distance", "block_minutes", "sched_hour")
NO_DRIFT = (*QUIET, "plane_age", "plane_seats", "dest")

Incident = dict[str, Any]


@pytest.fixture(scope="module")
def year(demo: Demo) -> dict[str, Any]:
    """The object that the headless demo prints."""
    return demo.told


@pytest.fixture(scope="module")
def told(year: dict[str, Any]) -> list[Incident]:
    """The incidents of segment `all`."""
    return [i for i in year["incidents"] if i["segment"] == "all"]


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(ZoneInfo(ZONE))


def hours(text: str, expected: str) -> float:
    """How many hours after `expected`, on New York's clock, an instant is."""
    at = datetime.fromisoformat(expected).replace(tzinfo=ZoneInfo(ZONE))
    return (local(text) - at).total_seconds() / 3_600


def of(told: list[Incident], feature: str, kind: str) -> list[Incident]:
    return [i for i in told if i["feature"] == feature and i["kind"] == kind]


def test_every_record_is_counted_once_and_none_is_refused(year: dict[str, Any]) -> None:
    assert year["predictions"] == 309_772
    assert year["labels"] == 300_948
    assert year["dead_letters"] == {}


def test_every_window_that_holds_flights_is_judged(year: dict[str, Any]) -> None:
    # 334 days from February; 49 Monday weeks, the first and the last begun by other months.
    assert year["windows"]["day"] == 334
    assert year["windows"]["week"] == 49
    assert 6_000 < year["windows"]["hour"] < 334 * 24
    assert year["findings"] > 100_000


def test_the_object_is_the_promised_one(year: dict[str, Any]) -> None:
    assert set(year) == {
        "predictions",
        "labels",
        "dead_letters",
        "windows",
        "findings",
        "groups",
        "incidents",
        "deliveries",
        "retrains",
        "auc",
        "seconds",
        "peak_rss_mb",
    }
    for incident in year["incidents"]:
        assert set(incident) == INCIDENT_KEYS
        assert incident["state"] != "pending"
        assert local(incident["first_window"]) < local(incident["opened_at"])
        assert incident["summary"].endswith(".")


def test_january_s_model_scores_all_year(year: dict[str, Any]) -> None:
    assert year["retrains"] == []
    assert {incident["version"] for incident in year["incidents"]} == {"1"}
    assert 0.719 <= year["auc"]["never"] <= 0.724
    assert year["auc"]["driftline"] == year["auc"]["never"]


def test_the_tree_stays_below_one_and_a_half_gigabytes(year: dict[str, Any]) -> None:
    assert year["peak_rss_mb"] <= 1_500


def test_every_webhook_of_the_year_is_delivered_at_once(demo: Demo, year: dict[str, Any]) -> None:
    engine = storage.create(f"sqlite:///{demo.file}")
    with storage.reading(engine) as conn:
        sent = reads.deliveries(conn)
    engine.dispose()
    assert year["deliveries"] == {"delivered": len(sent), "failed": 0, "pending": 0}
    # Each opening is told, and each that ended; what moved together is one message.
    assert 20 <= len(sent) <= 60
    assert {one.attempts for one in sent} == {1}
    assert {"drift.detected", "drift.resolved"} <= {one.type for one in sent}


def test_the_year_has_15_to_20_incidents(told: list[Incident]) -> None:
    assert 15 <= len(told) <= 20, [(i["feature"], i["kind"], i["opened_at"]) for i in told]


def test_the_blizzard_is_told_while_it_happens_and_clears_the_next_day(
    told: list[Incident],
) -> None:
    [board] = of(told, "airport_delay", "missing")  # the only one of the year
    assert abs(hours(board["opened_at"], "2013-02-08T19:00")) <= 1  # the end of the 18h window
    assert abs(hours(board["resolved_at"], "2013-02-09T17:00")) <= 2
    for feature in ("plane_age", "plane_seats"):
        [plane] = of(told, feature, "missing")
        assert 0 <= hours(plane["opened_at"], "2013-02-08T12:00") <= 36


def test_aprils_warmth_is_seen_as_values_no_january_had(told: list[Incident]) -> None:
    warm = of(told, "temp", "distribution")[0]
    assert hours(warm["first_window"], "2013-04-08") == 0
    assert 24 <= hours(warm["opened_at"], "2013-04-08") <= 72
    assert "range" in warm["summary"]


def test_the_rush_of_the_fourth_of_july_is_seen(told: list[Incident]) -> None:
    [rush] = [
        i
        for i in of(told, "airport_load", "distribution")
        if hours(i["opened_at"], "2013-08-01") < 0
    ]
    assert hours(rush["first_window"], "2013-07-04") == 0
    assert hours(rush["opened_at"], "2013-07-06") == 0


def test_the_summers_new_destinations_are_told_after_two_weeks(told: list[Incident]) -> None:
    [unseen] = of(told, "dest", "unseen")
    assert hours(unseen["first_window"], "2013-07-01") == 0
    assert hours(unseen["opened_at"], "2013-07-15") == 0
    assert "BGR" in unseen["summary"]


def test_the_dead_weather_feed_is_told_on_the_evening_of_30_december(told: list[Incident]) -> None:
    for feature in ("temp", "wind_speed", "precip", "visib"):
        dead = of(told, feature, "missing")[-1]
        assert -6 <= hours(dead["opened_at"], "2013-12-31") <= 24
        assert dead["severity"] == "critical"


def test_what_does_not_change_is_quiet_all_year(told: list[Incident]) -> None:
    assert not [i for i in told if i["feature"] in QUIET]
    assert not [i for i in told if i["feature"] in NO_DRIFT and i["kind"] == "distribution"]


def test_status_reads_the_year_after_everything_has_ended(demo: Demo) -> None:
    command = [sys.executable, "-m", "monitor.cli", "status", "--json"]
    done = subprocess.run(command, cwd=demo.folder, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["counters"]["prediction"] == demo.told["predictions"]
    assert sum(p["position"] for p in found["partitions"]) == 309_772 + 300_948
    assert all(p["lag"] == 0 for p in found["partitions"])
