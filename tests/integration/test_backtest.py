"""What another monitor would have told of what is stored, without writing anything."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from test_evaluator import START_MS, World, frame, world_of

from driftline.errors import StatisticError
from driftline.stats.lengths import DAY_MS
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import FixedLimit
from monitor.detect.spec import MonitorSpec
from monitor.evaluate.backtest import Backtest, backtest
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(
        frame(START_MS - 28 * DAY_MS, 28 * 24, 1), timestamp="at", categorical=("c",)
    )


@pytest.fixture
def world(engine: Engine, reference: Reference) -> World:
    """Twelve days: x is shifted a little on the third to fifth, and missing on the ninth."""
    world = world_of(engine, reference)
    world.write(START_MS, 24 * 2)
    world.write(START_MS + 2 * DAY_MS, 24 * 3, shift=0.6)
    world.write(START_MS + 5 * DAY_MS, 24 * 4, seed=8)
    world.write(START_MS + 9 * DAY_MS, 24, missing=0.9)
    world.write(START_MS + 10 * DAY_MS, 24 * 2, seed=9)
    world.evaluator().step()
    return world


def ask(world: World, spec: MonitorSpec, **asked: Any) -> Backtest:
    registry = registry_store.load(world.engine)
    with storage.reading(world.engine) as conn:
        return backtest(conn, registry.versions["m", "1"], registry.references, spec, **asked)


def content(world: World) -> dict[str, int]:
    with world.engine.connect() as conn:
        return {
            table.name: conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in t.metadata.sorted_tables
        }


def test_the_monitor_as_it_is_would_have_told_what_it_told(world: World) -> None:
    told = world.rows(t.incident)
    assert sorted(row.kind for row in told) == ["distribution", "missing"]
    before = content(world)
    found = ask(world, MonitorSpec())
    assert (found.before, found.after, found.same, found.gone, found.new) == (2, 2, 2, (), ())
    assert found.windows == len(world.rows(t.window))
    assert content(world) == before


def test_limits_that_are_never_reached_would_have_told_nothing(world: World) -> None:
    limits = (FixedLimit("*", "psi", 5.0), FixedLimit("x", "missing", 1.0))
    found = ask(world, MonitorSpec(limits=limits))
    assert (found.before, found.after, found.same, found.new) == (2, 0, 0, ())
    stored = {row.number for row in world.rows(t.incident)}
    assert {told.number for told in found.gone} == stored


def test_a_lower_limit_would_have_told_more(world: World) -> None:
    found = ask(world, MonitorSpec(limits=(FixedLimit("c", "linf", 0.0001),)))
    assert (found.before, found.same, found.gone) == (2, 2, ())
    (new,) = found.new
    assert (new.feature, new.kind, new.statistic, new.number) == ("c", "distribution", "linf", None)
    assert new.limit == 0.0001 < (new.value or 0.0)


def test_only_the_time_in_question_is_compared(world: World) -> None:
    late = ask(world, MonitorSpec(), from_ms=START_MS + 8 * DAY_MS)
    assert (late.before, late.after, late.same) == (1, 1, 1)
    assert ask(world, MonitorSpec(), to_ms=START_MS + 2 * DAY_MS).before == 0


def test_a_limit_of_a_feature_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(StatisticError, match="there is no feature 'y'"):
        ask(world, MonitorSpec(limits=(FixedLimit("y", "psi", 1.0),)))
