"""Everything at once: judging, archiving, sending, 410s, removals. Nobody waits for ever."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alerts_world import BAD, SECRET, World, told_world
from sqlalchemy.engine import Engine

from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.schedule import Answer
from monitor.clock import SystemClock
from monitor.storage import endpoints, models, outbox, registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

ROUNDS = 40
NAMES = [f"e{number}" for number in range(4)]


def _add(engine: Engine, name: str) -> None:
    with transaction(engine) as conn:
        endpoints.add(conn, name, f"https://{name}", SECRET, now_ms=1)


def _archive_and_take_back(world: World) -> None:
    for act in (models.archive, models.unarchive):
        with transaction(world.engine) as conn:
            act(conn, "m", actor="somebody", now_ms=world.now_ms)


def _tell(world: World, number: int) -> None:
    """As the evaluator does it of another version."""
    with transaction(world.engine) as conn:
        for sequence in (1, 2, 3):
            told = outbox.Message(
                f"o{number}-{sequence}", f"o{number}", sequence, "drift.updated", "{}"
            )
            outbox.enqueue(conn, told, SystemClock().now_ms())
        registry.bump_data_version(conn)


def _enable(world: World, name: str) -> None:
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, name)
        if found is not None:
            endpoints.enable(conn, found.id)


def _remove_and_add(world: World, name: str) -> None:
    with transaction(world.engine) as conn:
        found = endpoints.find(conn, name)
        if found is not None:
            endpoints.remove(conn, found.id, now_ms=1)
    _add(world.engine, name)


@pytest.mark.both_databases
def test_in_a_storm_nobody_locks_out_another_and_no_message_waits_for_who_is_gone(
    engine: Engine,
) -> None:
    world = told_world(engine)
    for name in NAMES:
        _add(engine, name)
    world.step(3, x=BAD)
    draw = random.Random(7)

    def post(*_: object) -> Answer:
        return draw.choice([Answer(status=204), Answer(status=500), Answer(status=410)])

    dispatchers = [Dispatcher(engine, post, clock=SystemClock()) for _ in range(2)]
    evaluator, failed = world.evaluator(), []

    def send(dispatcher: Dispatcher) -> None:
        dispatcher.step()
        dispatcher.wait(0.01)

    acts: list[Callable[[int], object]] = [
        lambda _: _archive_and_take_back(world),
        lambda _: evaluator.step(),
        lambda number: _tell(world, number),
        lambda number: _enable(world, NAMES[number % 4]),
        lambda number: _remove_and_add(world, NAMES[number * 3 % 4]),
        *(lambda _, one=one: send(one) for one in dispatchers),  # type: ignore[misc]
    ]

    def run(act: Callable[[int], object]) -> None:
        try:
            for number in range(ROUNDS):
                act(number)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert all(dispatcher.finish(20) for dispatcher in dispatchers)
    assert failed == []
    assert not [thread for thread in threads if thread.is_alive()]
    e, o = t.endpoint.c, t.outbox.c
    query = (
        sa.select(o.webhook_id)
        .join(t.endpoint, e.id == o.endpoint_id)
        .where(e.removed_ms.is_not(None), o.state == "pending")
    )
    with engine.connect() as conn:
        assert conn.execute(query).all() == []
