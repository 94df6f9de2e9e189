"""A retraining is asked for once, its trainer's words move it on, and a new version ends it."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from retrain_world import HOUR_MS, NOW_MS, World
from sqlalchemy.engine import Engine

from driftline.errors import Conflict
from monitor.storage import (
    endpoints,
    models,
    outbox,
    retrain_facts,
    retrain_rows,
    retraining_policies,
    retrains,
)
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.storage.outbox import Message
from monitor.storage.retrain_rows import Retrain, Run

pytestmark = pytest.mark.both_databases

RUN = Run("airflow", "driftline__a", "https://airflow.example/runs/a")


@pytest.fixture
def made(engine: Engine) -> World:
    return World(engine)


def _accept(made: World, run: Run | None = None, key: str = "a") -> Retrain | None:
    with transaction(made.engine) as conn:
        return retrains.accept(conn, f"retrain_{key}", run, now_ms=made.now_ms)


def test_a_request_is_a_message_for_its_trainer_alone(made: World) -> None:
    with transaction(made.engine) as conn:
        endpoints.add(conn, "people", "https://people.example", "whsec_x", now_ms=1)
    evidence = {"open_days": 5, "incidents": [made.incident(7)], "alert_ids": ["ab"]}
    asked = made.ask(evidence=evidence)
    assert asked is not None and asked == made.one()
    assert (asked.state, asked.trainer, asked.is_open) == ("requested", "trainer", True)
    (row,) = made.outbox()
    assert (row.endpoint_id, row.webhook_id, row.alert_id) == (1, "retrain_a", None)
    assert json.loads(row.body) == {
        "type": "retrain.requested",
        "timestamp": "2025-06-15T15:06:40Z",
        "data": {
            "request_id": 1,
            "key": "a",
            "model": "m",
            "version": "1",
            "reason": "it drifted",
            "evidence": {"open_days": 5},
            "alert_ids": ["ab"],
            "incidents": [7],
            "url": "https://drift.example/retrains/1",
            "report_url": "https://drift.example/api/v1/retrains/1",
            "deadline": "2025-06-19T15:06:40Z",
            "dry_run": False,
        },
    }
    assert datetime.fromtimestamp(asked.deadline_ms / 1000, UTC).day == 19


def test_what_was_asked_once_is_not_asked_again(made: World) -> None:
    assert made.ask("a") is not None
    assert made.ask("a") is None
    made.report(1, "failed")
    assert made.ask("a") is None  # not even when it is over
    asked = [row for row in made.outbox() if row.type == "retrain.requested"]
    assert [row.webhook_id for row in asked] == ["retrain_a"]


def test_one_request_of_a_version_is_open_at_a_time(made: World) -> None:
    made.ask("a")
    with pytest.raises(Conflict, match="request 1 for m 1 is requested: one is open at a time"):
        made.ask("b")
    assert made.ask("c", version=2) is not None  # another version's
    made.report(1, "failed")
    assert made.ask("b") is not None


def test_the_database_itself_lets_no_second_one_be_open(made: World) -> None:
    made.ask("a")
    with transaction(made.engine) as conn:
        row = dict(conn.execute(sa.select(t.retrain)).one()._mapping)
    row |= {"id": 9, "key": "z"}
    with pytest.raises(sa.exc.IntegrityError), transaction(made.engine) as conn:
        conn.execute(sa.insert(t.retrain).values(row))
    for change in ({"is_dry_run": True}, {"ended_ms": 5, "id": 10, "key": "y"}):
        with transaction(made.engine) as conn:
            conn.execute(sa.insert(t.retrain).values(row | change))


def test_a_dry_run_is_written_down_and_sends_nothing(made: World) -> None:
    asked = made.ask("dry", is_dry_run=True)
    assert asked is not None and asked.ended_ms == NOW_MS and asked.state == "requested"
    assert made.outbox() == []
    assert made.ask("a") is not None  # it is in nobody's way
    with pytest.raises(Conflict, match="request 1 is over, it was a dry run"):
        made.report(1, "running")


@pytest.mark.parametrize("gone", ["disabled", "removed"])
def test_a_trainer_that_takes_no_messages_is_not_asked(made: World, gone: str) -> None:
    with transaction(made.engine) as conn:
        if gone == "disabled":
            endpoints.disable(conn, 1, "for a while", now_ms=2)
        else:
            endpoints.remove(conn, 1, now_ms=2)
    with pytest.raises(Conflict, match=gone):
        made.ask()
    assert made.outbox() == []


def test_its_trainer_s_words_move_it_on(made: World) -> None:
    made.ask()
    made.now_ms += HOUR_MS
    accepted = _accept(made, RUN)
    assert accepted is not None
    assert (accepted.state, accepted.run, accepted.look_ms) == ("accepted", RUN, made.now_ms)
    assert accepted.deadline_ms == made.now_ms + 96 * HOUR_MS  # as long again
    made.now_ms += HOUR_MS
    made.report(1, "running", words="fold 1 of 5")
    made.report(1, "running", words="fold 2 of 5", run_url="https://wandb.example/1")
    done = made.report(1, "succeeded", version="2")
    assert (done.state, done.made_version, done.is_open) == ("succeeded", "2", True)
    assert done.run == Run("airflow", "driftline__a", "https://wandb.example/1")
    assert done.look_ms is None
    assert [(e.state, e.words) for e in done.events] == [
        ("requested", "it drifted"),
        ("accepted", ""),
        ("running", "fold 1 of 5"),
        ("running", "fold 2 of 5"),
        ("succeeded", ""),
    ]
    made.now_ms += HOUR_MS
    with transaction(made.engine) as conn:
        live = retrains.live(conn, 1, 2, now_ms=made.now_ms, actor="api:token")
    assert live is not None
    assert (live.state, live.live_version, live.live_ms) == ("succeeded", "2", made.now_ms)
    assert live.ended_ms == made.now_ms and live.events[-1].words == "version 2 took over"
    with transaction(made.engine) as conn:
        assert retrains.live(conn, 1, 2, now_ms=made.now_ms, actor="api:token") is None


def test_the_same_word_again_changes_nothing(made: World) -> None:
    made.ask()
    _accept(made, RUN)
    for state in ("running", "succeeded", "failed"):
        said = made.report(1, state, words="so")
        made.now_ms += HOUR_MS
        assert made.report(1, state, words="so") == said
    assert _accept(made, Run("airflow", "other")) is None
    assert len(made.one().events) == 5


def test_a_word_of_before_is_refused(made: World) -> None:
    made.ask()
    made.report(1, "succeeded")
    with pytest.raises(Conflict, match="request 1 is succeeded already: it cannot be running"):
        made.report(1, "running")
    made.report(1, "failed", words="it is worse than the one before")
    with pytest.raises(Conflict, match="request 1 is over, it failed: it takes no more reports"):
        made.report(1, "succeeded")
    with pytest.raises(retrains.NoSuchRetrain):
        made.report(99, "running")
    with pytest.raises(ValueError, match="cannot be reported expired"):
        made.report(1, "expired")


def test_a_trainer_that_reports_before_its_answer_arrives_is_not_asked_again(made: World) -> None:
    made.ask()
    made.report(1, "running")
    assert [row.state for row in made.outbox()] == ["cancelled"]
    accepted = _accept(made, RUN)  # the answer comes after all
    assert accepted is not None and (accepted.state, accepted.run) == ("running", RUN)


def test_a_run_is_followed_whose_page_its_training_named_first(made: World) -> None:
    made.ask()
    made.report(1, "running", run_url="https://wandb.example/1")
    accepted = _accept(made, RUN)
    assert accepted is not None and accepted.look_ms == made.now_ms
    assert accepted.run == Run(RUN.kind, RUN.id, "https://wandb.example/1")


def test_a_run_that_was_over_before_it_was_known_is_not_followed(made: World) -> None:
    made.ask()
    made.report(1, "succeeded")
    accepted = _accept(made, RUN)
    assert accepted is not None and (accepted.run, accepted.look_ms) == (RUN, None)


def test_of_a_training_that_tells_of_every_step_the_last_is_kept(made: World) -> None:
    made.ask()
    for step in range(retrains.MOST_EVENTS + 20):
        last = made.report(1, "running", words=f"step {step}")
    assert len(last.events) == retrains.MOST_EVENTS
    assert last.events[-1].words == f"step {retrains.MOST_EVENTS + 19}"
    assert (last.events[0].state, last.events[1].words) == ("requested", "step 0")
    assert len(made.report(1, "failed").events) == retrains.MOST_EVENTS + 1


def test_a_version_that_takes_over_ends_it_whatever_its_trainer_said(made: World) -> None:
    made.ask()
    with transaction(made.engine) as conn:
        live = retrains.live(conn, 1, 2, now_ms=NOW_MS, actor="api:token")
    assert live is not None and (live.state, live.is_open) == ("succeeded", False)
    assert [row.state for row in made.outbox()] == ["cancelled"]
    # Who registers first and reports then is right as well.
    assert made.report(1, "succeeded", version="2") == made.report(1, "succeeded") == live
    for state, version in (("succeeded", "7"), ("failed", None), ("running", None)):
        with pytest.raises(Conflict, match="request 1 is over, version 2 took over"):
            made.report(1, state, version=version)


def test_runs_are_followed_while_a_request_is_open(made: World) -> None:
    made.ask("a")
    made.ask("b", version=2)
    _accept(made, RUN)
    _accept(made, None, "b")  # a plain webhook: nothing to follow

    def due(at_ms: int) -> list[int]:
        with transaction(made.engine) as conn:
            return [one.id for one in retrains.to_follow(conn, at_ms, 10)]

    assert due(NOW_MS - 1) == [] and due(NOW_MS) == [1]
    with transaction(made.engine) as conn:
        retrains.look_again(conn, 1, NOW_MS + 5)
    assert due(NOW_MS) == [] and due(NOW_MS + 5) == [1]
    made.report(1, "failed")
    assert due(NOW_MS + 5) == []


def test_a_request_says_that_all_it_stands_on_was_withdrawn(made: World) -> None:
    made.ask(evidence={"incidents": [made.incident(1), made.incident(2)]})
    made.incident(3)

    def withdraw(number: int) -> list[int]:
        with transaction(made.engine) as conn:
            this = t.incident.c.number == number
            conn.execute(sa.update(t.incident).where(this).values(state="withdrawn"))
            return retrains.withdraw_basis(conn, [number], now_ms=NOW_MS)

    assert withdraw(3) == [] and withdraw(1) == []
    assert not made.one().basis_withdrawn
    assert withdraw(2) == [1]
    assert withdraw(2) == []  # said once
    one = made.one()
    assert one.basis_withdrawn and one.is_open
    assert one.events[-1].state == "basis_withdrawn"


def test_requests_are_listed_by_what_is_asked(made: World) -> None:
    made.ask("a", evidence={"incidents": [made.incident(5)]})
    made.report(1, "failed")
    made.ask("b")
    made.ask("c", version=2)

    def numbers(**asked: object) -> list[int]:
        with transaction(made.engine) as conn:
            return [one.id for one in retrain_rows.listed(conn, **asked)]  # type: ignore[arg-type]

    assert numbers() == [3, 2, 1]
    assert numbers(version="1") == [2, 1] and numbers(model="other") == []
    assert numbers(state="failed") == [1] and numbers(incident=5) == [1]
    assert numbers(only_open=True) == [3, 2]
    assert numbers(before=3, limit=1) == [2]


def test_the_request_that_is_nearest_in_event_time_is_found(made: World) -> None:
    made.ask("a")
    made.report(1, "failed")
    made.now_ms += 100_000 * HOUR_MS  # asked for by the clock, of a log of years before
    made.ask("b")
    with transaction(made.engine) as conn:

        def near(at_ms: int, is_dry_run: bool = False) -> int | None:
            return retrain_facts.asked_near_ms(conn, 1, at_ms, is_dry_run=is_dry_run)

        assert near(NOW_MS + 600 * HOUR_MS) == near(NOW_MS - HOUR_MS) == NOW_MS
        assert near(made.now_ms - HOUR_MS) == made.now_ms
        assert near(NOW_MS, is_dry_run=True) is None


def test_what_only_trains_gets_no_alerts(made: World) -> None:
    with transaction(made.engine) as conn:
        conn.execute(sa.update(t.endpoint).values(kind="airflow"))
        endpoints.add(conn, "people", "https://people.example", "whsec_x", now_ms=1)
        told = Message("msg_1", "alert_1", 1, "drift.detected", "{}")
        assert outbox.enqueue(conn, told, 10) == 1
        assert outbox.enqueue(conn, told, 10, to={1: None}) == 0
    assert made.ask() is not None
    assert [row.endpoint_id for row in made.outbox()] == [2, 1]


def test_a_policy_stands_until_it_is_set_otherwise_or_removed(made: World) -> None:
    policy = retraining_policies.Policy(open_days=3, dry_run=True)
    with transaction(made.engine) as conn:
        assert retraining_policies.put(conn, 1, policy, 1, now_ms=5)
        assert not retraining_policies.put(conn, 1, policy, 1, now_ms=6)
        standing = retraining_policies.policy_of(conn, "m")
        assert standing is not None and standing.trainer is not None
        assert (standing.policy, standing.updated_ms) == (policy, 5)
        assert retraining_policies.named_by(conn, 1) == ["m"]
        endpoints.remove(conn, 1, now_ms=7)
        standing = retraining_policies.policy_of(conn, "m")
        assert standing is not None and standing.trainer is None
        assert retraining_policies.remove(conn, 1)
        assert not retraining_policies.remove(conn, 1)
        assert retraining_policies.listed(conn) == []


def test_a_model_that_is_deleted_takes_its_policy_and_requests_with_it(made: World) -> None:
    made.ask(evidence={"incidents": [made.incident(5)]})
    with transaction(made.engine) as conn:
        models.archive(conn, "m", actor="a", now_ms=1)
    assert models.delete(made.engine, "m", actor="a", now_ms=1) is not None
    with transaction(made.engine) as conn:
        for table in (t.retraining, t.retrain, t.retrain_event, t.retrain_incident):
            assert conn.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0


def test_a_report_and_a_withdrawal_at_one_moment_wait_for_each_other(made: World) -> None:
    made.ask(evidence={"incidents": [made.incident(1, state="withdrawn")]})
    said: list[object] = []

    def report() -> None:
        try:
            said.append(made.report(1, "running").state)
        except Exception as error:
            said.append(error)

    thread = threading.Thread(target=report)
    with transaction(made.engine) as conn:
        assert retrains.withdraw_basis(conn, [1], now_ms=NOW_MS) == [1]
        thread.start()
        if conn.dialect.name == "postgresql":
            waits = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            deadline_s = time.monotonic() + 20
            while not conn.execute(waits).scalar():
                assert time.monotonic() < deadline_s
                time.sleep(0.01)
        # As an evaluator that tells of it then.
        outbox.enqueue(conn, Message("m", "a", 1, "drift.withdrawn", "{}"), NOW_MS)
    thread.join(30)
    assert said == ["running"]
