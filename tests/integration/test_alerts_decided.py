"""The evaluator decides messages where it decides incidents: one transaction, nothing twice."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import living_database
import pytest
import sqlalchemy as sa
from alerts_world import BAD, CALM_DAYS, FIRST_MS, MILD, World, endpoint, told_world
from feature_world import START_MS, Statements
from hostile import hostile_names
from sqlalchemy.engine import Engine

from monitor.detect.alerts import decide
from monitor.detect.knowledge import OPEN_STATES
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.reads import held_since, told_of
from monitor.views.episodes import listed
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS


@pytest.fixture
def world(engine: Engine) -> World:
    return told_world(engine)


@pytest.mark.both_databases
def test_a_problem_is_told_when_it_opens_and_when_it_is_over(world: World) -> None:
    assert world.step(1, x=BAD) == []
    assert world.step(2, x=BAD) == [("detected", ["x"])]
    assert world.step(2) == []
    assert world.step(2) == [("resolved", ["x"])]
    assert world.step(4) == []

    first, last = world.outbox()
    (incident,) = world.rows(t.incident)
    body = json.loads(first.body)
    assert (body["type"], first.type) == ("drift.detected", "drift.detected")
    evidence = json.loads(incident.evidence)["worst"]
    assert body["data"]["url"] == f"https://drift.example/incidents/{incident.number}"
    (told,) = body["data"]["incidents"]
    assert told["id"] == incident.number
    assert told["kind"] == "missing"
    assert told["value"] == pytest.approx(BAD)
    assert told["limit"] == evidence["limit"]
    assert told["summary"] == incident.summary
    assert told["window"] == {"start": "2024-01-09T00:00:00Z", "end": "2024-01-09T01:00:00Z"}
    assert first.alert_id == last.alert_id
    assert [first.sequence, last.sequence] == [1, 2]
    assert json.loads(last.body)["data"]["summary"] == "m 1: x (missing) is over after 4 hours."
    (alert,) = world.rows(t.alert)
    assert (alert.state, alert.severity, alert.sequence) == ("resolved", "critical", 2)
    (known,) = world.rows(t.alert_incident)
    assert (known.incident_number, known.state, known.episodes) == (1, "resolved", 1)


@pytest.mark.both_databases
def test_what_opens_together_is_one_message_and_what_joins_is_an_update(world: World) -> None:
    assert world.step(3, x=BAD, zeros=BAD) == [("detected", ["x", "zeros"])]
    assert world.step(3, x=BAD, zeros=BAD, count=BAD) == [("updated", ["count"])]
    ((kind, names),) = world.step(6)
    assert (kind, set(names)) == ("resolved", {"x", "zeros", "count"})
    assert len({row.alert_id for row in world.outbox()}) == 1
    assert [row.sequence for row in world.outbox()] == [1, 2, 3]


@pytest.mark.both_databases
def test_every_endpoint_gets_the_same_body(world: World) -> None:
    endpoint(world.engine, "other")
    world.step(3, x=BAD)
    one, other = world.outbox()
    assert one.endpoint_id != other.endpoint_id
    assert (one.webhook_id, one.body) == (other.webhook_id, other.body)


def test_an_endpoint_that_is_added_later_is_not_sent_the_past(engine: Engine) -> None:
    world = World(engine)
    world.count(CALM_DAYS * 24, at=-CALM_DAYS * 24)
    world.step(3, x=BAD)
    assert world.outbox() == []
    assert [row.state for row in world.rows(t.alert)] == ["open"]
    endpoint(engine)
    assert world.step(1, x=BAD) == []
    assert world.step(3) == [("resolved", ["x"])]
    assert world.outbox()[0].sequence == 2


def test_what_opened_and_ended_in_a_backlog_is_told_in_order(world: World) -> None:
    world.count(3, {"x": BAD})
    world.count(6)
    assert world.step() == [("detected", ["x"]), ("resolved", ["x"])]


def test_a_second_warning_waits_for_the_day_to_be_over(world: World) -> None:
    assert world.step(3, x=MILD) == [("detected", ["x"])]
    assert world.step(3, x=MILD, zeros=MILD) == []
    assert [row.incident_number for row in world.rows(t.alert_held)] == [2]
    before = len(world.rows(t.alert_incident))
    assert world.step(17, x=MILD, zeros=MILD) == []
    assert len(world.rows(t.alert_incident)) == before
    # The watermark passes midnight with the lateness behind it.
    assert world.step(2, x=MILD, zeros=MILD) == [("updated", ["zeros"])]
    assert world.rows(t.alert_held) == []


def test_pages_can_say_what_was_told_of_an_incident_and_what_waits(world: World) -> None:
    world.step(3, x=MILD)
    world.step(3, x=MILD, zeros=MILD)
    with reading(world.engine) as conn:
        told, waits = told_of(conn, [1, 2, 99]), held_since(conn, [1, 2, 99])
    assert list(told) == [1]
    assert (told[1].state, told[1].sequence, told[1].recorded_ms) == ("open", 1, world.now_ms)
    assert told[1].alert_id == world.outbox()[0].alert_id
    assert waits == {2: world.now_ms}


def test_critical_goes_at_once_and_takes_along_what_waits(world: World) -> None:
    world.step(3, x=MILD)
    world.step(3, x=MILD, zeros=MILD)
    ((kind, names),) = world.step(3, x=MILD, zeros=MILD, count=BAD)
    assert (kind, names[0], set(names)) == ("updated", "count", {"count", "zeros"})
    assert json.loads(world.outbox()[-1].body)["data"]["severity"] == "critical"


def test_what_waits_is_told_when_a_stream_has_ended_for_a_day(world: World) -> None:
    world.step(3, x=MILD)
    world.step(3, x=MILD, zeros=MILD)
    assert world.step() == []
    world.now_ms += DAY_MS - 1
    assert world.step() == []
    world.now_ms += 1
    version = world.rows(t.data_version)
    assert world.step() == [("updated", ["zeros"])]
    assert world.rows(t.data_version) != version
    assert world.step() == []
    assert world.steps[-3:] == [0, 0, 0]


@pytest.mark.both_databases
def test_late_events_withdraw_what_was_told(world: World) -> None:
    assert world.step(3, x=MILD) == [("detected", ["x"])]
    # The same hours again from another partition, with nothing missing, many times over.
    for partition in range(1, 7):
        world.count(3, at=0, partition=partition)
    assert world.step() == [("withdrawn", ["x"])]
    (row,) = world.rows(t.incident)
    assert row.state == "withdrawn"
    assert world.step(3) == []
    first, last = world.outbox()
    assert (first.alert_id, last.sequence) == (last.alert_id, 2)


def test_what_late_events_withdraw_before_it_was_told_is_never_said(world: World) -> None:
    world.step(3, x=MILD)
    # The other one waits: of the same alert, which is not over while it stands.
    assert world.step(3, zeros=MILD) == []
    assert [row.state for row in world.rows(t.incident)] == ["resolved", "firing"]
    for partition in range(1, 7):
        world.count(3, at=3, partition=partition)
    assert world.step() == [("resolved", ["x"])]
    assert [row.state for row in world.rows(t.incident)] == ["resolved", "withdrawn"]
    assert world.step(48) == []
    assert world.rows(t.alert_held) == []


# -- one transaction ---------------------------------------------------------------------------


@pytest.mark.both_databases
def test_a_transaction_that_is_cut_leaves_neither_incident_nor_message(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> int:
        raise RuntimeError("killed between the incident and the message")

    world.count(3, {"x": BAD})
    before = world.rows(t.evaluator_cursor)
    with monkeypatch.context() as patch:
        patch.setattr("monitor.storage.telling.outbox.enqueue", cut)
        assert world.evaluator().step() == 0
    for table in (t.incident, t.incident_event, t.alert, t.alert_incident, t.outbox):
        assert world.rows(table) == []
    assert world.rows(t.evaluator_cursor) == before
    assert world.step() == [("detected", ["x"])]
    assert len(world.rows(t.incident)) == 1


@pytest.mark.both_databases
def test_the_slower_of_two_evaluators_says_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.count(3, {"x": BAD})
    slow, fast = world.evaluator(), world.evaluator()
    read: Callable[..., Any] = slow._read

    def overtaken(*given: Any) -> Any:
        found = read(*given)
        if not world.outbox():
            assert fast.step() > 0
        return found

    monkeypatch.setattr(slow, "_read", overtaken)
    assert slow.step() == 0
    assert [row.type for row in world.outbox()] == ["drift.detected"]
    assert len(world.rows(t.alert)) == 1


def test_the_slower_of_two_that_tell_what_waited_says_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.step(3, x=MILD)
    world.step(3, x=MILD, zeros=MILD)
    world.now_ms += DAY_MS
    monkeypatch.setattr("monitor.evaluate.alerts.evaluation.move_cursor", lambda *_: False)
    assert world.step() == []
    assert len(world.rows(t.alert_held)) == 1
    monkeypatch.undo()
    assert world.step() == [("updated", ["zeros"])]


def test_judging_the_past_anew_says_nothing(world: World) -> None:
    world.tells = False
    assert world.step(3, x=BAD) == []
    assert len(world.rows(t.incident)) == 1
    assert world.rows(t.alert) == world.rows(t.alert_held) == []


def test_a_restored_database_says_the_same_again_under_the_same_ids(world: World) -> None:
    world.step(3, x=BAD)
    first = world.outbox()
    with transaction(world.engine) as conn:  # as a backup from before had it
        for table in (t.outbox, t.alert, t.alert_incident):
            conn.execute(sa.delete(table))
        conn.execute(sa.delete(t.incident))
        conn.execute(sa.delete(t.latch))
        conn.execute(sa.delete(t.window).where(t.window.c.end_ms > FIRST_MS))
        for table in (t.finding, t.model_window):
            conn.execute(sa.delete(table).where(table.c.start_ms >= FIRST_MS))
    world.now_ms += HOUR_MS
    world.step()
    again = world.outbox()
    assert [row.webhook_id for row in again] == [row.webhook_id for row in first]
    assert [row.alert_id for row in again] == [row.alert_id for row in first]


# -- how much it reads -------------------------------------------------------------------------


def bury(world: World, count: int) -> None:
    """Put incidents into the past: told, over, and as long ago as can be."""
    with transaction(world.engine) as conn:
        for n in range(count):
            opened_ms = START_MS - (n + 1) * HOUR_MS
            values = {
                "version_id": 1, "segment": "all", "feature": f"old{n}", "kind": "missing",
                "severity": "warning", "state": "resolved", "muted": False,
                "first_window_ms": opened_ms, "opened_ms": opened_ms, "told_ms": opened_ms,
                "resolved_ms": opened_ms + 1, "summary": "", "evidence": "{}",
                "episodes": json.dumps([[opened_ms, opened_ms, opened_ms, opened_ms + 1]]),
            }  # fmt: skip
            insert = sa.insert(t.incident).values(values).returning(t.incident.c.number)
            number = conn.execute(insert).scalar_one()
            row = conn.execute(
                sa.insert(t.alert)
                .values(
                    alert_id=f"{n:032x}", version_id=1, number=number, state="resolved",
                    severity="warning", worst="warning", opened_ms=opened_ms, sequence=2,
                    told_ms=opened_ms, recorded_ms=0, warned_ms=opened_ms,
                )
                .returning(t.alert.c.id)
            ).scalar_one()  # fmt: skip
            conn.execute(
                sa.insert(t.alert_incident).values(
                    incident_number=number,
                    alert_row=row,
                    severity="warning",
                    state="resolved",
                    episodes=1,
                )
            )


def test_what_is_long_over_is_never_read_and_costs_no_statement(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def counted(incidents: Any, *given: Any, **named: Any) -> Any:
        seen.append(len(incidents))
        return decide(incidents, *given, **named)

    monkeypatch.setattr("monitor.evaluate.alerts.decide", counted)
    spent: list[int] = []
    for past, name in ((0, "x"), (300, "zeros")):
        bury(world, past)
        world.count(3, {name: BAD})
        with Statements(world.engine) as statements:
            world.evaluator().step()
        about = ("alert", "outbox", "incident.resolved_ms >= ")
        spent.append(sum(any(word in text for word in about) for text in statements.texts))
        world.step(20)
    # Opened, and over.
    assert seen == [1, 1, 1, 1]
    assert spent[0] == spent[1]


def test_a_pass_in_which_nothing_became_of_any_incident_reads_what_waits_and_no_more(
    world: World,
) -> None:
    world.step(3, x=BAD)
    with Statements(world.engine) as statements:
        world.step(1, x=BAD)
    about = [text for text in statements.texts if "FROM alert" in text]
    assert len(about) == 2  # what waits: by the clock, and of this version
    assert all("FROM alert_held" in text for text in about)


# -- a world with everything in it -------------------------------------------------------------


@pytest.mark.parametrize("is_hostile", [False, True])
def test_receivers_of_a_living_world_know_the_truth_and_group_as_the_pages_do(
    engine: Engine, is_hostile: bool
) -> None:
    endpoint(engine)
    living_database.live(engine, hostile_names() if is_hostile else None)
    with engine.connect() as conn:
        # Of this one endpoint, which was there from the beginning; the story adds others later.
        mine = sa.select(t.outbox).where(
            t.outbox.c.endpoint_id == 1, t.outbox.c.type.like("drift.%")
        )
        rows = conn.execute(mine.order_by(t.outbox.c.id)).all()
        held = conn.execute(sa.select(t.alert_held.c.incident_number)).scalars().all()
    with reading(engine) as conn:
        groups = listed(conn).groups
    assert rows
    assert len({row.webhook_id for row in rows}) == len(rows)
    alerts: dict[str, list[Any]] = {}
    state: dict[int, str] = {}
    home: dict[int, str] = {}
    for row in rows:
        data = json.loads(row.body)["data"]
        alerts.setdefault(row.alert_id, []).append(row)
        assert data["sequence"] == row.sequence == len(alerts[row.alert_id])
        for told in data["incidents"]:
            state[told["id"]] = told["state"]
            assert home.setdefault(told["id"], row.alert_id) == row.alert_id
        assert "more" not in data
    everyone = {i.number: i for group in groups for i in group.members}
    assert not [n for n in state if everyone[n].muted]
    for number, incident in everyone.items():
        if incident.is_open and not incident.muted and number not in held:
            assert state[number] in OPEN_STATES
    for group in groups:
        homes = {home[i.number] for i in group.members if i.number in home}
        assert len(homes) <= 1
    by_alert = {
        home[i.number]: group for group in groups for i in group.members if i.number in home
    }
    assert len(by_alert) == len(alerts)
    for alert_id, group in by_alert.items():
        waits = any(i.number in held for i in group.members)
        is_open = alerts[alert_id][-1].type in ("drift.detected", "drift.updated")
        assert is_open == group.is_open or waits
        url = json.loads(alerts[alert_id][0].body)["data"]["url"]
        assert url.endswith(f"/incidents/{group.number}")
