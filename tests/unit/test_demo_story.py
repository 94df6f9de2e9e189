"""The demo's last words say what was measured, and no more."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from monitor.cli.demo.result import Auc, Result, Retraining
from monitor.cli.demo.story import tell
from monitor.storage.reads import Tally

DONE: Final = Retraining(
    1, 1_366_603_200_000, "critical drift (temp) stood", "2", "succeeded", 1_366_623_000_000
)
YEAR: Final = Result(
    predictions=10,
    labels=9,
    dead_letters={},
    windows={"hour": 1, "day": 1, "week": 1},
    findings=3,
    incidents=[],
    groups=0,
    deliveries=Tally(delivered=1, failed=0, pending=0),
    retrains=[DONE],
    auc=Auc(never=0.7214, driftline=0.7448),
    seconds=60.0,
    peak_bytes=1_000_000,
)


def test_a_retraining_is_told_with_what_asked_and_since_when_it_scores() -> None:
    told = "\n".join(tell(YEAR))
    assert "22 April 00:00, retraining asked for: critical drift (temp) stood." in told
    assert "Version 2, trained on what was known by then, scores since 22 April 05:30." in told
    assert "0.745 as they were scored, 0.721 had January's model scored all of them" in told
    assert "calendar was not tried" in told


def test_one_that_came_to_nothing_is_told_as_such_and_nothing_is_compared() -> None:
    failed = replace(DONE, version=None, state="failed", live_ms=None)
    told = "\n".join(tell(replace(YEAR, retrains=[failed], auc=Auc(0.7214, 0.7214))))
    assert "No new version scored: the request ended as failed." in told
    assert "AUC of the year's flights: 0.721, of January's model." in told
    assert "calendar" not in told


def test_the_object_names_both_scores_and_each_request_in_event_time() -> None:
    printed = YEAR.as_json()
    assert printed["auc"] == {"never": 0.7214, "driftline": 0.7448}
    assert printed["retrains"] == [
        {
            "id": 1,
            "asked_at": "2013-04-22T04:00:00Z",
            "version": "2",
            "state": "succeeded",
            "live_at": "2013-04-22T09:30:00Z",
        }
    ]
