"""A silence and a broken schema are told as such, and no alert mixes them with drift."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from deciding import World
from incident_stories import HOUR, now, over, withdrawn

from monitor.detect.alerts import Notice, alert_id_of
from monitor.detect.knowledge import IncidentNow
from monitor.detect.message_types import BROKEN, ENDED, RESOLVED, SCHEMA_RESOLVED, SILENT


@pytest.fixture
def world() -> World:
    return World()


def silence(number: int, hour: float, **more: object) -> IncidentNow:
    return now(number, hour, feature="", kind="volume", severity="critical", **more)


def unsent(number: int, hour: float, **more: object) -> IncidentNow:
    return now(number, hour, kind="schema", severity="critical", **more)


def said(notices: Iterable[Notice]) -> list[tuple[str, tuple[int, ...]]]:
    return [(notice.type, notice.numbers) for notice in notices]


def test_a_silence_is_told_as_one_and_ends_as_one(world: World) -> None:
    one = silence(1, 9)
    assert said(world.at(9, one)) == [("model.silent", (1,))]
    assert said(world.at(15, over(one, 15))) == [("model.recovered", (1,))]
    assert {notice.alert.alert_id for notice in world.said} == {alert_id_of("m", "1", one)}
    assert [notice.alert.sequence for notice in world.said] == [1, 2]


def test_a_silence_that_nobody_waits_for_any_longer_did_not_recover(world: World) -> None:
    one = silence(1, 9)
    world.at(9, one)
    assert said(world.at(700, over(one, 681, "expired"))) == [("model.ended", (1,))]


def test_a_silence_that_late_events_filled_was_none(world: World) -> None:
    one = silence(1, 9)
    world.at(9, one)
    assert said(world.at(12, withdrawn(one))) == [("model.silence_withdrawn", (1,))]


def test_a_silence_that_began_later_than_was_told_is_told_again(world: World) -> None:
    one = silence(1, 9)
    world.at(9, one)
    later = replace(silence(2, 11), first_window_ms=one.first_window_ms + HOUR)
    assert said(world.at(12, withdrawn(one), later)) == [("model.silent", (2,))]
    assert world.said[-1].others == (1,)
    assert said(world.at(15, over(later, 15))) == [("model.recovered", (1, 2))]


def test_a_broken_schema_is_told_as_one_grows_and_ends_as_one(world: World) -> None:
    one, two = unsent(1, 9), unsent(2, 11)
    assert said(world.at(9, one)) == [("schema.broken", (1,))]
    assert said(world.at(11, two)) == [("schema.updated", (2,))]
    assert world.at(12, over(one, 12)) == []
    assert said(world.at(15, over(two, 15))) == [("schema.resolved", (1, 2))]
    assert [notice.alert.sequence for notice in world.said] == [1, 2, 3]


def test_a_schema_that_late_events_mended_was_never_broken(world: World) -> None:
    one = unsent(1, 9)
    world.at(9, one)
    assert said(world.at(12, withdrawn(one))) == [("schema.withdrawn", (1,))]


def test_what_opens_at_once_is_one_alert_for_each_thing_it_is_about(world: World) -> None:
    drifts = now(1, 9, severity="critical"), now(2, 9, kind="distribution")
    notices = world.at(9, *drifts, unsent(3, 9), silence(4, 9))
    assert sorted(said(notices)) == [
        ("drift.detected", (1, 2)), ("model.silent", (4,)), ("schema.broken", (3,)),
    ]  # fmt: skip
    assert len({notice.alert.alert_id for notice in notices}) == 3
    assert all(notice.alert.sequence == 1 for notice in notices)
    # What joins goes to its own kind, though all of them stood together.
    assert said(world.at(10, unsent(5, 10))) == [("schema.updated", (5,))]
    assert said(world.at(11, now(6, 11, severity="critical"))) == [("drift.updated", (6,))]


def test_an_alert_that_mixed_them_before_stays_drift_and_takes_in_nothing_else(
    world: World,
) -> None:
    drift, broken = now(1, 9, severity="critical"), unsent(2, 9)
    world.at(9, drift)
    (alert_id,) = world.known.alerts
    mixed = replace(world.known.incidents[1], kind="schema")
    world.incidents[2] = broken
    world.known = replace(world.known, incidents={**world.known.incidents, 2: mixed})
    (notice,) = world.at(10, unsent(3, 10))
    assert (notice.type, notice.numbers, notice.alert.sequence) == (BROKEN, (3,), 1)
    ended = world.at(12, over(drift, 12), over(broken, 12))
    assert [(n.type, n.alert.alert_id) for n in ended] == [(RESOLVED, alert_id)]


def test_what_is_silent_or_broken_when_the_model_goes_ends_under_its_own_type(
    world: World,
) -> None:
    world.at(9, silence(1, 9), unsent(2, 9), now(3, 9, severity="critical"))
    found = world.archive(12)
    assert sorted(said(found)) == [
        (RESOLVED, (3,)), (ENDED, (1,)), (SCHEMA_RESOLVED, (2,)),
    ]  # fmt: skip
    (back,) = world.at(60, over(unsent(2, 9), 30), over(now(3, 9), 30))
    assert (back.type, back.why, back.numbers) == (SILENT, "again", (1,))


# -- the model goes ----------------------------------------------------------------------------
