"""The docs draw what becomes of a request: each step is made here, and no other can be."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from drawn import OUTSIDE, Step, drawn
from retrain_world import HOUR_MS, World
from sqlalchemy.engine import Engine

from driftline.errors import Conflict
from monitor.storage import retrains
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.storage.retrain_rows import Retrain

pytestmark = pytest.mark.both_databases

DRAWN = drawn("retraining.md", "dry_run")
VERBS = ("accept", "running", "succeeded", "failed", "live", "expire")
ENDS = {"dry_run", "live", "failed", "expired"}


class Walker(World):
    """Requests, each of a version of its own."""

    count = 2

    def begin(self, *, is_dry_run: bool = False) -> Retrain:
        self.count += 1
        with transaction(self.engine) as conn:
            conn.execute(
                sa.insert(t.model_version).values(
                    id=self.count, model_id=1, name=str(self.count), created_ms=1
                )
            )
        made = self.ask(f"k{self.count}", self.count, is_dry_run=is_dry_run)
        assert made is not None
        return made

    def do(self, one: Retrain, verb: str) -> None:
        """Let something happen to a request, whatever it is by now."""
        self.now_ms += 1_000
        with transaction(self.engine) as conn:
            match verb:
                case "accept":
                    retrains.accept(conn, f"retrain_{one.key}", None, now_ms=self.now_ms)
                case "live":
                    retrains.live(conn, one.version_id, 2, now_ms=self.now_ms, actor="a")
                case "expire":
                    self.now_ms += 97 * HOUR_MS
                    retrains.expire(conn, self.now_ms, limit=1_000)
        if verb in retrains.REPORTED:
            try:
                self.report(one.id, verb)
            except Conflict:
                assert self.state(one) != "requested"

    def state(self, one: Retrain) -> str:
        now = self.one(one.id)
        state = "dry_run" if now.is_dry_run else "live" if now.live_ms else now.state
        assert now.is_open == (state not in ENDS)
        return state


def test_every_step_that_is_drawn_can_be_made_and_no_other(engine: Engine) -> None:
    walker = Walker(engine)
    made: set[Step] = set()
    ways: dict[str, tuple[str, ...]] = {}
    for is_dry_run in (False, True):
        state = walker.state(walker.begin(is_dry_run=is_dry_run))
        made.add((OUTSIDE, state))
        ways[state] = ()
    waiting = list(ways)
    while waiting:
        state = waiting.pop()
        for verb in VERBS:
            one = walker.begin(is_dry_run=state == "dry_run")
            for step in ways[state]:
                walker.do(one, step)
            assert walker.state(one) == state
            walker.do(one, verb)
            after = walker.state(one)
            if after != state:
                made.add((state, after))
            if after not in ways:
                ways[after] = (*ways[state], verb)
                waiting.append(after)
            walker.do(one, "live")  # whatever it is, it is in nobody's way
    assert made == DRAWN
    assert {state for _, state in made} == set(ways)
