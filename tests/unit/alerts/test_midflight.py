"""An endpoint goes, or the clock, while a message is under way: nothing is lost, nobody waits."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from outbox_world import FAILED, NOW_MS, OK, World
from sqlalchemy.engine import Engine

from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.schedule import Answer
from monitor.storage import deliveries, endpoints, outbox, reads
from monitor.storage import schema as t
from monitor.storage.deliveries import Claim
from monitor.storage.engine import reading, transaction

pytestmark = pytest.mark.both_databases


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    yield World(engine)


def _id(world: World, name: str = "one") -> int:
    with reading(world.engine) as conn:
        found = endpoints.find(conn, name)
    assert found is not None
    return found.id


def _remove(world: World, endpoint_id: int) -> int:
    with transaction(world.engine) as conn:
        return endpoints.remove(conn, endpoint_id, now_ms=world.clock.now_ms())


def _disable(world: World, name: str = "one") -> None:
    with transaction(world.engine) as conn:
        assert endpoints.disable(conn, _id(world, name), "by hand", now_ms=NOW_MS)


def _claimed(world: World, owner: str = "slow") -> Claim:
    now_ms = world.clock.now_ms()
    with transaction(world.engine) as conn:
        [one] = deliveries.due(conn, now_ms)
        held = deliveries.claim(conn, one.outbox_id, owner, now_ms, now_ms + 60_000)
    assert held is not None
    return held


# -- an endpoint goes ----------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [OK, FAILED, Answer(status=410), Answer(error="no answer")])
def test_removed_while_its_answer_comes_it_is_told_what_became_of_it(
    world: World, answer: Answer
) -> None:
    world.add("one", "two")
    world.tell(1)
    number = _id(world)

    def removed() -> Answer:
        assert _remove(world, number) == 1
        return answer

    world.answers["one"] = removed
    world.run()
    world.clock.advance(48 * 3_600)
    assert world.run() == []
    [(_, state, attempts)] = world.state("one")
    assert (state, attempts) == ("delivered" if answer is OK else "cancelled", 1)
    # Who is gone by a person's hand needs no message about it.
    assert [one for one, _, _ in world.state("two")] == ["a-1"]
    with reading(world.engine) as conn:
        [one] = reads.deliveries(conn, endpoint="one")
        assert len(reads.attempts_of(conn, [one.id])[one.id]) == 1
        row = conn.execute(sa.select(t.outbox).where(t.outbox.c.id == one.id)).one()
    assert (row.leased_by, row.lease_until_ms) == (None, None)


def test_removed_between_the_look_and_the_claim_it_is_not_sent_to(world: World) -> None:
    world.add("one")
    world.tell(1)
    with reading(world.engine) as conn:
        [one] = deliveries.due(conn, NOW_MS)
    _remove(world, one.endpoint_id)
    with transaction(world.engine) as conn:
        assert deliveries.claim(conn, one.outbox_id, "me", NOW_MS, NOW_MS + 60_000) is None
    assert world.run() == []


def test_a_dispatcher_that_stood_still_until_its_lease_was_over_sends_nothing(
    world: World,
) -> None:
    world.add("one")
    world.tell(1)
    stopped = world.dispatcher()
    held = _claimed(world)
    _remove(world, held.endpoint.id)
    world.clock.advance(60)
    stopped._deliver(held)
    assert world.sent == []


def test_disabled_while_its_answer_comes_it_gets_the_message_when_it_is_back(world: World) -> None:
    world.add("one")
    world.tell(1)

    def disabled() -> Answer:
        _disable(world)
        return FAILED

    world.answers["one"] = disabled
    world.run()
    world.answers["one"] = OK
    world.clock.advance(3_600)
    assert world.run() == []
    assert world.state() == [("a-1", "pending", 1)]
    with transaction(world.engine) as conn:
        endpoints.enable(conn, _id(world))
    assert world.run() == [("one", "a-1")]


def test_what_follows_a_message_that_waits_for_a_disabled_endpoint_waits_with_it(
    world: World,
) -> None:
    world.add("one", "two")
    world.tell(1)
    _disable(world)
    world.tell(2)
    world.tell(1, "b")
    world.run()
    assert world.state("one") == [("a-1", "pending", 0), ("a-2", "pending", 0)]
    with transaction(world.engine) as conn:
        endpoints.enable(conn, _id(world))
    assert world.run() == [("one", "a-1"), ("one", "a-2")]


def test_a_later_message_waits_for_one_that_was_cancelled_while_it_was_sent(world: World) -> None:
    world.add("one")
    world.tell(1)
    world.tell(2)
    held = _claimed(world)
    with transaction(world.engine) as conn:  # as an archived model's
        first = t.outbox.c.id == held.outbox_id
        conn.execute(sa.update(t.outbox).where(first).values(state="cancelled"))
    assert world.run() == []
    late = deliveries.Attempt(1, NOW_MS, 5, 500, "it answered 500", None)
    with transaction(world.engine) as conn:
        assert not deliveries.record(conn, held, late, "pending", due_ms=NOW_MS)
    assert world.run() == [("one", "a-2")]
    assert world.state() == [("a-1", "cancelled", 1), ("a-2", "delivered", 1)]


def test_a_message_that_is_being_written_while_its_endpoint_is_removed_is_cancelled(
    world: World,
) -> None:
    world.add("one")
    number, removed = _id(world), threading.Event()

    def remove() -> None:
        _remove(world, number)
        removed.set()

    thread = threading.Thread(target=remove)
    with transaction(world.engine) as conn:
        told = outbox.Message("a-1", "a", 1, "drift.detected", "{}")
        assert outbox.enqueue(conn, told, NOW_MS) == 1
        thread.start()
        assert not removed.wait(0.5)
    thread.join(20)
    assert world.state() == [("a-1", "cancelled", 0)]


def test_two_dispatchers_and_a_removal_send_nothing_after_it_and_leave_nothing_waiting(
    world: World,
) -> None:
    names = [f"e{number}" for number in range(3)]
    world.add(*names)
    for number in range(15):
        world.tell(1, f"alert{number}")
    numbers = {name: _id(world, name) for name in names}
    begun, over = threading.Event(), threading.Event()
    found: list[BaseException] = []

    def answered() -> Answer:
        begun.set()
        return OK

    world.answers |= dict.fromkeys(names, answered)

    def deliver(dispatcher: Dispatcher) -> None:
        try:
            while not over.is_set():
                dispatcher.step()
                dispatcher.wait(0.01)
            assert dispatcher.finish(20)
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=deliver, args=(world.dispatcher(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    _remove(world, numbers["e0"])
    for _ in range(400):
        if {state for name in names for _, state, _ in world.state(name)} <= {
            "delivered",
            "cancelled",
        }:
            break
        threading.Event().wait(0.05)
    over.set()
    for thread in threads:
        thread.join(30)
    assert found == []
    sent = [(name, headers["webhook-id"]) for name, headers, _ in world.sent]
    assert len(sent) == len(set(sent))
    for name in names:
        delivered = {one for one, state, _ in world.state(name) if state == "delivered"}
        assert delivered == {one for to, one in sent if to == name}
        assert len(world.state(name)) == 15
    assert {state for _, state, _ in world.state("e1")} == {"delivered"}


def test_two_that_end_an_endpoint_at_once_do_not_wait_for_each_other(world: World) -> None:
    """One by its 410, the other by hand; PostgreSQL ends one of two that do."""
    for number in range(10):
        name = f"e{number}"
        world.add(name)
        world.tell(1, f"alert{number}")
        held, both = _claimed(world), threading.Barrier(2)
        gone = Answer(status=410)
        attempt = deliveries.Attempt(1, NOW_MS, 5, 410, gone.why, None)
        failed: list[BaseException] = []

        def by_hand(endpoint_id: int = held.endpoint.id, both: threading.Barrier = both) -> None:
            both.wait(10)
            try:
                _remove(world, endpoint_id)
            except BaseException as error:
                failed.append(error)  # noqa: B023

        thread = threading.Thread(target=by_hand)
        thread.start()
        both.wait(10)
        world.dispatcher()._record(held, attempt, gone)
        thread.join(20)
        assert failed == []
        assert {state for _, state, _ in world.state(name)} <= {"dead", "cancelled"}


# -- the clock goes back -------------------------------------------------------------------------


def test_a_clock_that_is_put_back_holds_up_no_first_attempt(world: World) -> None:
    world.add("one")
    world.tell(1)
    world.clock.advance(-7 * 86_400)
    assert world.run() == [("one", "a-1")]


def test_a_wait_or_a_lease_of_a_clock_that_ran_ahead_is_none(world: World) -> None:
    world.add("one", "two")
    world.answers["one"] = FAILED
    world.tell(1)
    with transaction(world.engine) as conn:
        both = deliveries.due(conn, NOW_MS)
        two = next(one for one in both if one.endpoint_id == _id(world, "two"))
        # Its dispatcher ends here.
        assert deliveries.claim(conn, two.outbox_id, "dies", NOW_MS, NOW_MS + 60_000)
    assert world.run() == [("one", "a-1")]
    world.clock.advance(-7 * 86_400)
    assert world.run() == [("one", "a-1"), ("two", "a-1")]


def test_a_clock_that_is_put_back_a_little_ends_no_lease_and_no_wait(world: World) -> None:
    world.add("one")
    world.answers["one"] = FAILED
    world.tell(1)
    _claimed(world)
    world.clock.advance(-45)
    assert world.run() == []
    world.clock.advance(105)
    assert world.run() == [("one", "a-1")]
    world.clock.advance(-3_600)
    assert world.run() == []


def test_a_clock_that_is_put_back_between_sending_and_recording_changes_nothing(
    world: World,
) -> None:
    world.add("one")
    world.tell(1)

    def back() -> Answer:
        world.clock.advance(-86_400)
        return OK

    world.answers["one"] = back
    world.run()
    assert world.state() == [("a-1", "delivered", 1)]
    assert world.run() == []
