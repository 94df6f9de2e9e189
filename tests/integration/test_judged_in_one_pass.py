"""All segments of a version are read, judged and written together: as one by one, at one price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from segmented_world import ROWS, SEGMENTS, fresh_world, passed, reference_of, write
from sqlalchemy.engine import Engine

from driftline.stats.reference import Reference
from monitor.evaluate import evaluator as evaluator_module
from monitor.evaluate.due import judge_due
from monitor.evaluate.judging import Judged


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
