"""Windows of 28 days: for models with so few rows that no shorter one can judge them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from judged_world import START_MS, World, world_of
from sqlalchemy.engine import Engine

from driftline.stats.reference import Reference, build_reference
from monitor.storage import engine as storage
from monitor.storage import models
from monitor.storage import schema as t
from monitor.windows.calendar import DAY_MS, window_of
from monitor.windows.panes import HOUR_MS

MONTH_MS = 28 * DAY_MS
# Where windows of 28 days begin.
FIRST_MS = window_of(START_MS, "4weeks", "UTC").start_ms
A_DAY = 8


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Nine windows of 28 days, with eight rows a day."""
    n = 9 * 28 * A_DAY
    times = FIRST_MS - 9 * MONTH_MS + np.arange(n) * (DAY_MS // A_DAY)
    draw = np.random.default_rng(1)
    return build_reference(
        pd.DataFrame(
            {
                "at": pd.to_datetime(times, unit="ms", utc=True),
                "x": draw.normal(size=n),
                "c": draw.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2]),
            }
        ),
        timestamp="at",
    )


@pytest.fixture
def world(engine: Engine, reference: Reference) -> World:
    made = world_of(engine, reference)
    made.now_ms = FIRST_MS + 10 * MONTH_MS
    return made


def lengths(world: World, *names: str) -> None:
    with storage.transaction(world.engine) as conn:
        assert models.set_monitor(conn, "m", {"lengths": names}, actor="test", now_ms=0)


def test_a_reference_of_nine_windows_judges_the_next_ones(world: World) -> None:
    assert len(world.reference.slices["all"]["4weeks"].starts_ms) >= 8
    lengths(world, "4weeks")
    for month in range(3):
        for day in range(28):  # an hour a day is enough for a pane
            world.write(
                FIRST_MS + month * MONTH_MS + day * DAY_MS, 1, seed=100 * month + day,
                shift=0.9 * (month > 0),
            )  # fmt: skip
    evaluator = world.evaluator()
    while evaluator.step():
        pass
    windows = world.rows(t.window)
    assert [(row.start_ms - FIRST_MS) // MONTH_MS for row in windows] == [0, 1]
    assert {row.end_ms - row.start_ms for row in windows} == {MONTH_MS}
    verdicts = [row.verdict for row in world.rows(t.finding, t.finding.c.feature == "x")]
    assert verdicts[0] == "ok" and verdicts[1] in ("warning", "critical")


def test_a_window_of_28_days_is_over_by_silence_when_its_end_has_come(world: World) -> None:
    lengths(world, "day", "4weeks")
    world.write(FIRST_MS, 24)
    world.idle()
    evaluator = world.evaluator()
    world.now_ms = FIRST_MS + 20 * DAY_MS
    while evaluator.step():
        pass
    assert {row.length for row in world.rows(t.window)} == {"day"}
    world.now_ms = FIRST_MS + MONTH_MS + 2 * HOUR_MS
    world.idle()
    while evaluator.step():
        pass
    [month] = world.rows(t.window, t.window.c.length == "4weeks")
    assert (month.start_ms, month.closed_by) == (FIRST_MS, "idle")
