"""The docs draw how messages and endpoints go: each step is made here, and no other can be."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from drawn import OUTSIDE, Step, drawn
from outbox_world import FAILED, OK, World
from sqlalchemy.engine import Engine

from monitor.alerts import messages
from monitor.alerts.dispatch import Limits
from monitor.alerts.schedule import DELAYS_S, Answer
from monitor.storage import deliveries, endpoints, outbox, redelivery
from monitor.storage import schema as t
from monitor.storage.deliveries import FINISHED
from monitor.storage.engine import transaction
from monitor.storage.redelivery import Wanted

pytestmark = pytest.mark.both_databases

MESSAGES = drawn("webhooks.md", "leased")
ENDPOINTS = drawn("webhooks.md", "disabled")
GONE = Answer(status=410)
DAY_S = 86_400


class Watched(World):
    """Endpoints and messages, of which each step is noted."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.known: dict[int, str] = {}
        self.places: dict[int, str] = {}
        self.steps: set[Step] = set()
        self.ways: set[Step] = set()
        self.n = 0

    def look(self) -> None:
        o, e = t.outbox.c, t.endpoint.c
        now_ms = self.clock.now_ms()
        with self.engine.connect() as conn:
            rows = {
                row.id: "leased"
                if row.state == "pending" and (row.lease_until_ms or 0) > now_ms
                else row.state
                for row in conn.execute(sa.select(o.id, o.state, o.lease_until_ms))
            }
            places = {
                row.id: "removed"
                if row.removed_ms
                else "disabled"
                if row.disabled_ms
                else "enabled"
                for row in conn.execute(sa.select(e.id, e.disabled_ms, e.removed_ms))
            }
        _note(self.known, rows, self.steps)
        _note(self.places, places, self.ways)
        self.known, self.places = rows, places

    def deliver(self, answer: Answer, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Send all that is due; something may happen while one is under way."""

        def answered() -> Answer:
            self.look()
            meanwhile()
            self.look()
            return answer

        for name in ("one", "two"):
            self.answers[name] = answered
        # One at a time, and looked at after each: no step is missed.
        dispatcher = self.dispatcher(limits=Limits(workers=1))
        while dispatcher.step():
            assert dispatcher.finish(20)
            self.look()

    def say(self) -> None:
        self.n += 1
        self.tell(1, f"a{self.n}")
        self.look()

    def again(self, state: str) -> None:
        with transaction(self.engine) as conn:
            redelivery.again(conn, Wanted(state=state), now_ms=self.clock.now_ms())  # type: ignore[arg-type]
        self.look()

    def of_endpoint(self, name: str, verb: str) -> None:
        with transaction(self.engine) as conn:
            found = endpoints.find(conn, name)
            if found is None:
                return
            now_ms = self.clock.now_ms()
            if verb == "disable":
                endpoints.disable(conn, found.id, "by hand", now_ms=now_ms)
            elif verb == "enable":
                messages.enable(conn, found, now_ms)
            else:
                messages.remove(conn, found, now_ms)
        self.look()

    def taken(self) -> None:
        """A dispatcher takes what is due and dies."""
        now_ms = self.clock.now_ms()
        with transaction(self.engine) as conn:
            for one in deliveries.due(conn, now_ms):
                deliveries.claim(conn, one.outbox_id, "dead", now_ms, now_ms + 60_000)
        self.look()

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.look()

    def archived(self) -> None:
        """What waits of a model's alerts but the last message of each is cancelled."""
        with transaction(self.engine) as conn:
            values = {
                "version_id": 1, "number": 1, "state": "resolved", "severity": "warning",
                "worst": "warning", "opened_ms": 1, "sequence": 2, "told_ms": 1,
                "recorded_ms": 1,
            }  # fmt: skip
            for n in range(1, self.n + 1):
                known = sa.select(t.alert.c.id).where(t.alert.c.alert_id == f"a{n}")
                if conn.execute(known).first() is None:
                    conn.execute(sa.insert(t.alert).values(alert_id=f"a{n}", **values))
            versions = sa.select(sa.literal(1))
            outbox.cancel_superseded(conn, versions, self.clock.now_ms())
        self.look()

    def forget(self) -> None:
        with transaction(self.engine) as conn:
            for state in FINISHED:
                deliveries.forget(conn, state, self.clock.now_ms() + 1, 100)
        self.look()


def _note(before: dict[int, str], now: dict[int, str], steps: set[Step]) -> None:
    for number in before.keys() | now.keys():
        step = (before.get(number, OUTSIDE), now.get(number, OUTSIDE))
        if step[0] != step[1]:
            steps.add(step)


@pytest.fixture
def world(engine: Engine) -> Watched:
    made = Watched(engine)
    made.add("one")
    made.look()
    return made


def dead(world: Watched) -> None:
    world.say()
    for delay_s in DELAYS_S:
        world.later(delay_s * 1.2)
        world.deliver(FAILED)


def on_its_way_to(world: Watched, end: Callable[[], None]) -> None:
    world.say()
    world.deliver(OK, end)


def sent(world: Watched, answer: Answer = OK) -> None:
    world.say()
    world.deliver(answer)


def cancelled(world: Watched) -> None:
    world.say()
    world.archived()


def then(
    first: Callable[[Watched], None], last: Callable[[Watched], None]
) -> Callable[[Watched], None]:
    def both(world: Watched) -> None:
        first(world)
        last(world)

    return both


WALKS: dict[Step, Callable[[Watched], None]] = {
    (OUTSIDE, "pending"): Watched.say,
    ("pending", "leased"): sent,
    ("leased", "delivered"): sent,
    ("leased", "pending"): lambda w: sent(w, FAILED),
    ("leased", "dead"): dead,
    ("leased", "cancelled"): lambda w: on_its_way_to(w, lambda: w.of_endpoint("one", "remove")),
    ("pending", "cancelled"): then(Watched.say, lambda w: w.of_endpoint("one", "remove")),
    ("cancelled", "delivered"): lambda w: on_its_way_to(w, lambda: w.of_endpoint("one", "remove")),
    ("delivered", "pending"): then(sent, lambda w: w.again("delivered")),
    ("dead", "pending"): then(dead, lambda w: w.again("dead")),
    ("delivered", OUTSIDE): then(sent, Watched.forget),
    ("dead", OUTSIDE): then(dead, Watched.forget),
    ("cancelled", OUTSIDE): then(cancelled, Watched.forget),
}


def gone(world: Watched) -> None:
    """The endpoint wants nothing more: what waits there behind the one that heard it is dead."""
    world.say()
    world.tell(2, "a1")
    world.look()
    world.deliver(GONE)


def gone_and_arrived(world: Watched) -> None:
    """Two are under way; the one hears 410, and the other arrives after that."""
    world.say()
    world.say()
    now_ms = world.clock.now_ms()
    with transaction(world.engine) as conn:
        first, _ = deliveries.due(conn, now_ms)
        held = deliveries.claim(conn, first.outbox_id, "slow", now_ms, now_ms + 60_000)
    world.look()
    world.deliver(GONE)
    assert held is not None
    with transaction(world.engine) as conn:
        arrived = deliveries.Attempt(1, now_ms, 5, 204, None, None)
        deliveries.record(conn, held, arrived, "delivered", due_ms=None)
    world.look()


def taken_for_lost(world: Watched) -> None:
    """A lease ends; who had it was only slow."""
    world.say()
    now_ms = world.clock.now_ms()
    with transaction(world.engine) as conn:
        [one] = deliveries.due(conn, now_ms)
        held = deliveries.claim(conn, one.outbox_id, "slow", now_ms, now_ms + 60_000)
    world.look()
    world.later(61)
    assert held is not None
    with transaction(world.engine) as conn:
        arrived = deliveries.Attempt(1, now_ms, 61_000, 204, None, None)
        deliveries.record(conn, held, arrived, "delivered", due_ms=None)
    world.look()


WALKS |= {
    ("pending", "dead"): gone,
    ("dead", "delivered"): gone_and_arrived,
    ("pending", "delivered"): taken_for_lost,
}


def test_each_step_that_is_drawn_has_a_way() -> None:
    assert WALKS.keys() == MESSAGES


@pytest.mark.parametrize("wanted", WALKS, ids=" to ".join)
def test_each_step_of_a_message_is_made(world: Watched, wanted: Step) -> None:
    WALKS[wanted](world)
    assert wanted in world.steps
    assert world.steps <= MESSAGES, world.steps - MESSAGES


@pytest.mark.parametrize("seed", range(6))
def test_no_other_step_is_made_whatever_happens(engine: Engine, seed: int) -> None:
    draw = random.Random(seed)
    world = Watched(engine)
    acts: list[Callable[[], None]] = [
        world.say,
        world.say,
        world.taken,
        world.archived,
        world.forget,
        lambda: world.deliver(draw.choice((OK, FAILED, FAILED, GONE))),
        lambda: world.deliver(FAILED),
        lambda: world.deliver(OK),
        lambda: world.deliver(OK, lambda: world.of_endpoint("one", "remove")),
        lambda: world.deliver(FAILED, lambda: world.again("dead")),
        lambda: world.later(draw.choice((1, 70, 3_600, DAY_S))),
        lambda: world.again(draw.choice(("dead", "delivered"))),
        lambda: world.of_endpoint("two", draw.choice(("disable", "enable", "enable", "remove"))),
        lambda: world.of_endpoint("one", draw.choice(("disable", "enable", "enable"))),
    ]
    often = [6, 6, 2, 1, 1, 2, 3, 3, 1, 2, 4, 3, 2, 3]
    for _ in range(80):
        for name in ("one", "two"):
            with transaction(engine) as conn:
                is_there = endpoints.find(conn, name) is not None
            if not is_there:
                world.add(name)
            world.look()
        draw.choices(acts, often)[0]()
    assert len(world.steps) >= 6
    assert world.steps <= MESSAGES, world.steps - MESSAGES
    assert world.ways <= ENDPOINTS, world.ways - ENDPOINTS


def test_each_step_of_an_endpoint_is_made(world: Watched) -> None:
    world.add("two")
    world.look()
    world.say()
    world.deliver(GONE)
    world.of_endpoint("one", "enable")
    world.of_endpoint("one", "disable")
    world.of_endpoint("one", "remove")
    world.of_endpoint("two", "enable")
    world.of_endpoint("two", "remove")
    assert world.ways == ENDPOINTS
