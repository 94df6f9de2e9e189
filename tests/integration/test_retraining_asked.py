"""The live evaluator asks for a retraining once, when the days say so and nothing holds it back."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from judged_world import START_MS, World
from sqlalchemy.engine import Engine

from driftline.webhooks import new_secret
from monitor.detect.retraining import Policy
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.evaluate.retraining import consider
from monitor.storage import (
    endpoints,
    promotions,
    registry,
    retrain_rows,
    retraining_policies,
    retrains,
    service_incidents,
)
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.retrain_rows import Retrain
from monitor.windows.calendar import DAY_MS

pytestmark = pytest.mark.both_databases

CALM = 10
# The first window that ends critical twice: two days after the drift began.
OPENS = CALM + 2


class Asking:
    """A world of whole days, judged at the end of each, with a policy."""

    def __init__(self, world: World, policy: Policy | None = None) -> None:
        self.world, self.day = world, 0
        self.policy = policy or Policy()
        with transaction(world.engine) as conn:
            made, _ = endpoints.add(
                conn, "trainer", "https://train.example/in", new_secret(), now_ms=1
            )
            self.endpoint = made.id
        self.set(self.policy)
        self.days(CALM)

    def set(self, policy: Policy) -> None:
        with transaction(self.world.engine) as conn:
            model_id = conn.execute(sa.select(t.model.c.id)).scalar_one()
            retraining_policies.put(conn, model_id, policy, self.endpoint, now_ms=1)

    def days(self, count: int, *, judged: bool = True, **changed: Any) -> None:
        for _ in range(count):
            self.world.write(START_MS + self.day * DAY_MS, 24, seed=100 + self.day, **changed)
            self.day += 1
            if judged:
                self.judge()

    def judge(self, *, tells: bool = True) -> None:
        settings = EvaluateSettings(
            "", stalled_after_s=60.0, web_url="https://drift.example", tells=tells
        )
        Evaluator(self.world.engine, settings, now_ms=lambda: self.world.now_ms).step()

    def asked(self) -> list[Retrain]:
        with reading(self.world.engine) as conn:
            return retrain_rows.listed(conn)[::-1]

    def messages(self, kind: str = "retrain.requested") -> list[Any]:
        return self.world.rows(t.outbox, t.outbox.c.type == kind)

    def now(self) -> tuple[str, str]:
        """What the policy says at the last midnight, in words."""
        bound = registry.load(self.world.engine).versions["m", "1"]
        with reading(self.world.engine) as conn:
            standing = retraining_policies.policy_of(conn, "m")
            assert standing is not None
            at_ms = START_MS + self.day * DAY_MS
            found = consider(conn, bound, standing, at_ms, self.world.now_ms)
        return found.decision.verdict, "; ".join(found.decision.why)


@pytest.fixture
def asking(world: World) -> Asking:
    return Asking(world)


def test_critical_drift_on_five_days_asks_once_with_what_is_known(asking: Asking) -> None:
    asking.days(6, shift=1.5)
    assert asking.asked() == []
    assert "stood on 4 of the last 28 days, 5 are needed" in asking.now()[1]
    asking.days(1, shift=1.5)
    (one,) = asking.asked()
    assert one.event_ms == START_MS + (OPENS + 5) * DAY_MS
    assert one.summary == "critical drift (x) stood on 5 of the last 28 days"
    assert (one.origin, one.actor, one.state) == ("policy", "evaluator", "requested")
    (message,) = asking.messages()
    data = json.loads(message.body)["data"]
    assert message.endpoint_id == asking.endpoint
    assert (data["model"], data["version"], data["request_id"]) == ("m", "1", one.id)
    (incident,) = asking.world.rows(t.incident, t.incident.c.kind == "distribution")
    (alert,) = asking.world.rows(t.alert)
    assert data["incidents"] == [incident.number] and data["alert_ids"] == [alert.alert_id]
    evidence = data["evidence"]
    assert (evidence["open_days"], evidence["needed_days"], evidence["of_days"]) == (5, 5, 28)
    assert evidence["until"] == "2024-01-18T00:00:00Z" and evidence["timezone"] == "UTC"
    (drift,) = evidence["drifts"]
    assert drift["feature"] == "x" and drift["value"] > drift["limit"]
    # Day by day it stands, and is not asked for again.
    asking.days(3, shift=1.5)
    assert len(asking.asked()) == len(asking.messages()) == 1


def test_another_look_and_another_evaluator_ask_for_nothing_again(asking: Asking) -> None:
    asking.days(7, shift=1.5)
    with transaction(asking.world.engine) as conn:
        retrains.report(conn, 1, "failed", actor="a", now_ms=1)
        # A policy without any brake, and a cursor that was set back: the key alone is left.
        conn.execute(sa.update(t.retrain).values(event_ms=0))
        conn.execute(
            sa.update(t.evaluator_cursor).values(
                epoch=t.evaluator_cursor.c.epoch + 1,
                watermark_ms=t.evaluator_cursor.c.watermark_ms - DAY_MS,
            )
        )
    asking.judge()
    assert len(asking.asked()) == 1 and len(asking.messages()) == 1


def test_a_database_that_was_restored_asks_under_the_same_id(asking: Asking) -> None:
    asking.days(7, shift=1.5)
    (first,) = asking.messages()
    # As it was the day before: nothing was asked, and the day is judged again.
    with transaction(asking.world.engine) as conn:
        for table in (t.retrain_event, t.retrain_incident, t.retrain, t.outbox):
            conn.execute(sa.delete(table))
        conn.execute(
            sa.update(t.evaluator_cursor).values(
                epoch=t.evaluator_cursor.c.epoch + 1,
                watermark_ms=t.evaluator_cursor.c.watermark_ms - DAY_MS,
            )
        )
    asking.judge()
    (again,) = asking.messages()
    assert again.webhook_id == first.webhook_id


def test_what_if_a_replay_and_a_log_that_is_caught_up_on_ask_for_nothing(world: World) -> None:
    asking = Asking(world)
    asking.days(8, shift=1.5, judged=False)
    asking.judge(tells=False)
    assert asking.asked() == []
    with transaction(world.engine) as conn:
        conn.execute(
            sa.update(t.evaluator_cursor).values(
                epoch=t.evaluator_cursor.c.epoch + 1,
                watermark_ms=START_MS,
                rejudge_from_ms=START_MS,
            )
        )
    asking.judge()
    assert asking.asked() == []
    asking.days(1, shift=1.5)
    assert len(asking.asked()) == 1


def test_weeks_that_are_caught_up_on_are_asked_for_by_how_they_end(world: World) -> None:
    asking = Asking(world)
    # A stride of three weeks ends while it drifts.
    asking.days(25, shift=1.5, judged=False)
    asking.days(10, judged=False)
    asking.judge()
    assert world.rows(t.incident, t.incident.c.severity == "critical")
    assert asking.asked() == []  # it was over days ago


def test_missing_values_never_start_one_and_hold_it_while_they_are_critical(
    asking: Asking,
) -> None:
    asking.days(9, missing=0.5)
    assert asking.asked() == []
    assert {row.kind for row in asking.world.rows(t.incident)} == {"missing"}
    assert asking.now()[0] == "nothing"


def test_open_critical_missing_values_hold_it(asking: Asking) -> None:
    asking.days(9, shift=1.5, missing=0.5)
    assert asking.asked() == []
    verdict, why = asking.now()
    assert verdict == "held"
    (missing,) = asking.world.rows(t.incident, t.incident.c.kind == "missing")
    assert why == f"incident {missing.number} is open: x, missing"
    asking.days(4, shift=1.5)  # mended
    assert len(asking.asked()) == 1


def test_windows_that_may_lack_records_do_not_count(asking: Asking) -> None:
    with transaction(asking.world.engine) as conn:
        conn.execute(
            sa.insert(t.data_gap).values(
                stream_id=1, partition=0, kind="retention", from_offset=1, to_offset=2,
                from_ms=START_MS + OPENS * DAY_MS, to_ms=START_MS + (OPENS + 6) * DAY_MS - 1,
                created_ms=1,
            )
        )  # fmt: skip
    asking.days(9, shift=1.5)
    assert asking.asked() == []
    assert asking.now()[0] == "nothing"
    (incident,) = asking.world.rows(t.incident, t.incident.c.kind == "distribution")
    assert incident.severity == "critical"
    asking.days(4, shift=1.5)
    assert len(asking.asked()) == 1


@pytest.mark.parametrize("closed_by", ["idle", "hold"])
def test_windows_that_no_event_closed_do_not_count(asking: Asking, closed_by: str) -> None:
    asking.days(6, shift=1.5)
    with transaction(asking.world.engine) as conn:
        conn.execute(
            sa.update(t.window)
            .where(t.window.c.start_ms >= START_MS + (CALM + 1) * DAY_MS)
            .values(closed_by=closed_by)
        )
    asking.days(2, shift=1.5)
    assert asking.asked() == []
    asking.days(4, shift=1.5)
    assert len(asking.asked()) == 1


def test_missing_values_that_are_a_warning_hold_nothing(asking: Asking) -> None:
    asking.days(7, shift=1.5, missing=0.05)
    rows = asking.world.rows(t.incident, t.incident.c.kind == "missing")
    assert {(row.severity, row.state) for row in rows} == {("warning", "firing")}
    assert len(asking.asked()) == 1


def test_what_still_stands_after_the_cool_down_is_asked_for_again(world: World) -> None:
    asking = Asking(world, Policy(cooldown_days=4))
    asking.days(7, shift=1.5)
    with transaction(world.engine) as conn:
        retrains.report(conn, 1, "failed", actor="a", now_ms=world.now_ms)
    asking.days(3, shift=1.5)
    assert len(asking.asked()) == 1
    assert asking.now() == (
        "held",
        "the last request was 3 days ago, the cool-down is 4 days",
    )
    asking.days(1, shift=1.5)
    first, second = asking.asked()
    assert second.event_ms - first.event_ms == 4 * DAY_MS and second.key != first.key
    assert len(asking.messages()) == 2


def test_an_open_request_and_a_spent_budget_hold_it(world: World) -> None:
    asking = Asking(world, Policy(cooldown_days=0, daily_budget=1))
    asking.days(8, shift=1.5)
    assert asking.now() == (
        "held",
        "request 1 is requested; 1 request in the last 24 hours, the budget is 1",
    )
    with transaction(world.engine) as conn:
        retrains.report(conn, 1, "failed", actor="a", now_ms=world.now_ms)
    asking.days(1, shift=1.5)
    assert len(asking.asked()) == 1
    world.now_ms += DAY_MS
    asking.days(1, shift=1.5)
    assert len(asking.asked()) == 2


def test_a_trainer_that_is_disabled_holds_it(asking: Asking) -> None:
    with transaction(asking.world.engine) as conn:
        endpoints.disable(conn, asking.endpoint, "for a while", now_ms=1)
    asking.days(8, shift=1.5)
    assert asking.now() == ("held", "trainer trainer is disabled: enable it first")
    with transaction(asking.world.engine) as conn:
        endpoints.enable(conn, asking.endpoint)
    asking.days(1, shift=1.5)
    assert len(asking.messages()) == 1


def test_a_dry_run_writes_down_what_it_would_ask_for(world: World) -> None:
    asking = Asking(world, Policy(dry_run=True))
    asking.days(9, shift=1.5)
    (one,) = asking.asked()
    assert one.is_dry_run and not one.is_open and asking.messages() == []
    # It is nobody's cool-down but its own.
    asking.set(Policy())
    asking.days(1, shift=1.5)
    assert [one.is_dry_run for one in asking.asked()] == [True, False]


def test_a_policy_that_is_off_or_gone_asks_for_nothing(world: World) -> None:
    asking = Asking(world, Policy(enabled=False))
    asking.days(8, shift=1.5)
    assert asking.now() == ("nothing", "the policy is switched off")
    with transaction(world.engine) as conn:
        retraining_policies.remove(conn, 1)
    asking.days(1, shift=1.5)
    assert asking.asked() == []


def test_late_events_that_take_the_basis_away_are_told_with_the_request(asking: Asking) -> None:
    asking.days(7, shift=1.5)
    (one,) = asking.asked()
    # Ten times as many ordinary rows come late for every drifted day.
    for day in range(CALM, asking.day):
        for again in range(12):
            asking.world.write(
                START_MS + day * DAY_MS, 24, seed=1_000 + 20 * day + again, partition=0
            )
    asking.judge()
    assert {row.state for row in asking.world.rows(t.incident)} == {"withdrawn"}
    (one,) = asking.asked()
    assert one.basis_withdrawn and one.is_open
    assert one.events[-1].state == "basis_withdrawn"
    (told,) = asking.messages("drift.withdrawn")
    assert json.loads(told.body)["data"]["retrains"] == [one.id]


def test_two_evaluators_that_judge_the_same_day_ask_once(asking: Asking) -> None:
    asking.days(6, shift=1.5)
    asking.days(1, shift=1.5, judged=False)
    engine: Engine = asking.world.engine
    settings = EvaluateSettings("", stalled_after_s=60.0)
    both = [Evaluator(engine, settings, now_ms=lambda: asking.world.now_ms) for _ in range(2)]
    for one in both:
        one.step()
    assert len(asking.asked()) == len(asking.messages()) == 1


def test_a_broken_pipeline_and_a_version_that_took_over_hold_it(asking: Asking) -> None:
    engine = asking.world.engine
    with transaction(engine) as conn:
        service_incidents.begin(
            conn, "pipeline", "stalled t", name="t", summary="t: nobody counts it", now_ms=1
        )
        registry.register_reference(conn, asking.world.reference, model="m", version="2", now_ms=1)
    asking.days(8, shift=1.5)
    assert asking.now() == ("held", "the pipeline is broken: t: nobody counts it")
    with transaction(engine) as conn:
        service_incidents.end(conn, "pipeline", "stalled t", "recovered", now_ms=2)
        promotions.promote(
            conn, model="m", version="2", replaces="1", now_ms=2, source="api", actor="a"
        )
    asking.days(1, shift=1.5)
    assert asking.now() == ("held", "version 2 took over")
    assert asking.asked() == []
