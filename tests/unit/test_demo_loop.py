"""The demo's log waits where a retraining could be asked for, and goes on with the new version."""

from __future__ import annotations

import doctest
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from monitor.cli.demo import loop, retrain
from monitor.cli.demo.flights import FEATURES, ZONE
from monitor.cli.demo.loop import Desk, Takeover, next_look, stream
from monitor.cli.demo.produce import Log, Slice
from monitor.detect.retraining import Policy
from monitor.storage.retrain_rows import Retrain

DAYS, BEFORE = 90, 5


@dataclass
class Asked:
    """A request as far as the loop goes by it."""

    event_ms: int
    live_version: str | None


@dataclass
class World:
    """Says what was found at the ends of days, and notes what was sent and waited for."""

    drifting: set[int]  # days on which critical drift stands
    asks: dict[int, str | None] = field(default_factory=dict)  # day -> version that is made then
    waited: list[tuple[str, int]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    sent_at: list[int] = field(default_factory=list)
    ends_ms: list[int] = field(default_factory=list)

    def send(self, slices: Iterable[Slice]) -> None:
        self.events += [json.loads(value) for one in slices for _, value, _ in one.records]

    def desk(self) -> Desk:
        def wait_for_day(version: str, at_ms: int) -> None:
            self.waited.append((version, self.ends_ms.index(at_ms)))
            self.sent_at.append(len(self.events))

        def open_days(version: str, at_ms: int) -> int:
            day = self.ends_ms.index(at_ms)
            return len([one for one in self.drifting if day - 28 < one <= day])

        def wait_for_trainer(version: str) -> Retrain | None:
            made = [day for day in self.asks if day <= self.waited[-1][1]]
            if not made:
                return None
            return cast(Retrain, Asked(self.ends_ms[made[-1]], self.asks[made[-1]]))

        return Desk(wait_for_day, open_days, wait_for_trainer)


@pytest.fixture(scope="module")
def flights() -> pd.DataFrame:
    times = pd.date_range("2013-02-01T00:30", periods=DAYS * 24, freq="h", tz=ZONE)
    n = len(times)
    return pd.DataFrame(
        {
            "id": [f"flight-{i}" for i in range(n)],
            "time": times.tz_convert("UTC"),
            **dict.fromkeys(FEATURES, 1.0),
            "late": 0.0,
            "lands_at": (times + pd.Timedelta("20min")).tz_convert("UTC"),
            "prediction": "on_time",
            "score": 0.25,
        }
    )


def run(world: World, flights: pd.DataFrame, folder: Path) -> list[Takeover]:
    log = Log(flights, partitions=2)
    world.ends_ms = [stop.day_end_ms for stop in log.stops(ZONE, lateness_ms=600_000)]
    return stream(log, world.send, policy=Policy(), desk=world.desk(), folder=folder, before=BEFORE)


def left(folder: Path, version: str, n: int, score: float) -> None:
    """Leave scores as a trainer does: of the whole year."""
    np.save(retrain.scores_in(folder, version), np.full(BEFORE + n, score))


def test_a_calm_log_waits_every_five_days_and_is_whole(
    flights: pd.DataFrame, tmp_path: Path
) -> None:
    world = World(set())
    assert run(world, flights, tmp_path) == []
    assert [day for _, day in world.waited] == list(range(4, DAYS - 1, 5))
    assert len(world.events) == 2 * len(flights)
    assert {event.get("version", "1") for event in world.events} == {"1"}


def test_it_waits_at_every_day_at_which_a_policy_could_ask(
    flights: pd.DataFrame, tmp_path: Path
) -> None:
    drifting = {20, 21, 40, 41, 42, 60}
    world = World(drifting)
    run(world, flights, tmp_path)
    waited = {day for _, day in world.waited}
    could = {
        day
        for day in range(DAYS - 1)
        if len([one for one in drifting if day - 28 < one <= day]) >= Policy().open_days
    }
    assert could and could <= waited
    assert len(waited) < DAYS / 2


def test_the_new_version_scores_from_the_flight_after_the_wait_and_has_a_cool_down(
    flights: pd.DataFrame, tmp_path: Path
) -> None:
    world = World(set(range(10, 60)), {14: "2"})
    left(tmp_path, "2", len(flights), 0.75)
    [took] = run(world, flights, tmp_path)
    at = world.waited.index(("1", 14))
    before, after = world.events[: world.sent_at[at]], world.events[world.sent_at[at] :]
    assert {e["version"] for e in before if e["type"] == "prediction"} == {"1"}
    scored = [e for e in after if e["type"] == "prediction"]
    assert {(e["version"], e["prediction"]["score"]) for e in scored} == {("2", 0.75)}
    assert took == Takeover("2", int(pd.Timestamp(scored[0]["time"]).timestamp() * 1_000))
    assert took.live_ms > world.ends_ms[14]
    # From then on the new version is waited for, and not before it may be replaced.
    assert world.waited[at + 1] == ("2", 14 + Policy().cooldown_days)
    assert len(world.events) == 2 * len(flights)


def test_a_training_that_fails_leaves_the_version_in_place(
    flights: pd.DataFrame, tmp_path: Path
) -> None:
    world = World(set(range(10, 60)), {14: None})
    assert run(world, flights, tmp_path) == []
    assert {version for version, _ in world.waited} == {"1"}
    assert {e.get("version", "1") for e in world.events} == {"1"}


def test_it_is_next_looked_at_when_enough_days_could_be_there() -> None:
    assert next_look(3, days=3, policy=Policy(), asked=None) == 5
    assert next_look(3, days=9, policy=Policy(), asked=None) == 4
    assert next_look(3, days=9, policy=Policy(cooldown_days=0), asked=3) == 4


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(loop).failed == 0
