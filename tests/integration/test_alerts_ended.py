"""A model is archived, taken back, deleted or made again: receivers learn what became of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alerts_world import BAD, CALM_DAYS, World, told_world
from sqlalchemy.engine import Engine

from monitor.storage import models
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
        for table in (t.window, t.finding, t.latch, t.incident, t.alert_incident, t.alert):
            conn.execute(sa.delete(table))
        models.unarchive(conn, "m", actor="somebody", now_ms=world.now_ms)
    assert world.step(1, x=BAD) == [("detected", ["x"])]
    assert world.outbox()[-1].alert_id not in ids
