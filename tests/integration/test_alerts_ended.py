"""A model is archived, taken back, deleted or made again: receivers learn what became of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from alerts_world import BAD, CALM_DAYS, MILD, World, told_world
from sqlalchemy.engine import Engine

from monitor.storage import deliveries, endpoints, models, registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

pytestmark = pytest.mark.both_databases


@pytest.fixture
def world(engine: Engine) -> World:
    return told_world(engine)


def archive(world: World, name: str = "m") -> None:
    with transaction(world.engine) as conn:
        assert models.archive(conn, name, actor="somebody", now_ms=world.now_ms)


def delete(world: World, name: str = "m") -> None:
    assert models.delete(world.engine, name, actor="somebody", now_ms=world.now_ms) is not None


def made_again(world: World) -> World:
    """The model of the same name and reference, with the same days before it breaks."""
    world.register(world.reference, "1")
    (version,) = world.rows(t.model_version)
    again = World(world.engine, is_new=False, version_id=version.id)
    again.count(CALM_DAYS * 24, at=-CALM_DAYS * 24)
    assert again.step() == []
    return again


def unarchive(world: World, name: str = "m") -> None:
    with transaction(world.engine) as conn:
        assert models.unarchive(conn, name, actor="somebody", now_ms=world.now_ms)


def waiting(world: World) -> list[tuple[str, int, str]]:
    return [(row.type, row.sequence, row.state) for row in world.outbox()]


def said_of(world: World) -> dict[str, Any]:
    """The body of the last message."""
    found: dict[str, Any] = json.loads(world.outbox()[-1].body)
    return found


def delivered(world: World) -> None:
    with transaction(world.engine) as conn:
        values = {"state": "delivered", "finished_ms": world.now_ms}
        conn.execute(sa.update(t.outbox).where(t.outbox.c.state == "pending").values(**values))


# -- archived ------------------------------------------------------------------------------------


def test_receivers_of_an_archived_model_s_alert_are_told_that_it_ended_and_why(
    world: World,
) -> None:
    world.step(3, x=BAD, zeros=BAD)
    delivered(world)
    archive(world)
    assert waiting(world) == [("drift.detected", 1, "delivered"), ("drift.resolved", 2, "pending")]
    first, last = world.outbox()
    assert first.alert_id == last.alert_id
    body = said_of(world)
    assert body["data"]["summary"] == (
        "m 1: x (missing) and 1 more are watched no longer: the model was archived."
    )
    assert {found["state"] for found in body["data"]["incidents"]} == {"archived"}
    assert body["data"]["severity"] == "critical"
    # The incidents themselves are as they were.
    assert {row.state for row in world.rows(t.incident)} == {"firing"}
    (audit,) = world.rows(t.audit)
    assert json.loads(audit.detail) == {"alerts_ended": 1, "messages_cancelled": 0}
    archive(world)
    assert len(world.outbox()) == 2
    assert world.step(5, x=BAD) == []


def test_what_waits_of_an_archived_model_is_cancelled_but_for_the_end_of_each_alert(
    world: World,
) -> None:
    assert world.step(3, x=BAD) == [("detected", ["x"])]
    assert world.step(8) == [("resolved", ["x"])]
    assert world.step(3, zeros=BAD) == [("detected", ["zeros"])]
    archive(world)
    found = [(row.alert_id, row.type, row.state) for row in world.outbox()]
    ends = {alert: kind for alert, kind, state in found if state == "pending"}
    assert set(ends) == {alert for alert, _, _ in found}
    assert set(ends.values()) == {"drift.resolved"}
    assert [state for _, _, state in found].count("pending") == len(ends)
    cancelled = [state for _, _, state in found].count("cancelled")
    (audit,) = world.rows(t.audit)
    assert json.loads(audit.detail) == {"alerts_ended": 1, "messages_cancelled": cancelled}
    assert cancelled == len(found) - len(ends) > 0


def test_an_endpoint_that_is_disabled_for_a_while_learns_of_the_end_of_what_it_waits_for(
    world: World,
) -> None:
    world.step(3, x=BAD)
    with transaction(world.engine) as conn:
        hook = endpoints.find(conn, "hook")
        assert hook is not None
        endpoints.disable(conn, hook.id, "maintenance", now_ms=1)
    archive(world)
    assert waiting(world) == [("drift.detected", 1, "cancelled"), ("drift.resolved", 2, "pending")]


def test_what_is_being_sent_while_its_model_is_archived_is_not_overtaken(world: World) -> None:
    world.step(3, x=BAD)
    now_ms = world.now_ms
    with transaction(world.engine) as conn:
        (one,) = deliveries.due(conn, now_ms)
        held = deliveries.claim(conn, one.outbox_id, "me", now_ms, now_ms + 60_000)
        assert held is not None
    archive(world)
    done = deliveries.Attempt(1, now_ms, 5, 200, None, None)
    with transaction(world.engine) as conn:
        assert deliveries.due(conn, now_ms) == []
        assert deliveries.record(conn, held, done, "delivered", due_ms=None)
        assert len(deliveries.due(conn, now_ms)) == 1
    assert waiting(world) == [("drift.detected", 1, "delivered"), ("drift.resolved", 2, "pending")]


def test_an_evaluator_that_was_under_way_says_nothing_after_the_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.step(3, x=BAD)
    world.count(3, {"x": BAD, "zeros": BAD})
    slow = world.evaluator()
    read: Callable[..., Any] = slow._read

    def overtaken(*given: Any) -> Any:
        found = read(*given)
        archive(world)
        return found

    monkeypatch.setattr(slow, "_read", overtaken)
    assert slow.step() == 0
    assert [(kind, number) for kind, number, _ in waiting(world)] == [
        ("drift.detected", 1),
        ("drift.resolved", 2),
    ]
    assert [row.state for row in world.rows(t.alert)] == ["resolved"]
    # Taken back, what it would have found is found, and told with what still stands.
    unarchive(world)
    assert {name for _, names in world.step() for name in names} == {"x", "zeros"}


def test_what_still_stands_of_a_model_that_is_taken_back_is_told_again(world: World) -> None:
    world.step(3, x=BAD)
    archive(world)
    assert world.step() == []
    unarchive(world)
    assert world.step() == [("detected", ["x"])]
    assert waiting(world)[-1] == ("drift.detected", 3, "pending")
    assert "again since" in said_of(world)["data"]["summary"]
    assert world.rows(t.alert_held) == []
    assert world.step() == []
    assert world.step(8) == [("resolved", ["x"])]


def test_news_that_waited_when_its_model_was_archived_is_told_when_it_is_taken_back(
    world: World,
) -> None:
    world.step(3, x=MILD)
    assert world.step(3, x=MILD, zeros=MILD) == []
    archive(world)
    assert waiting(world)[-1][:2] == ("drift.resolved", 2)
    assert [found["feature"] for found in said_of(world)["data"]["incidents"]] == ["x"]
    unarchive(world)
    ((kind, names),) = world.step()
    assert (kind, set(names)) == ("detected", {"x", "zeros"})


def test_archiving_another_model_ends_nothing_of_this_one(world: World) -> None:
    world.step(3, x=BAD)
    with transaction(world.engine) as conn:
        registry.register_reference(conn, world.reference, model="other", version="1", now_ms=1)
    archive(world, "other")
    assert waiting(world) == [("drift.detected", 1, "pending")]


# -- deleted -------------------------------------------------------------------------------------


def test_the_end_of_an_alert_still_goes_out_when_its_model_is_deleted(world: World) -> None:
    world.step(3, x=BAD)
    archive(world)
    delete(world)
    assert world.rows(t.alert) == world.rows(t.incident) == []
    assert waiting(world) == [("drift.detected", 1, "cancelled"), ("drift.resolved", 2, "pending")]
    with transaction(world.engine) as conn:
        assert len(deliveries.due(conn, world.now_ms)) == 1


def test_alerts_of_a_model_that_an_older_release_archived_end_when_it_is_deleted(
    world: World,
) -> None:
    world.step(3, x=BAD)
    with transaction(world.engine) as conn:
        conn.execute(sa.update(t.model).values(archived_ms=1))
    delete(world)
    assert waiting(world) == [("drift.detected", 1, "cancelled"), ("drift.resolved", 2, "pending")]
    body = said_of(world)["data"]
    assert body["summary"] == "m 1: x (missing) is watched no longer: the model was deleted."
    assert [found["state"] for found in body["incidents"]] == ["deleted"]
    detail = json.loads(world.rows(t.audit)[-1].detail)
    assert (detail["alerts_ended"], detail["messages_cancelled"]) == (1, 1)


# -- the name is used again ----------------------------------------------------------------------


def test_a_model_that_is_made_again_under_its_name_is_told_of_again(world: World) -> None:
    assert world.step(3, x=BAD) == [("detected", ["x"])]
    archive(world)
    delete(world)
    again = made_again(world)
    before = {(row.alert_id, row.webhook_id) for row in world.outbox()}
    assert again.step(3, x=BAD) == [("detected", ["x"])]
    last = world.outbox()[-1]
    assert last.sequence == 1
    assert last.alert_id not in {alert_id for alert_id, _ in before}


def test_a_model_whose_deletion_was_cut_short_and_that_was_taken_back_is_told_of_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object) -> object:
        raise RuntimeError("killed")

    world.step(3, x=BAD)
    ids = {row.alert_id for row in world.outbox()}
    archive(world)
    with monkeypatch.context() as patch:
        patch.setattr(models, "_parts", killed)
        with pytest.raises(RuntimeError):
            delete(world)
    with transaction(world.engine) as conn:
        for table in (
            t.window, t.finding, t.model_window, t.latch, t.incident,
            t.alert_incident, t.alert,
        ):  # fmt: skip
            conn.execute(sa.delete(table))
        models.unarchive(conn, "m", actor="somebody", now_ms=world.now_ms)
    assert world.step(1, x=BAD) == [("detected", ["x"])]
    assert world.outbox()[-1].alert_id not in ids
