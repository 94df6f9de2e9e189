"""What another monitor would have told of what is stored, without writing anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from judged_world import START_MS, World, frame, world_of
from sqlalchemy.engine import Engine

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


@pytest.fixture
def sites(engine: Engine) -> World:
    """The same twelve days at two sites: values go missing at A on the seventh, too."""
    rows = frame(START_MS - 28 * DAY_MS, 28 * 24, 1)
    rows["site"] = np.where(np.arange(len(rows)) % 3 == 0, "B", "A")
    reference = build_reference(
        rows, timestamp="at", categorical=("c",), features=("x", "c"), segments=("site",)
    )
    world = world_of(engine, reference)
    story = {"all": (0.0, 0.9), "site=A": (0.9, 0.9), "site=B": (0.0, 0.0)}
    for place, (segment, (on_seventh, on_ninth)) in enumerate(story.items()):
        told: Any = {"segment": segment, "seed": 20 + place}
        world.write(START_MS, 24 * 6, **told)
        world.write(START_MS + 6 * DAY_MS, 24, missing=on_seventh, **told)
        world.write(START_MS + 7 * DAY_MS, 24, **told)
        world.write(START_MS + 8 * DAY_MS, 24, missing=on_ninth, **told)
        world.write(START_MS + 9 * DAY_MS, 24 * 3, **told)
    world.evaluator().step()
    return world


def by_segment(found: Backtest) -> dict[str, tuple[int, int, int]]:
    return {part.segment: (part.before, part.after, part.same) for part in found.segments}


def test_segments_are_tried_and_the_difference_is_told_of_each(sites: World) -> None:
    kept = {
        (row.segment, row.muted) for row in sites.rows(t.incident, t.incident.c.kind == "missing")
    }
    # What all rows told on the ninth is not told of A again; the seventh was A's alone.
    assert kept == {("all", False), ("site=A", False)}
    before = content(sites)
    same = ask(sites, MonitorSpec())
    assert by_segment(same) == {"all": (1, 1, 1), "site=A": (1, 1, 1), "site=B": (0, 0, 0)}
    assert (same.before, same.after, same.same, same.left_out) == (2, 2, 2, ())
    assert same.windows == len(sites.rows(t.window)) == sum(p.windows for p in same.segments)
    deaf = ask(sites, MonitorSpec(limits=(FixedLimit("x", "missing", 1.0),)))
    assert by_segment(deaf) == {"all": (1, 0, 0), "site=A": (1, 0, 0), "site=B": (0, 0, 0)}
    assert sorted(told.segment for told in deaf.gone) == ["all", "site=A"]
    assert content(sites) == before


def test_what_all_rows_would_tell_is_not_told_of_a_segment_too(sites: World) -> None:
    """A limit that everything is above opens incidents everywhere, and one of them is told."""
    found = ask(sites, MonitorSpec(limits=(FixedLimit("c", "linf", 0.0001),)))
    assert [(new.segment, new.feature) for new in found.new] == [("all", "c")]
    assert by_segment(found)["site=B"] == (0, 0, 0)


def test_only_the_segments_that_are_asked_for_are_tried(sites: World) -> None:
    assert list(by_segment(ask(sites, MonitorSpec(), segments=["site=B"]))) == ["all", "site=B"]
    alone = ask(sites, MonitorSpec(), segments=[])
    assert (list(by_segment(alone)), alone.left_out) == (["all"], ())


def test_segments_that_would_take_too_long_are_left_out_and_named(sites: World) -> None:
    of_all = ask(sites, MonitorSpec(), segments=[]).windows
    features = 2
    room_for_two = ask(sites, MonitorSpec(), at_most=2 * of_all * features)
    # The largest of the reference is tried first.
    assert list(by_segment(room_for_two)) == ["all", "site=A"]
    assert room_for_two.left_out == ("site=B",)
    none = ask(sites, MonitorSpec(), at_most=1)
    assert (list(by_segment(none)), none.left_out) == (["all"], ("site=A", "site=B"))
    assert none.before == 1


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
