"""All segments of a version are read, judged and written together: as one by one, at one price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from monitor.evaluate import evaluator as evaluator_module
from monitor.evaluate.due import judge_due
from monitor.evaluate.judging import Judged
from monitor.storage import engine as storage
from monitor.storage.schema import metadata
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

ROWS = 120
SEGMENTS = ("all", "s=a", "s=b", "s=new")


def columns(n: int, seed: int, features: int = 2, *, shift: float = 0.0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    data: dict[str, Any] = {f"x{i}": draw.normal(size=n) + shift for i in range(features - 1)}
    return data | {"c": draw.choice(["a", "b", "c"], size=n).astype(object)}


def reference_of(features: int = 2, segments: Sequence[str] = ("a", "b")) -> Reference:
    """The month before, of which most hours are too thin to be judged by their own."""
    n = 28 * 24 * 40
    data = columns(n, 1, features)
    data["at"] = pd.to_datetime(
        START_MS - 28 * DAY_MS + np.arange(n) * (HOUR_MS // 40), unit="ms", utc=True
    )
    data["s"] = np.array(list(segments), object)[np.arange(n) % len(segments)]
    return build_reference(pd.DataFrame(data), timestamp="at", segments=("s",))


def fresh_world(engine: Engine, reference: Reference) -> World:
    """A model with this reference, in a database of which nothing else is left."""
    tables = [
        table for table in metadata.sorted_tables if table.name not in ("registry", "data_version")
    ]
    with storage.transaction(engine) as conn:
        if engine.dialect.name == "postgresql":
            names = ", ".join(f'"{table.name}"' for table in tables)
            conn.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
        else:
            for table in reversed(tables):
                conn.execute(sa.delete(table))
            conn.exec_driver_sql("DELETE FROM sqlite_sequence")
    return world_of(engine, reference)


def write(world: World, segment: str, hour: int, seed: int, *, n: int, shift: float = 0.0) -> None:
    """Count an hour's rows of one segment into its pane, whatever is there already."""
    names = [name for name in world.reference.gridset.names() if name.startswith("x")]
    data = columns(n, seed, len(names) + 1, shift=shift)
    values = segment.partition("=")[2] or "a"
    counted = {name: Column(data[name]) for name in names}
    counted |= {"c": Column(list(data["c"])), "s": Column([values] * n)}
    (profile,) = world.reference.gridset.count(counted, n, with_sums=segment == "all")
    with storage.transaction(world.engine) as conn:
        world._add(conn, START_MS + hour * HOUR_MS, 0, profile, segment)


def passed(world: World, hour: int) -> None:
    """Say that the stream's time is that hour."""
    with storage.transaction(world.engine) as conn:
        world._position(conn, 0, START_MS + hour * HOUR_MS)


def one_by_one(*args: Any) -> Iterator[Judged]:
    """What `judge_due` does, a window at a time in a pass of its own."""
    conn, bound, reference, due, monitor, known = args
    for window in due:
        yield from judge_due(conn, bound, reference, [window], monitor, known)


hours = st.lists(
    st.tuples(
        st.sampled_from(SEGMENTS),
        st.integers(0, 30),
        st.integers(0, 9),
        st.sampled_from([0, 1, 30, ROWS, ROWS]),
        st.sampled_from([0.0, 0.0, 3.0]),
    ),
    min_size=1,
    max_size=10,
)


@pytest.fixture(scope="module")
def two_segments() -> Reference:
    return reference_of()


@given(st.lists(st.tuples(hours, st.integers(2, 34)), min_size=1, max_size=3))
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_together_leaves_what_one_by_one_leaves(
    engine: Engine, two_segments: Reference, looks: list[tuple[list[Any], int]]
) -> None:
    """Windows, findings, latches and incidents: new, late, again; in every segment."""
    found = []
    for judge in (judge_due, one_by_one):
        world = fresh_world(engine, two_segments)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evaluator_module, "judge_due", judge)
            for day in range(3):  # a few days that are judged already
                for hour in range(0, 24, 8):
                    for segment in SEGMENTS:
                        write(world, segment, 24 * day + hour - 72, hour, n=ROWS)
            passed(world, 1)
            world.evaluator().step()
            for panes, until in looks:
                for segment, hour, seed, n, shift in panes:
                    write(world, segment, hour, seed, n=n, shift=shift)
                passed(world, until)
                world.evaluator().step()
        found.append(world.facts())
    assert found[0]["windows"] and found[0]["findings"]
    assert found[0] == found[1]


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    said: list[str] = []

    def note(*args: Any) -> None:
        said.append(args[2])

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def statements(engine: Engine, features: int, segments: Sequence[str]) -> list[int]:
    """How many an evaluator sends for a new hour, for a new day, and for an hour judged again."""
    world = fresh_world(engine, reference_of(features, segments))
    evaluator = world.evaluator()
    names = ["all", *(f"s={segment}" for segment in segments)]
    found = []
    for hour in (0, 1, 2, 24, 25, 2):
        for segment in names:
            write(world, segment, hour, hour, n=ROWS)
        passed(world, hour + 2)
        with counted(engine) as said:
            assert evaluator.step() >= len(names)
        if hour in (1, 24, 2):
            found.append(len(said))
    return found


@pytest.mark.both_databases
def test_statements_grow_neither_with_segments_nor_with_features(engine: Engine) -> None:
    few = statements(engine, 3, ["a"])
    assert statements(engine, 3, [f"v{i}" for i in range(9)]) == few
    assert statements(engine, 12, ["a"]) == few
