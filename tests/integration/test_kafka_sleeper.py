"""A member that sleeps with records in hand until the group has let others count them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from fake_source import Unguarded, counters, prediction
from sqlalchemy.engine import Engine
from stage import Member, Stage, both_clients

from consumers.loop import Loop

pytestmark = pytest.mark.both_databases

RECORDS = 60


@pytest.fixture
def stage(kafka: str, engine: Engine, client: str) -> Iterator[Stage]:
    with Stage(kafka, engine, client=client) as made:
        made.register()
        yield made


def counted_behind_a_sleeper(stage: Stage, kind: type[Loop]) -> int:
    """It polls, sleeps while another reads everything, and goes on; return what is counted."""
    stage.send(prediction(i) for i in range(RECORDS))
    # It is put out of the group for not polling: its client goes on to send signs of life.
    sleeper = stage.member(kind, options={"max_poll_interval_ms": 3_000})
    others: list[Member] = []
    polled = sleeper.source.poll

    def poll(timeout_s: float) -> Mapping[int, Any]:
        found: Mapping[int, Any] = polled(timeout_s)
        if found and not others:
            others.append(stage.member())
            stage.until(stage.is_read, "nobody else counts them", *others)
            assert counters(stage.engine)["prediction"] == RECORDS
        return found

    sleeper.source.poll = poll
    stage.until(lambda: bool(others), "nothing is read", sleeper)
    return counters(stage.engine)["prediction"]


@both_clients
def test_who_wakes_up_with_records_that_others_have_counted_adds_nothing(stage: Stage) -> None:
    assert counted_behind_a_sleeper(stage, Loop) == RECORDS
    assert stage.differences() == []


@both_clients
def test_without_the_guard_they_are_counted_twice(stage: Stage) -> None:
    assert counted_behind_a_sleeper(stage, Unguarded) > RECORDS
    assert stage.differences()
