"""After a replay what was found is what a fresh database finds that was fed the whole log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from judged_world import ROWS_AN_HOUR, START_MS, frame
from replay_rig import Twice
from sqlalchemy.engine import Engine

from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.reference import Reference, build_reference
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t

DAYS = 40
# First hour, hours, how far x is moved then.
SHIFTS = ((5 * 24, 60, 1.5), (17 * 24, 48, 1.0), (30 * 24, 50, -1.2))


@cache
def reference(*, is_short: bool = False) -> Reference:
    """Four weeks, or two days: then lengths learn their wobble from live windows."""
    days = 2 if is_short else 28
    rows = frame(START_MS - days * DAY_MS, days * 24, 1)
    return build_reference(rows, timestamp="at", categorical=("c",), segments=("c",))


@cache
def events() -> list[tuple[int, bytes]]:
    """The whole log: when each was sent, and what."""
    rows = frame(START_MS, DAYS * 24, 7)
    x = rows["x"].to_numpy().copy()
    for first, hours, shift in SHIFTS:
        x[first * ROWS_AN_HOUR : (first + hours) * ROWS_AN_HOUR] += shift
    made = []
    for i, (value, c) in enumerate(zip(x.tolist(), rows["c"].tolist(), strict=True)):
        at = START_MS + i * (HOUR_MS // ROWS_AN_HOUR)
        event = {"type": "prediction", "id": str(i), "model": "m", "version": "1", "time": at}
        made.append((at, json.dumps(event | {"features": {"x": value, "c": c}}).encode()))
    return made


class Story(Twice):
    """A model that is counted and judged."""

    def bind(self, given: Reference) -> None:
        with storage.transaction(self.engine) as conn:
            registry.register_reference(conn, given, model="m", version="1", now_ms=1)

    def flow(self, from_day: int, to_day: int) -> None:
        """Send what happened in these days, have it counted and judged."""
        for at, value in events():
            if from_day * DAY_MS <= at - START_MS < to_day * DAY_MS:
                self.rig.topic.append(value, self.sent % 2, kafka_ms=at)
                self.sent += 1
        self.rig.settle(rounds=60)
        self.judge()

    def judge(self) -> None:
        Evaluator(
            self.engine,
            EvaluateSettings("", idle_timeout_s=1e9, stalled_after_s=1e9),
            now_ms=self.rig.clock.now_ms,
        ).step()

    def facts(self) -> dict[str, list[str]]:
        """What was found, without history: revisions, wall times, what was told and withdrawn."""

        def plain(table: sa.Table, *left_out: str) -> list[str]:
            names = [c.name for c in table.c if c.name not in ("judged_ms", *left_out)]
            return sorted(str([row._mapping[name] for name in names]) for row in self.rows(table))

        return {
            "windows": plain(t.window, "revision", "rev_sum", "closed_by"),
            "findings": plain(t.finding),
            "models": plain(t.model_window),
            "days": plain(t.finding_day),
            "latches": plain(t.latch),
            "learnt": plain(t.calibration, "created_ms"),
            "incidents": [row for row in plain(t.incident, "number") if "withdrawn" not in row],
        }


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Any]:
    """What a database finds that saw the whole log with its reference from the start."""
    made: list[Engine] = []

    def of(given: Reference) -> dict[str, list[str]]:
        engine = storage.create(f"sqlite:///{tmp_path / 'fresh.db'}")
        made.append(engine)
        storage.upgrade(engine)
        story = Story(engine)
        story.bind(given)
        story.flow(0, DAYS)
        return story.facts()

    yield of
    for engine in made:
        engine.dispose()


def assert_same(found: dict[str, list[str]], must: dict[str, list[str]]) -> None:
    for what, rows in must.items():
        assert len(found[what]) == len(rows), what
        for mine, theirs in zip(found[what], rows, strict=True):
            assert mine == theirs, what


@pytest.mark.parametrize("is_short", [False, True])
def test_a_reference_that_came_late_finds_what_it_would_have_found(
    engine: Engine, fresh: Any, is_short: bool
) -> None:
    story = Story(engine)
    story.flow(0, 20)
    story.bind(reference(is_short=is_short))
    story.flow(20, 30)
    story.flow(30, DAYS)
    before = story.facts()
    done = story.replay(model="m", version="1")
    assert done.recovered == 20 * 24 * ROWS_AN_HOUR
    story.judge()
    must = fresh(reference(is_short=is_short))
    assert before["incidents"] != must["incidents"], "there was nothing to find"
    assert_same(story.facts(), must)
    assert story.rows(t.evaluator_cursor)[0].rejudge_from_ms is None
    story.judge()
    assert_same(story.facts(), must)


def test_windows_that_were_judged_long_ago_are_judged_again(engine: Engine, fresh: Any) -> None:
    story = Story(engine)
    story.bind(reference(is_short=True))
    story.rig.settle()
    story.flow(0, 3)
    with storage.transaction(engine) as conn:  # a fault of an older release, say
        rows = conn.execute(sa.select(t.pane).order_by(t.pane.c.start_ms)).all()
        for row in rows[:200]:
            here = [column == row._mapping[column.name] for column in t.pane.primary_key]
            body = next(r.body for r in rows if r.segment == "c=c" and r.partition == 0)
            conn.execute(sa.update(t.pane).where(*here).values(body=body, rev=row.rev + 1))
    story.judge()
    story.flow(3, DAYS)
    wrong = story.facts()
    story.replay()
    story.judge()
    must = fresh(reference(is_short=True))
    assert wrong["findings"] != must["findings"]
    assert_same(story.facts(), must)


def test_what_was_told_stays_told_and_nothing_is_told_twice(engine: Engine) -> None:
    story = Story(engine)
    story.bind(reference())
    story.flow(0, DAYS)
    told = story.rows(t.alert), story.rows(t.outbox), story.rows(t.incident_event)
    with storage.transaction(engine) as conn:
        conn.execute(sa.update(t.pane).values(rows=t.pane.c.rows + 1))
    done = story.replay()
    assert done.panes > 0
    story.judge()
    assert (story.rows(t.alert), story.rows(t.outbox), story.rows(t.incident_event)) == told
    revisions = {row.revision for row in story.rows(t.window)}
    assert revisions == {2}, "every affected window was judged again"
