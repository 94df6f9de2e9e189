"""A database that was put back says what it had said already under the same ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alerts_world import BAD, World, told_world
from outbox_world import World as Receiver
from sqlalchemy.engine import Engine

from monitor.storage import backup

HOURS = ({"x": BAD}, {"x": BAD, "zeros": BAD}, {}, {})


def said(world: World) -> list[tuple[str, str]]:
    """Return what was decided to be sent: ids and types."""
    return [(row.webhook_id, row.type) for row in world.outbox()]


@pytest.mark.both_databases
@pytest.mark.parametrize("after_h", [0, 3])
def test_no_alert_comes_under_a_second_id_after_a_restore(
    engine: Engine, tmp_path: Path, monkeypatch: Any, after_h: int
) -> None:
    monkeypatch.chdir(tmp_path)
    world = told_world(engine)
    receiver = Receiver(engine)
    if after_h:
        world.step(after_h, **HOURS[0])
    before = said(world)
    backup.write(engine, tmp_path / "kept.db")
    hour = world.hour
    for missing in HOURS[after_h // 3 :]:
        world.step(3, **missing)
    first = said(world)
    assert len(first) > len(before) and len({webhook_id for webhook_id, _ in first}) == len(first)
    receiver.run()
    heard = [headers["webhook-id"] for _, headers, _ in receiver.sent]
    assert sorted(heard) == sorted(webhook_id for webhook_id, _ in first)

    engine.dispose()
    backup.restore(tmp_path / "kept.db", engine, force=True)
    # The log is read again from where the database stands now, later by the wall clock.
    world.hour, world.now_ms = hour, world.now_ms + 7 * 3_600_000
    for missing in HOURS[after_h // 3 :]:
        world.step(3, **missing)
    again = said(world)
    assert again == first
    receiver.sent.clear()
    receiver.run()
    heard_again = {headers["webhook-id"] for _, headers, _ in receiver.sent}
    # It may come twice, so that nothing is lost; never under another id.
    assert heard_again <= set(heard)
