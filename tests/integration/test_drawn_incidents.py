"""The docs draw how an incident goes: each step is walked here, and no other one can be."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from alerts_world import BAD, MILD, told_world
from drawn import OUTSIDE, Step, drawn
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline.stats.episodes import QUIET, Latch, State, expire, expires_after, step
from driftline.stats.judgement import Mark
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.detect.incidents import IncidentState, Member, derive
from monitor.detect.succession import Takeover, relieved
from monitor.storage import schema as t
from monitor.windows.panes import HOUR_MS

PAGE = "incidents.md"
LOCAL = "http://127.0.0.1:8050"
DRAWN = drawn(PAGE, "recovering")
# Late events alone make it, and are tried on the evaluator.
WITHDRAWN = {one for one in DRAWN if one[1] == "withdrawn"}
BAD_ONE, CLEAR, BETWEEN, BLIND = Mark.EXCEEDS, Mark.CLEAR, Mark.BETWEEN, Mark.NOT_EVALUABLE
WEEK_H = expires_after(HOUR_MS) // HOUR_MS + 1


class Walk:
    """One statistic of one length, hour by hour, and its incidents after each."""

    def __init__(self) -> None:
        self.state: State = QUIET
        self.ended: list[Latch] = []
        self.takeover: Takeover | None = None
        self.hour = 0
        self.known: list[str] = []
        self.was_pending = False
        self.steps: set[Step] = set()

    def go(self, *marks: int) -> Walk:
        for mark in marks:
            start_ms = self.hour * HOUR_MS
            self.hour += 1
            self.state, over = step(self.state, start_ms, self.hour * HOUR_MS, mark, HOUR_MS)
            self.ended += [] if over is None else [over]
            self._look()
        return self

    def nothing_for(self, hours: int) -> Walk:
        """No window of the length is there any more; the evaluator ends its latch."""
        self.hour += hours
        last_ms = self.state.last_evaluable_ms
        latch = self.state.latch
        if latch is not None and self.hour * HOUR_MS - last_ms > expires_after(HOUR_MS) + HOUR_MS:
            self.ended.append(expire(latch, last_ms, HOUR_MS))
            self.state = QUIET
        self._look()
        return self

    def taken_over(self) -> Walk:
        """Another version answers alone from now on, which is known for sure some hours later."""
        since_ms = self.hour * HOUR_MS
        self.hour += 5
        self.takeover = Takeover(since_ms, self.hour * HOUR_MS, None, 2)
        self._look()
        return self

    @property
    def is_relieved(self) -> bool:
        return self.takeover is not None and self.takeover.until_ms is None

    def answers_again(self) -> Walk:
        assert self.takeover is not None
        found = self.takeover
        self.takeover = Takeover(found.since_ms, found.sure_ms, self.hour * HOUR_MS, 2)
        self._look()
        return self

    def _look(self) -> None:
        latches = [*self.ended, *([] if self.state.latch is None else [self.state.latch])]
        members = [
            Member("missing", "hour", "warning", latch, 0 if latch.closed_ms else self._clear())
            for latch in latches
        ]
        found = derive(relieved(members, [self.takeover] if self.takeover else []))
        states = [incident.state.value for incident in found]
        is_pending = self.state.latch is None and bool(self.state.ring)
        new = len(states) > len(self.known)
        if self.was_pending and not is_pending and not new and states == self.known:
            self.steps.add(("pending", OUTSIDE))
        if is_pending and not self.was_pending:
            self.steps.add((OUTSIDE, "pending"))
        for place, state in enumerate(states):
            is_first = place >= len(self.known)
            before = "pending" if is_first else self.known[place]
            assert not is_first or self.was_pending, "an incident without a first bad window"
            if before != state:
                self.steps.add((before, state))
        assert len(states) >= len(self.known)
        self.known, self.was_pending = states, is_pending

    def _clear(self) -> int:
        return self.state.clear_count


WALKS: dict[Step, Sequence[object]] = {
    (OUTSIDE, "pending"): [BAD_ONE],
    ("pending", "firing"): [BAD_ONE, BAD_ONE],
    ("pending", OUTSIDE): [BAD_ONE, CLEAR, CLEAR, CLEAR],
    ("firing", "recovering"): [BAD_ONE, BAD_ONE, CLEAR],
    ("recovering", "firing"): [BAD_ONE, BAD_ONE, CLEAR, BAD_ONE],
    ("recovering", "resolved"): [BAD_ONE, BAD_ONE, CLEAR, CLEAR, CLEAR],
    ("firing", "expired"): [BAD_ONE, BAD_ONE, "nothing"],
    ("recovering", "expired"): [BAD_ONE, BAD_ONE, CLEAR, "nothing"],
    ("resolved", "firing"): [BAD_ONE, BAD_ONE, CLEAR, CLEAR, CLEAR, BAD_ONE, BAD_ONE],
    ("expired", "firing"): [BAD_ONE, BAD_ONE, "nothing", BAD_ONE, BAD_ONE],
    ("firing", "superseded"): [BAD_ONE, BAD_ONE, "taken"],
    ("recovering", "superseded"): [BAD_ONE, BAD_ONE, CLEAR, "taken"],
    ("superseded", "firing"): [BAD_ONE, BAD_ONE, "taken", "again", BAD_ONE, BAD_ONE],
}


def walk(done: Sequence[object]) -> Walk:
    made = Walk()
    for one in done:
        if one == "nothing":
            made.nothing_for(WEEK_H + 2)
        elif one == "taken":
            made.taken_over()
        elif one == "again":
            made.answers_again()
        else:
            assert isinstance(one, int)
            made.go(one)
    return made


def test_every_state_of_an_incident_is_drawn_and_no_other() -> None:
    assert {name for one in DRAWN for name in one} - {OUTSIDE} == {s.value for s in IncidentState}


def test_each_step_that_is_drawn_has_a_way() -> None:
    assert WALKS.keys() | WITHDRAWN == DRAWN


@pytest.mark.parametrize("wanted", WALKS, ids=" to ".join)
def test_each_step_is_walked(wanted: Step) -> None:
    made = walk(WALKS[wanted])
    assert wanted in made.steps
    # It is the last one of its way: without its end it is not made.
    assert wanted not in walk(WALKS[wanted][:-1]).steps


@pytest.mark.parametrize("seed", range(40))
def test_no_other_step_is_made_whatever_the_windows_show(seed: int) -> None:
    draw = random.Random(seed)
    made = Walk()
    for _ in range(400):
        match draw.random():
            case x if x < 0.005:
                made.nothing_for(draw.choice((5, WEEK_H, 2 * WEEK_H, 15 * 24)))
            case x if x < 0.01 and made.takeover is None:
                made.taken_over()
            case _ if made.is_relieved:
                made.answers_again()
            case _:
                likely = (3, 4, 1, 1) if made.hour // 40 % 2 else (6, 1, 1, 1)
                made.go(draw.choices((CLEAR, BAD_ONE, BETWEEN, BLIND), likely)[0])
    assert made.steps <= DRAWN, made.steps - DRAWN


@pytest.mark.both_databases
@pytest.mark.parametrize(
    ("before", "clear_hours"), [("firing", 0), ("recovering", 1), ("resolved", 6)]
)
def test_late_events_withdraw_it_in_each_state_that_is_drawn(
    engine: Engine, before: str, clear_hours: int
) -> None:
    world = told_world(engine)
    world.step(3, x=MILD)
    world.step(clear_hours)
    assert [row.state for row in world.rows(t.incident)] == [before]
    for partition in range(1, 7):
        world.count(3, at=0, partition=partition)
    world.step()
    assert [row.state for row in world.rows(t.incident)] == ["withdrawn"]
    assert (before, "withdrawn") in WITHDRAWN and len(WITHDRAWN) == 3


# Beside the state


def test_acknowledgements_go_as_drawn(engine: Engine) -> None:
    steps = drawn(PAGE, "unattended")
    made: set[Step] = set()
    world = told_world(engine)
    world.step(3, x=MILD)
    clock = HeldClock(world.now_ms)
    app = create_app(engine, with_dashboard=False, clock=clock)
    known = OUTSIDE

    with TestClient(app, base_url=LOCAL) as api:

        def look() -> str:
            nonlocal known
            found = api.get("/api/v1/incidents/1/handling").json()["acknowledged_by"]
            state = "unattended" if found is None else "acknowledged"
            if state != known:
                made.add((known, state))
            known = state
            return state

        look()
        for verb in ("acknowledge", "acknowledge", "give-back", "give-back", "acknowledge"):
            clock.advance(60)
            assert api.post(f"/api/v1/incidents/1/{verb}").status_code == 200
            look()
        # It turns critical, and later opens again: what was acknowledged was less.
        for hours, share in ((3, BAD), (6, 0.0), (3, MILD)):
            if known == "unattended" and share:
                api.post("/api/v1/incidents/1/acknowledge")
            clock.advance(60)
            world.now_ms = clock.now_ms()
            world.step(hours, x=share)
            if share:
                assert look() == "unattended"
    assert made == steps


def test_silences_go_as_drawn(engine: Engine) -> None:
    steps = drawn(PAGE, "scheduled")
    told_world(engine)
    clock = HeldClock(1_750_000_000_000)
    app = create_app(engine, with_dashboard=False, clock=clock)
    made: set[Step] = set()
    known: dict[int, str] = {}
    with TestClient(app, base_url=LOCAL) as api:

        def look() -> None:
            for one in api.get("/api/v1/silences").json()["items"]:
                before = known.get(one["number"], OUTSIDE)
                if one["state"] != before:
                    made.add((before, one["state"]))
                known[one["number"]] = one["state"]

        def add(feature: str, **asked: object) -> int:
            body = {"model": "m", "feature": feature, "for_s": 7_200, **asked}
            said = api.post("/api/v1/silences", json=body)
            assert said.status_code == 201, said.text
            look()
            return int(said.json()["number"])

        def end(number: int) -> None:
            assert api.post(f"/api/v1/silences/{number}/end", json={}).status_code == 200
            look()

        add("x")
        end(add("zeros"))
        end(add("count", start="2025-06-16T00:00:00Z"))
        add("c", start="2025-06-15T16:00:00Z")
        for _ in range(8):
            clock.advance(1_800)
            look()
    assert made == steps
    assert set(known.values()) <= {"over", "active", "scheduled"}
