"""Silences: nobody is told meanwhile but of an end, and what stands is told when they are over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from deciding import World, told
from hypothesis import given
from hypothesis import strategies as st
from incident_stories import DAY, HOUR, START, Story, again, changed, now, over, stories

from monitor.detect.knowledge import OPEN, IncidentNow
from monitor.detect.message_types import STANDING
from monitor.detect.silencing import Matcher, Silence, silenced

FEATURE = "f1"  # that of incident 1


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_silenced_is_told_when_the_silence_is_over(world: World) -> None:
    world.silence(8, 20, feature=FEATURE)
    one = now(1, 9)
    assert world.at(9, one) == []
    assert world.known.held[1].silence == 1
    # A day goes by in event time: that is not what it waits for.
    assert world.at(40, wall_h=19.9) == []
    assert told(world.at(40, wall_h=20)) == [("detected", (1,))]
    assert world.known.held == {}


def test_what_opened_and_ended_within_a_silence_stays_unsaid(world: World) -> None:
    world.silence(8, 20, feature=FEATURE)
    one = now(1, 9)
    world.at(9, one)
    assert world.at(12, over(one, 12)) == []
    assert world.at(60) == []
    assert world.said == [] and world.known.held == {}


def test_nor_is_told_what_ended_before_it_was_seen_that_the_silence_is_over(world: World) -> None:
    world.silence(8, 20, feature=FEATURE)
    one = now(1, 9)
    world.at(9, one)
    assert world.at(21, over(one, 19)) == []
    assert world.at(60) == [] and world.known.held == {}


def test_the_end_of_what_was_told_before_is_told_within_a_silence(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    world.silence(10, 40, feature=FEATURE)
    assert told(world.at(12, over(one, 12))) == [("resolved", (1,))]


def test_what_turns_critical_waits_too_unless_only_warnings_are_silenced(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.silence(10, 40, feature=FEATURE)
    world.silence(10, 40, feature="f2", severity="warning")
    worse = [replace(i, severity="critical") for i in (one, two)]
    assert told(world.at(12, *worse)) == [("updated", (2,))]
    assert told(world.at(41)) == [("updated", (1,))]


def test_others_of_the_same_problem_are_told(world: World) -> None:
    world.silence(8, 20, feature=FEATURE)
    one, two = now(1, 9), now(2, 9)
    assert told(world.at(9, one, two)) == [("detected", (2,))]
    # It joins the alert; below critical there is one message a day.
    assert told(world.at(21)) == []
    assert world.known.held[1].silence is None
    assert told(world.at(49)) == [("updated", (1,))]
    assert len({notice.alert.alert_id for notice in world.said}) == 1


def test_an_alert_is_over_though_what_is_silenced_stands(world: World) -> None:
    world.silence(8, 90, feature=FEATURE)
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    assert told(world.at(30, over(two, 30))) == [("resolved", (2,))]
    # Told after that it is found again, under the same id.
    assert told(world.at(91)) == [("detected", (1,))]


def test_what_reopened_and_ended_within_a_silence_is_no_news_later(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.at(12, over(one, 12))
    world.silence(13, 40, feature=FEATURE)
    back = again(one, 14)
    assert world.at(14, back) == []
    assert world.at(16, over(back, 16)) == []
    assert told(world.at(50, replace(two, severity="critical"))) == [("updated", (2,))]


def test_where_two_silences_mean_it_the_longer_one_holds(world: World) -> None:
    world.silence(8, 20, feature=FEATURE)
    world.silence(8, 30)
    world.at(9, now(1, 9))
    assert world.known.held[1].silence == 2
    assert world.at(25) == []
    assert told(world.at(30)) == [("detected", (1,))]


def test_a_silence_that_follows_another_takes_over(world: World) -> None:
    world.silence(8, 20, feature=FEATURE)
    world.at(9, now(1, 9))
    world.silence(20, 30)
    assert world.at(21) == []
    assert world.known.held[1].silence == 2
    assert told(world.at(30)) == [("detected", (1,))]


@pytest.mark.parametrize(
    ("matched", "is_meant"),
    [
        ({}, True),
        (
            {"model": "m", "version": "1", "segment": "all", "feature": "f1", "kind": "missing"},
            True,
        ),
        ({"model": "n"}, False),
        ({"version": "2"}, False),
        ({"segment": "s=1"}, False),
        ({"feature": "f2"}, False),
        ({"kind": "unseen"}, False),
        ({"severity": "critical"}, True),
        ({"severity": "warning"}, True),
    ],
)
def test_all_that_is_given_must_hold(matched: dict[str, str], is_meant: bool) -> None:
    silence = Silence(1, Matcher(**matched), 0, 1, "", "", 0)
    assert bool(silenced([now(1, 9)], [silence], "m", "1")) is is_meant
    critical = now(1, 9, severity="critical")
    is_meant = is_meant and matched.get("severity") != "warning"
    assert bool(silenced([critical], [silence], "m", "1")) is is_meant


def test_the_times_of_a_silence() -> None:
    silence = Silence(1, Matcher(), 10, 20, "", "", 0)
    assert [silence.state(ms) for ms in (9, 10, 19, 20)] == [
        "scheduled",
        "active",
        "active",
        "over",
    ]
    assert replace(silence, ended_ms=15).state(15) == "over"
    assert replace(silence, ended_ms=30).end_ms == 20


spans = st.lists(
    st.tuples(st.floats(0, 60), st.floats(0, 60), st.sampled_from(["a", "b", "c", None])),
    max_size=4,
)


@given(stories, spans)
def test_whatever_happens_no_news_of_what_is_silenced_and_all_of_what_stands_at_the_end(
    story: Story, silences: list[tuple[float, float, str | None]]
) -> None:
    world = World()
    for from_h, lasts_h, feature in silences:
        world.silence(from_h, from_h + lasts_h, **({} if feature is None else {"feature": feature}))
    latest: dict[int, IncidentNow] = {}
    event_h = wall_h = 0.0

    def evaluate() -> None:
        known = dict(world.known.incidents)
        at_ms = START + int(wall_h * HOUR)
        active = [silence for silence in world.silences if silence.state(at_ms) == "active"]
        notices = world.at(event_h, *latest.values(), wall_h=wall_h)
        hushed = silenced(world.incidents.values(), active, "m", "1")
        for notice in notices:
            if notice.type in STANDING:
                assert not hushed.keys() & {*notice.numbers}
            else:  # an end names what was told before
                assert all(n in known or n not in hushed for n in notice.numbers)
        assert world.at(event_h, wall_h=wall_h) == []  # the same again says nothing

    for changes, event_step, wall_step, is_evaluated in story:
        event_h, wall_h = event_h + event_step, wall_h + wall_step
        for number, what in changes:
            found = changed(latest.get(number + 1), number, what, event_h)
            if found is not None:
                latest[found.number] = found
        if is_evaluated:
            evaluate()
    wall_h += 120  # all silences are over
    evaluate()
    for _ in range(len(world.known.held)):
        wall_h += DAY / HOUR
        evaluate()
    assert world.known.held == {}
    for number, incident in latest.items():
        if incident.is_open and not incident.muted:
            assert world.known.incidents[number].is_open
    # The end of one of several is told with the next message; that of the last, at once.
    for alert_id, alert in world.known.alerts.items():
        members = [n for n, known in world.known.incidents.items() if known.alert_id == alert_id]
        assert (alert.state == OPEN) == any(latest[n].is_open for n in members)
