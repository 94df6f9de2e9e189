"""The database that pages are tested on holds what it promises, and the same each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import living_database
import pytest
import sqlalchemy as sa
from hostile import MARKUP, Names, hostile_names, names, values
from sqlalchemy.engine import Engine

from driftline.wire import is_name
from monitor.storage import schema as t

MAIN, SUCCESSOR, TIMELESS, COLLECTING = "1", "2", "taxi-out", "gate-hold"


def rows(engine: Engine, table: sa.Table, *where: Any) -> list[Any]:
    with engine.connect() as conn:
        return list(conn.execute(sa.select(table).where(*where)))


def version_id(engine: Engine, model: str, version: str) -> int:
    query = (
        sa.select(t.model_version.c.id)
        .join(t.model, t.model.c.id == t.model_version.c.model_id)
        .where(t.model.c.name == model, t.model_version.c.name == version)
    )
    with engine.connect() as conn:
        return int(conn.execute(query).scalar_one())


def days(engine: Engine, model: str, version: str, number: int) -> dict[str, Any]:
    """The findings of segment `all` on one day, by feature."""
    f = t.finding.c
    found = rows(
        engine,
        t.finding,
        f.version_id == version_id(engine, model, version),
        f.length == "day",
        f.segment == "all",
        f.start_ms == living_database.day_ms(number),
    )
    return {row.feature: row for row in found}


def test_every_state_that_a_page_knows_is_there(living: Engine) -> None:
    plain = Names()
    main = version_id(living, plain.model, plain.version)
    of_main = (t.window.c.version_id == main, t.window.c.segment == "all")
    by_day = {
        row.start_ms: row for row in rows(living, t.window, *of_main, t.window.c.length == "day")
    }
    assert by_day[living_database.day_ms(6)].rows == living_database.FEW_ROWS
    assert by_day[living_database.day_ms(3)].revision == 2
    assert "retention" in str(by_day[living_database.day_ms(7)].incomplete)
    assert days(living, plain.model, plain.version, 5)[plain.temperature].verdict == "critical"
    latest = days(living, plain.model, plain.successor, 14)
    assert latest[plain.weight].verdict == latest[plain.carrier].verdict == "critical"
    assert latest[plain.reading].verdict == "blind"
    assert latest[plain.depot].verdict == "ok"
    assert days(living, plain.timeless, "1", 14)[plain.weight].verdict == "uncalibrated"
    collecting = version_id(living, plain.collecting, "7")
    assert rows(living, t.pane, t.pane.c.version_id == collecting)
    assert not rows(living, t.window, t.window.c.version_id == collecting)
    assert {row.model for row in rows(living, t.deficit)} == {plain.unmonitored}
    assert len({row.reason for row in rows(living, t.dead_letter)}) >= 15
    kinds = {(row.feature, row.kind, row.state) for row in rows(living, t.incident)}
    assert kinds >= {
        (plain.temperature, "missing", "resolved"),
        (plain.weight, "distribution", "firing"),
        (plain.carrier, "unseen", "firing"),
    }


def test_hostile_names_are_judged_like_any_others(
    copy_of: Callable[[Path], Engine], hostile_file: Path, living: Engine
) -> None:
    engine = copy_of(hostile_file)
    name = hostile_names()
    latest = days(engine, name.model, name.successor, 14)
    assert latest[name.weight].verdict == "critical"
    assert len(rows(engine, t.incident)) == len(rows(living, t.incident))
    assert len(rows(engine, t.dead_letter)) > 70
    assert MARKUP[0].encode() in {row.payload for row in rows(engine, t.dead_letter)}


@pytest.mark.parametrize("name", names())
def test_every_hostile_name_may_name_a_model(name: str) -> None:
    assert is_name(name)


def test_the_same_seed_gives_the_same_database(living: Engine, tmp_path: Path) -> None:
    again = living_database.database(tmp_path)
    for table in (t.window, t.finding, t.incident, t.dead_letter, t.pane):
        assert rows(again, table) == rows(living, table), table.name
    again.dispose()


def test_values_are_as_long_as_they_may_be() -> None:
    assert max(len(value) for value in values()) == 200
