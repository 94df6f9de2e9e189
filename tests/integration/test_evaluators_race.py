"""Several evaluators on one database, while late events come: no finding is left stale.

Each reads its revisions in the SELECT that reads the counts, and writes only where the cursor
stands as it found it. The controls lack either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.stats.reference import Reference
from monitor.evaluate import Evaluator, judging
from monitor.storage import engine as storage
from monitor.storage import evaluation as sql
from monitor.storage import schema as t
from monitor.storage.evaluation import PaneBody
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

EVALUATORS = 3
N_LATE = 40
N_DAYS = 12


@pytest.fixture
def world(engine: Engine, reference: Reference) -> World:
    made = world_of(engine, reference)
    for partition in range(2):
        made.write(START_MS, 24 * N_DAYS, partition=partition, seed=partition)
    made.evaluator().step()
    return made


def stale(world: World) -> list[tuple[str, int]]:
    """Windows whose counts were written since they were judged, in other words than the plan's."""
    panes = world.rows(t.pane)
    return [
        (window.length, window.start_ms)
        for window in world.rows(t.window)
        if window.rev_sum
        != sum(p.rev for p in panes if window.start_ms <= p.start_ms < window.end_ms)
    ]


def told_at_once(world: World, engine: Engine) -> World:
    """The same counts in a database that never saw them come late."""
    made = world_of(engine, world.reference)
    with storage.transaction(engine) as conn:
        for table in (t.pane, t.stream_position, t.counter):
            conn.execute(sa.insert(table), [row._asdict() for row in world.rows(table)])
    made.evaluator().step()
    return made


@pytest.mark.both_databases
def test_evaluators_that_race_late_events_leave_no_stale_finding(
    world: World, copy_of: Callable[[Path], Engine], empty_file: Path
) -> None:
    is_written = threading.Event()
    failed: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def judge() -> None:
        evaluator = world.evaluator()
        while not is_written.is_set():
            evaluator.step()

    def write(partition: int) -> None:
        draw = np.random.default_rng(partition)
        for i in range(N_LATE):
            hour = 24 * (N_DAYS - 5) + int(draw.integers(0, 24 * 5 - 2))
            start_ms = START_MS + hour * HOUR_MS
            world.write(start_ms, 1, partition=partition, seed=1_000 + i, shift=2.0 * partition)

    judges = [guarded(judge) for _ in range(EVALUATORS)]
    writers = [guarded(lambda p=partition: write(p)) for partition in range(2)]  # type: ignore[misc]
    for thread in writers:
        thread.join(120)
    is_written.set()
    for thread in judges:
        thread.join(120)
    assert failed == []
    # Who looks last, whoever it is, finds what came after the others had looked.
    last = world.evaluator()
    while last.step():
        pass
    assert stale(world) == []
    windows = world.rows(t.window)
    assert max(row.revision for row in windows) > 2, "no window was raced for"
    assert world.facts() == told_at_once(world, copy_of(empty_file)).facts()


@pytest.mark.both_databases
def test_of_two_that_judged_the_same_one_writes(world: World) -> None:
    world.write(START_MS + (N_DAYS - 1) * DAY_MS, 1, seed=99, shift=3.0)
    first, second = world.evaluator(), world.evaluator()
    passes = [_read(evaluator) for evaluator in (first, second)]
    assert all(found.judged for found in passes)
    assert first._write(passes[0])
    before = world.facts(), [tuple(row) for row in world.rows(t.window)]
    assert not second._write(passes[1])
    assert (world.facts(), [tuple(row) for row in world.rows(t.window)]) == before


def test_without_the_swap_a_slower_one_writes_what_is_no_longer_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control: the cursor's compare-and-swap is what keeps an older reading out."""
    start_ms = START_MS + (N_DAYS - 1) * DAY_MS
    world.write(start_ms, 1, seed=99, shift=3.0)
    slow, fast = world.evaluator(), world.evaluator()
    found = _read(slow)
    world.write(start_ms, 1, seed=98, shift=3.0)
    assert fast.step() > 0
    assert stale(world) == []
    assert not slow._write(found)
    monkeypatch.setattr(sql, "move_cursor", lambda *_: True)
    assert slow._write(found)
    assert stale(world) != []


@pytest.mark.parametrize("control", [False, True])
def test_counts_and_revisions_are_of_one_select(
    world: World, monkeypatch: pytest.MonkeyPatch, control: bool
) -> None:
    """An event that comes between the two would be taken for judged, and never be."""
    start_ms = START_MS + (N_DAYS - 1) * DAY_MS + 3 * HOUR_MS
    world.write(start_ms, 1, seed=99, shift=3.0)
    real, is_first = sql.pane_bodies, [True]

    def bodies(conn: sa.Connection, *args: Any) -> list[PaneBody]:
        found = real(conn, *args)
        if is_first[0]:
            is_first[0] = False
            world.write(start_ms, 1, seed=98, shift=3.0)
        if not control:
            return found
        with world.engine.connect() as later:
            revisions = {(row.start_ms, i): row.rev for i, row in enumerate(real(later, *args))}
        return [row._replace(rev=revisions[row.start_ms, i]) for i, row in enumerate(found)]

    monkeypatch.setattr(judging.sql, "pane_bodies", bodies)
    evaluator = world.evaluator()
    assert evaluator.step() > 0
    monkeypatch.undo()
    again = evaluator.step()
    assert (again == 0) if control else (again > 0)
    rows = sum(row.rows for row in world.rows(t.pane, t.pane.c.start_ms == start_ms))
    (judged,) = world.rows(t.window, t.window.c.length == "hour", t.window.c.start_ms == start_ms)
    assert (judged.rows < rows) if control else (judged.rows == rows)


def _read(evaluator: Evaluator) -> Any:
    """One pass that was read and judged, and not written."""
    from monitor.storage import registry

    evaluator._registry = registry.load(evaluator._engine)
    (bound,) = evaluator._registry.versions.values()
    found = evaluator._read(bound, None)
    assert found is not None
    return found
