"""A replay that ends at any of its calls is gone on with, and counts nothing twice."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from faults import Calls, Died, Tapped
from replay_rig import FakeLog, Twice
from sqlalchemy.engine import Connection, Engine

from consumers.replay import Asked, Outcome, replay
from driftline.errors import Conflict, DriftlineError
from monitor.storage import lanes
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim
from monitor.storage.engine import transaction

EVENTS = 24


class TappedLog(Tapped):
    """A log whose calls are numbered."""

    def __init__(self, calls: Calls, log: FakeLog) -> None:
        super().__init__(calls, log)
        self._log = log

    def assign(self, partitions: Iterable[int]) -> None:
        self._log.assign(partitions)

    def first_at(self, time_ms: int) -> dict[int, tuple[int, int] | None]:
        return self._log.first_at(time_ms)


class Killed(Twice):
    """A replay whose calls go wrong."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.send(EVENTS // 2)
        self.count()  # unmonitored
        self.register()
        self.send(EVENTS // 2)
        self.count()
        self.calls = Calls(engine)

    def again(self) -> Outcome:
        """Replay as one and the same owner, which writes at each poll."""
        log = self.log(max_records=8)
        log.meanwhile = lambda: self.rig.clock.advance(6.0)
        with self.calls.on():
            return replay(
                self.engine, TappedLog(self.calls, log), self.rig.settings, Asked(),
                clock=self.rig.clock, owner="me",
            )  # fmt: skip

    def spoil(self) -> None:
        """Let there be something to mend."""
        with transaction(self.engine) as conn:
            conn.execute(sa.update(t.pane).values(rows=t.pane.c.rows + 1))
            conn.execute(sa.delete(t.pane).where(t.pane.c.segment == "site=north"))

    def is_right(self) -> bool:
        must = self.said_by_the_log()
        return (
            self.stored() == must
            and all(
                must[row.version_id, row.start_ms, row.segment, row.partition][0] == row.rows
                for row in self.rows(t.pane)
                if row.rows
            )
            and self.counters() == {("1", "prediction"): EVENTS}
            and self.rows(t.deficit) == []
            and self.nothing_is_left()
        )


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("how", "step"), [("dies after", 1), ("dies before", 5), ("fails after", 4)]
)
def test_it_may_end_at_every_call(engine: Engine, how: str, step: int) -> None:
    """At each of them after it was made; some of them once more before, and failing."""
    killed = Killed(engine)
    with killed.calls:
        for number in range(0, 400, step):
            killed.spoil()
            killed.calls.arm(number, how)
            with suppress(Died, DriftlineError):
                killed.again()
            # A dead process has no cursor; one that lives on in a traceback has its transaction.
            gc.collect(1)
            if killed.calls.is_armed:
                break
            killed.calls.disarm()
            if not killed.nothing_is_left() or not killed.is_right():
                killed.again()
            assert killed.is_right(), f"call {number}: {killed.calls.happened}"
        else:
            raise AssertionError("it never came to an end")
    assert number > 60


def test_without_its_guard_it_would_count_twice(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: a replay that forgets how far it came, with and without compare-and-swap."""
    killed = Killed(engine)
    real_claims, real_commit = lanes.claims, lanes.commit
    forgets = 0

    def forgetful(conn: Connection, lane: lanes.Lane) -> dict[int, Claim]:
        nonlocal forgets
        forgets -= 1
        found = real_claims(conn, lane)
        if forgets < 0:
            return found
        begun = lanes.starts(conn, lane.stream_id)
        return {p: replace(claim, next_offset=begun[p]) for p, claim in found.items()}

    def unguarded(conn: Connection, lane: lanes.Lane, held: Claim, *rest: Any) -> Claim:
        at = real_claims(conn, lane)[held.partition].next_offset
        return real_commit(conn, lane, replace(held, next_offset=at), *rest)

    def die_and_go_on() -> None:
        killed.calls.arm_next("sql COMMIT", "dies after", after=44)
        with pytest.raises(Died):
            killed.again()
        gc.collect(1)
        read = sum(row.next_offset for row in killed.rows(t.lane_position))
        assert 0 < read < EVENTS
        nonlocal forgets
        forgets = 2  # when it goes on
        monkeypatch.setattr(lanes, "claims", forgetful)
        killed.again()

    with killed.calls:
        with pytest.raises(Conflict, match="taken this replay over"):
            die_and_go_on()
        monkeypatch.undo()
        killed.again()
        assert killed.is_right()
        killed.spoil()
        monkeypatch.setattr(lanes, "commit", unguarded)
        die_and_go_on()
    assert sum(counts[0] for counts in killed.stored().values()) > sum(
        counts[0] for counts in killed.said_by_the_log().values()
    )
