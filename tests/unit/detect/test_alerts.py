"""Messages about incidents: receivers end up knowing the truth, and hear nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from deciding import World, told
from hypothesis import given, settings
from incident_stories import (
    DAY,
    HOUR,
    START,
    ZONE,
    Story,
    again,
    changed,
    now,
    over,
    stories,
    withdrawn,
)

from monitor.detect.alerts import Notice, alert_id_of
from monitor.detect.groups import group
from monitor.detect.kinds import subject_of
from monitor.detect.knowledge import OPEN_STATES, IncidentNow, Moment
from monitor.detect.message_types import (
    BROKEN,
    DETECTED,
    ENDED,
    RECOVERED,
    RESOLVED,
    SCHEMA_RESOLVED,
    SCHEMA_UPDATED,
    SCHEMA_WITHDRAWN,
    SILENCE_WITHDRAWN,
    SILENT,
    STANDING,
    TYPES,
    UPDATED,
    WITHDRAWALS,
    WITHDRAWN,
)
from monitor.detect.messages import webhook_id_of


@pytest.fixture
def world() -> World:
    return World()


# -- one alert ---------------------------------------------------------------------------------


def test_a_problem_is_detected_once_and_resolved_once(world: World) -> None:
    one = now(1, 9)
    assert told(world.at(9, one)) == [("detected", (1,))]
    assert world.at(10, replace(one, state="recovering")) == []
    assert world.at(11, one) == []
    assert told(world.at(12, over(one, 12))) == [("resolved", (1,))]
    assert world.at(13, over(one, 12, "expired")) == []
    assert [notice.alert.sequence for notice in world.said] == [1, 2]
    assert {notice.alert.alert_id for notice in world.said} == {alert_id_of("m", "1", one)}


def test_all_that_one_evaluation_opened_is_one_message(world: World) -> None:
    assert told(world.at(9, now(1, 9), now(2, 9), now(3, 8.5))) == [("detected", (3, 1, 2))]
    assert world.said[0].alert.alert_id == alert_id_of("m", "1", now(3, 8.5))
    # What a page calls the problem is what the message links to.
    assert world.said[0].alert.number == 1


def test_the_alert_is_over_when_the_last_of_its_members_is(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    assert world.at(12, over(one, 12)) == []
    (notice,) = world.at(15, over(two, 15))
    assert (notice.type, notice.numbers) == (RESOLVED, (1, 2))
    assert notice.alert.opened_ms == one.opened_ms


def test_an_update_also_says_who_ended_meanwhile(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.at(12, over(two, 12))
    (notice,) = world.at(25, now(3, 25))
    assert (notice.type, notice.numbers, notice.others) == (UPDATED, (3,), (2,))
    assert notice.why == "also"


def test_becoming_critical_is_told_once(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    (notice,) = world.at(10, replace(one, severity="critical"))
    assert (notice.type, notice.why, notice.alert.severity) == (UPDATED, "critical", "critical")
    # Critical has latches of its own: they come and go within one episode.
    assert world.at(11, one) == []
    assert world.at(12, replace(one, severity="critical")) == []
    (ended,) = world.at(13, over(one, 13))
    assert (ended.type, ended.alert.severity) == (RESOLVED, "critical")


def test_severity_is_that_of_the_worst_member_that_stands(world: World) -> None:
    mild, bad = now(1, 9), now(2, 9, severity="critical")
    world.at(9, bad, mild)
    world.at(12, over(bad, 12))
    (update,) = world.at(25, now(3, 25))
    assert (update.alert.severity, update.alert.worst) == ("warning", "critical")


def test_a_problem_that_returns_is_the_same_alert_detected_again(world: World) -> None:
    one = now(1, 9, severity="critical")
    world.at(9, one)
    ended = over(one, 12)
    world.at(12, ended)
    back = again(ended, 60, severity="warning")
    (notice,) = world.at(60, back)
    assert (notice.type, notice.why, notice.alert.sequence) == (DETECTED, "again", 3)
    assert notice.since_ms == START + 60 * HOUR
    assert notice.alert.alert_id == world.said[0].alert.alert_id
    (ended_again,) = world.at(70, over(back, 70))
    # It speaks of this time: how bad it was the first time was said then.
    assert (ended_again.alert.severity, ended_again.alert.opened_ms) == (
        "warning",
        START + 60 * HOUR,
    )


def test_who_was_over_before_is_not_resolved_again(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.at(12, over(one, 12), over(two, 12))
    back = again(over(two, 12), 60)
    world.at(60, back)
    assert told(world.at(70, over(back, 70))) == [("resolved", (2,))]


def test_a_member_that_reopens_while_the_alert_is_open_is_an_update(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.at(12, over(one, 12))
    (notice,) = world.at(30, again(over(one, 12), 30))
    assert (notice.type, notice.why, notice.numbers) == (UPDATED, "again", (1,))


# -- what a message is about ---------------------------------------------------------------------


def test_each_open_alert_of_a_model_that_goes_ends_once(world: World) -> None:
    one, two, other = now(1, 9), now(2, 9), now(3, 9 + 5 * 24)
    world.at(9, one, two)
    world.at(12, over(one, 12))
    world.at(9 + 5 * 24, other)
    first, second = world.archive(140)
    # That one of them is over nobody was told yet.
    assert (first.type, first.why, first.numbers) == (RESOLVED, "archived", (1, 2))
    assert (second.numbers, second.alert.sequence) == ((3,), 2)
    assert {alert.state for alert in world.known.alerts.values()} == {"resolved"}
    assert world.archive(141) == []


def test_what_still_stands_of_a_model_that_is_back_is_the_same_alert_detected_again(
    world: World,
) -> None:
    one, two = now(1, 9, severity="critical"), now(2, 9)
    world.at(9, one, two)
    world.archive(12)
    (notice,) = world.at(60, over(one, 50), replace(two, state="recovering"))
    assert (notice.type, notice.why, notice.numbers) == (DETECTED, "again", (2,))
    assert (notice.alert.severity, notice.alert.sequence) == ("warning", 3)
    # The end names what really ended meanwhile, too.
    assert told(world.at(70, over(two, 70))) == [("resolved", (1, 2))]


def test_what_ended_and_what_was_withdrawn_while_nobody_watched_says_nothing_more(
    world: World,
) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.archive(12)
    assert world.at(60, over(one, 50), withdrawn(two)) == []


# -- late events -------------------------------------------------------------------------------


def test_an_alert_whose_every_member_was_withdrawn_is_withdrawn(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    assert world.at(10, withdrawn(one)) == []
    (notice,) = world.at(11, withdrawn(two))
    assert (notice.type, set(notice.numbers)) == (WITHDRAWN, {1, 2})
    assert notice.alert.state == "withdrawn"
    assert world.at(12, withdrawn(one), withdrawn(two)) == []


def test_an_alert_that_lost_one_member_and_outlived_the_other_is_resolved(world: World) -> None:
    one, two = now(1, 9), now(2, 9)
    world.at(9, one, two)
    world.at(10, withdrawn(one))
    assert told(world.at(14, over(two, 14))) == [("resolved", (1, 2))]


def test_late_events_can_take_back_what_was_resolved_already(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    world.at(12, over(one, 12))
    assert told(world.at(40, withdrawn(one))) == [("withdrawn", (1,))]
    # And give it back: it happened, and it is over.
    assert told(world.at(60, over(one, 12))) == [("detected", (1,)), ("resolved", (1,))]
    assert [notice.alert.sequence for notice in world.said] == [1, 2, 3, 4, 5]


def test_what_was_resolved_and_stands_after_all_is_detected_again(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    world.at(12, over(one, 12))
    assert told(world.at(40, one)) == [("detected", (1,))]


def test_what_was_withdrawn_before_it_was_told_stays_unsaid(world: World) -> None:
    world.at(9, now(1, 9))
    two = now(2, 11)
    assert world.at(11, two) == []  # held: one message a day
    assert world.at(12, withdrawn(two)) == []
    assert world.known.held == {}
    assert world.at(30) == []
    assert world.at(31, withdrawn(now(3, 5))) == []


def test_a_member_stays_in_its_alert_whatever_late_events_do_to_the_groups(world: World) -> None:
    # Four days apart: two problems.
    one, two = now(1, 9), now(2, 9 + 4 * 24)
    world.at(9, one)
    world.at(9 + 4 * 24, two)
    first, second = (notice.alert.alert_id for notice in world.said)
    assert first != second
    # A late event moves the second back: the pages now show one group. A third joins it.
    moved = replace(two, opened_ms=one.opened_ms + HOUR, first_window_ms=one.first_window_ms)
    three = replace(now(3, 10), first_window_ms=one.first_window_ms)
    (notice,) = world.at(9 + 5 * 24, moved, three)
    assert [[i.number for i in found] for found in group(world.incidents.values())] == [[1, 2, 3]]
    # The new one belongs to the older alert, and the others stay where they were told.
    assert (notice.alert.alert_id, notice.numbers) == (first, (3,))
    assert world.known.incidents[2].alert_id == second
    ended = world.at(300, over(one, 300), over(moved, 300), over(three, 300))
    assert told(ended) == [("resolved", (1, 3)), ("resolved", (2,))]


# -- backlogs ----------------------------------------------------------------------------------


def test_what_opened_and_ended_between_two_evaluations_is_told_in_order(world: World) -> None:
    notices = world.at(30, now(1, 9, ended_h=14), now(2, 9, ended_h=16))
    assert told(notices) == [("detected", (1, 2)), ("resolved", (1, 2))]
    assert [notice.alert.sequence for notice in notices] == [1, 2]


def test_what_reopened_and_ended_between_two_evaluations_is_told_in_order(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    world.at(12, over(one, 12))
    back = over(again(over(one, 12), 40), 44)
    assert told(world.at(50, back)) == [("detected", (1,)), ("resolved", (1,))]


def test_an_end_and_a_return_that_nobody_saw_is_one_update(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    (notice,) = world.at(60, again(over(one, 12), 59))
    assert (notice.type, notice.why) == (UPDATED, "again")


def test_what_was_over_before_alerts_were_kept_is_no_news(world: World) -> None:
    old = now(1, 9, ended_h=14)
    world.incidents[1] = old
    assert told(world.at(15, now(2, 10))) == [("detected", (2,))]


# -- segments ----------------------------------------------------------------------------------


def test_a_muted_incident_is_never_told(world: World) -> None:
    whole = now(1, 9, feature="f")
    closer = now(2, 9, feature="f", segment="origin=JFK", muted=True, severity="critical")
    assert told(world.at(9, whole, closer)) == [("detected", (1,))]
    assert world.said[0].alert.severity == "warning"
    assert told(world.at(14, over(whole, 14), over(closer, 14))) == [("resolved", (1,))]


def test_a_segment_that_stands_when_all_rows_are_over_is_told_then(world: World) -> None:
    whole = now(1, 9, feature="f")
    closer = now(2, 9, feature="f", segment="origin=JFK", muted=True)
    world.at(9, whole, closer)
    shown = replace(closer, muted=False)
    # It is of the same alert, which had the message of that day, and is thus not over.
    assert world.at(14, over(whole, 14), shown) == []
    (notice,) = world.at(24)
    assert (notice.type, notice.numbers, notice.others) == (UPDATED, (2,), (1,))
    assert told(world.at(30, over(shown, 30))) == [("resolved", (1, 2))]


def test_a_told_segment_that_became_muted_does_not_stay_open_for_ever(world: World) -> None:
    closer = now(2, 9, feature="f", segment="origin=JFK")
    world.at(9, closer)
    whole = replace(now(3, 8, feature="f"), first_window_ms=closer.first_window_ms)
    (update,) = world.at(30, whole, replace(closer, muted=True))
    assert (update.type, update.numbers) == (UPDATED, (3,))
    assert world.at(40, over(whole, 40)) == []
    assert told(world.at(41, over(replace(closer, muted=True), 41))) == [("resolved", (2, 3))]


# -- one a day ---------------------------------------------------------------------------------


def test_below_critical_there_is_one_message_a_day_of_the_model_s_zone(world: World) -> None:
    world.at(9, now(1, 9))
    assert world.at(10, now(2, 10)) == []
    assert world.at(11, now(3, 11)) == []
    assert world.at(23.99) == []
    (notice,) = world.at(24)
    assert (notice.type, notice.numbers) == (UPDATED, (2, 3))
    # That was the new day's message.
    assert world.at(25, now(4, 25)) == []
    assert told(world.at(48)) == [("updated", (4,))]


def test_midnight_is_the_model_s_own(world: World) -> None:
    world.zone = "UTC"
    world.at(9, now(1, 9))
    world.at(10, now(2, 10))
    assert world.at(24) == []  # 22:00 in UTC
    assert told(world.at(26)) == [("updated", (2,))]


def test_what_is_critical_goes_at_once_and_takes_along_what_was_held_of_its_alert(
    world: World,
) -> None:
    world.at(9, now(1, 9))
    world.at(10, now(2, 10))
    # Of another problem: it began weeks before.
    other = replace(now(9, 10), first_window_ms=START - 30 * DAY)
    world.at(10, other)
    (notice,) = world.at(11, now(3, 11, severity="critical"))
    assert (notice.type, notice.numbers) == (UPDATED, (2, 3))
    assert list(world.known.held) == [9]
    assert told(world.at(24)) == [("detected", (9,))]


def test_a_critical_message_does_not_use_up_the_day(world: World) -> None:
    world.at(9, now(1, 9, severity="critical"))
    assert told(world.at(10, now(2, 10))) == [("updated", (2,))]
    assert world.at(11, now(3, 11)) == []


def test_of_two_problems_on_one_day_the_first_is_told_and_the_other_when_the_day_is_over(
    world: World,
) -> None:
    other = replace(now(2, 9.5), first_window_ms=START - 30 * DAY)
    assert told(world.at(10, other, now(1, 9))) == [("detected", (1,))]
    assert told(world.at(24)) == [("detected", (2,))]


def _unrelated(number: int, hour: float) -> IncidentNow:
    """An incident that is a problem of its own: it began long before those of other numbers."""
    return replace(now(number, hour), first_window_ms=START - number * 30 * DAY)


def test_of_many_problems_that_wait_each_day_has_one_the_oldest_first(world: World) -> None:
    assert told(world.at(9, _unrelated(1, 9))) == [("detected", (1,))]
    assert world.at(10, _unrelated(3, 10)) == []
    assert world.at(11, _unrelated(2, 11), _unrelated(4, 10.5)) == []
    assert told(world.at(24)) == [("detected", (3,))]
    assert world.at(47.99, _unrelated(5, 26)) == []
    assert told(world.at(48)) == [("detected", (4,))]
    assert told(world.at(72)) == [("detected", (2,))]
    # What is new that day stands behind what waits.
    assert told(world.at(97, _unrelated(6, 96))) == [("detected", (5,))]
    assert told(world.at(120)) == [("detected", (6,))]
    assert world.known.held == {}


def test_a_day_that_had_its_message_has_none_of_what_waited_before_it(world: World) -> None:
    world.at(9, _unrelated(1, 9))
    world.at(10, _unrelated(2, 10))
    # The day's message is said of what waits, and of what joined it meanwhile, not of others.
    world.at(24.5, _unrelated(3, 24.5))
    assert [notice.numbers for notice in world.said] == [(1,), (2,)]
    assert world.at(30) == []
    assert told(world.at(48)) == [("detected", (3,))]


def test_of_many_that_wait_where_event_time_stands_still_each_day_by_the_clock_has_one(
    world: World,
) -> None:
    world.at(9, _unrelated(1, 9), wall_h=1_000)
    world.at(10, _unrelated(2, 10), _unrelated(3, 10), wall_h=1_001)
    assert told(world.at(10, wall_h=1_025)) == [("detected", (2,))]
    assert world.at(10, wall_h=1_048.9) == []
    assert told(world.at(10, wall_h=1_049)) == [("detected", (3,))]


def test_what_is_held_is_told_after_a_day_by_the_clock_where_event_time_stands_still(
    world: World,
) -> None:
    world.at(9, now(1, 9), wall_h=1_000)
    world.at(10, now(2, 10), wall_h=1_001)
    assert world.at(10, wall_h=1_024.9) == []
    assert told(world.at(10, wall_h=1_025)) == [("updated", (2,))]


def test_an_end_is_told_at_once_on_a_day_that_had_its_message(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    assert told(world.at(12, over(one, 12))) == [("resolved", (1,))]
    two = replace(now(2, 13), first_window_ms=START + 12 * HOUR)
    assert world.at(13, two) == []
    assert told(world.at(24)) == [("detected", (2,))]


def test_an_alert_is_not_over_while_a_member_that_waits_stands(world: World) -> None:
    one, two = now(1, 9), now(2, 10)
    world.at(9, one)
    world.at(10, two)
    assert world.at(12, over(one, 12)) == []
    (notice,) = world.at(24)
    assert (notice.type, notice.numbers, notice.others) == (UPDATED, (2,), (1,))


def test_what_waited_and_ended_is_told_with_the_end_of_its_alert(world: World) -> None:
    one, two = now(1, 9), now(2, 10)
    world.at(9, one)
    world.at(10, two)
    world.at(12, over(two, 12))
    assert told(world.at(13, over(one, 13))) == [("resolved", (1, 2))]
    assert world.known.held == {}
    assert world.at(30) == []


def test_what_waited_and_ended_alone_is_told_when_the_day_is_over(world: World) -> None:
    world.at(9, now(1, 9))
    other = replace(now(2, 10), first_window_ms=START - 30 * DAY)
    world.at(10, other)
    assert world.at(12, over(other, 12)) == []
    assert told(world.at(24)) == [("detected", (2,)), ("resolved", (2,))]


# -- ids ---------------------------------------------------------------------------------------


def test_the_id_of_an_alert_hangs_on_every_name_and_where_it_ends() -> None:
    one = now(1, 9, feature="b")
    found = {
        alert_id_of(model, version, replace(one, feature=feature, segment=segment))
        for model, version, segment, feature in (
            ("m", "1", "all", "b"),
            ("m1", "", "all", "b"),
            ("m", "1", "al", "lb"),
            ("m", "1a", "ll", "b"),
            ("", "m1", "all", "b"),
            ("m", "1", "all", "\u00e9\u0000"),
        )
    }
    assert len(found) == 6
    assert all(20 <= len(alert_id) <= 32 for alert_id in found)
    assert alert_id_of("m", "1", one, nonce="a") not in {alert_id_of("m", "1", one), *found}
    assert alert_id_of("m", "1", one, nonce="a") != alert_id_of("m", "1", one, nonce="b")
    assert alert_id_of("m", "1", one) == alert_id_of("m", "1", over(replace(one, number=7), 20))


def test_an_id_that_is_taken_already_is_the_same_alert(world: World) -> None:
    one = now(1, 9)
    world.at(9, one)
    world.at(12, withdrawn(one))
    # Late events bring it back under another number.
    (notice,) = world.at(40, replace(one, number=2))
    assert (notice.type, notice.alert.sequence) == (DETECTED, 3)


# -- the law -----------------------------------------------------------------------------------


@dataclass
class Receiver:
    """Somebody who knows nothing but the messages."""

    state: dict[str, str] = field(default_factory=dict)
    subject: dict[str, str] = field(default_factory=dict)
    sequence: dict[str, int] = field(default_factory=dict)
    incidents: dict[int, tuple[str, str]] = field(default_factory=dict)  # alert, state
    critical: dict[int, int] = field(default_factory=dict)  # number -> told of this episode
    ids: set[str] = field(default_factory=set)

    def hear(self, notice: Notice, incidents: dict[int, IncidentNow]) -> None:
        alert_id, before = notice.alert.alert_id, self.state.get(notice.alert.alert_id)
        assert webhook_id_of(notice) not in self.ids
        self.ids.add(webhook_id_of(notice))
        assert notice.alert.sequence == self.sequence.get(alert_id, 0) + 1
        self.sequence[alert_id] = notice.alert.sequence
        over = (None, "resolved", "withdrawn")
        allowed = {
            DETECTED: over, BROKEN: over, SILENT: (*over, "open"),
            UPDATED: ("open",), SCHEMA_UPDATED: ("open",),
            RESOLVED: ("open",), SCHEMA_RESOLVED: ("open",), RECOVERED: ("open",), ENDED: ("open",),
            WITHDRAWN: ("open", "resolved"), SCHEMA_WITHDRAWN: ("open", "resolved"),
            SILENCE_WITHDRAWN: ("open", "resolved"),
        }  # fmt: skip
        assert before in allowed[notice.type]
        subject = notice.type.partition(".")[0]
        assert self.subject.setdefault(alert_id, subject) == subject
        assert notice.numbers
        self.state[alert_id] = notice.alert.state
        for number in (*notice.numbers, *notice.others):
            incident = incidents[number]
            assert self.incidents.get(number, (alert_id,))[0] == alert_id
            self.incidents[number] = (alert_id, incident.state)
            types = TYPES[subject_of(incident.kind)]
            assert types.opened.partition(".")[0] == subject
            if incident.severity == "critical":
                self.critical[number] = max(self.critical.get(number, 0), len(incident.episodes))
            if notice.type not in STANDING:
                assert not incident.is_open
            if notice.type in WITHDRAWALS:
                assert incident.is_withdrawn


@settings(max_examples=400, deadline=None)
@given(stories)
def test_whatever_happens_receivers_end_up_knowing_the_truth(
    story: Story,
) -> None:
    world, receiver, told_of_it = World(), Receiver(), set[int]()
    latest: dict[int, IncidentNow] = {}
    event_h = wall_h = 0.0

    def evaluate() -> None:
        nonlocal told_of_it
        held, warned_ms = dict(world.known.held), world.known.warned_ms
        notices = world.at(event_h, *latest.values(), wall_h=wall_h)
        moment = Moment(START + int(event_h * HOUR), START + int(wall_h * HOUR), ZONE)
        calm = [
            notice
            for notice in notices
            if notice.type in STANDING
            and not any(world.incidents[n].severity == "critical" for n in notice.numbers)
        ]
        assert len(calm) <= 1
        if calm and warned_ms is not None and moment.is_same_day(warned_ms):
            assert any(n in held and moment.ends(held[n]) for n in calm[0].numbers)
        for notice in notices:
            assert not any(world.incidents[n].muted and n not in told_of_it for n in notice.numbers)
            told_of_it |= {*notice.numbers}
            receiver.hear(notice, world.incidents)
        assert world.at(event_h, wall_h=wall_h) == []  # the same again says nothing

    for changes, event_step, wall_step, is_evaluated in story:
        event_h, wall_h = event_h + event_step, wall_h + wall_step
        for number, what in changes:
            found = changed(latest.get(number + 1), number, what, event_h)
            if found is not None:
                latest[found.number] = found
        if is_evaluated:
            evaluate()
    evaluate()
    for _ in range(len(world.known.held)):
        wall_h += 24
        evaluate()
    assert world.known.held == {}

    for incident in world.incidents.values():
        alert_id, believed = receiver.incidents.get(incident.number, (None, None))
        if incident.muted:
            continue
        if incident.is_open:
            assert alert_id is not None
            assert believed in OPEN_STATES
            assert receiver.state[alert_id] == "open"
            if incident.severity == "critical":
                assert receiver.critical[incident.number] >= len(incident.episodes)
        elif not incident.is_withdrawn:
            assert alert_id is not None
    for alert_id, state in receiver.state.items():
        own = [world.incidents[n] for n, (a, _) in receiver.incidents.items() if a == alert_id]
        standing = [
            i
            for i in own
            if i.is_open and (not i.muted or receiver.incidents[i.number][1] in OPEN_STATES)
        ]
        assert (state == "open") == bool(standing)
        # Whether a muted one came back is for another to tell.
        if not any(i.muted for i in own):
            assert (state == "withdrawn") == all(i.is_withdrawn for i in own)
        if state != "open":
            assert not any(receiver.incidents[i.number][1] in OPEN_STATES for i in own)
