"""Retraining over HTTP: policies, requests, reports; what cannot be is a clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from retrain_world import World
from sqlalchemy.engine import Engine

from monitor.api.app import create_app
from monitor.storage import endpoints, retrains
from monitor.storage import schema as t
from monitor.storage.engine import transaction

BASE = "/api/v1"
POLICY = {
    "model": "m", "trainer": "trainer", "kind": "webhook", "enabled": True, "open_days": 5,
    "of_days": 28, "cooldown_days": 28, "daily_budget": 10, "answer_within_hours": 96,
    "dry_run": False,
}  # fmt: skip


@pytest.fixture
def made(engine: Engine) -> World:
    world = World(engine)
    with transaction(engine) as conn:
        for name, kind in (("slack", "slack"), ("mail", "smtp"), ("dag", "airflow")):
            endpoints.add(
                conn, name, f"https://{name}.example", "whsec_x", now_ms=1, kind=kind,
                settings={},
            )  # fmt: skip
    return world


@pytest.fixture
def api(made: World) -> Iterator[TestClient]:
    app = create_app(made.engine, with_dashboard=False, public_url="https://drift.example")
    headers = {"host": "127.0.0.1"}
    with TestClient(app, base_url="http://127.0.0.1:8050", headers=headers) as client:
        yield client


def audit(made: World) -> list[tuple[str, str, dict[str, Any]]]:
    with made.engine.connect() as conn:
        rows = conn.execute(sa.select(t.audit).order_by(t.audit.c.id))
        return [(row.action, row.subject, json.loads(row.detail)) for row in rows]


def problem(response: Any, status: int, *words: str) -> None:
    assert response.status_code == status, response.text
    said = response.json()
    assert said["mend"]
    text = f"{said['title']} {said.get('detail')} {said['mend']}"
    assert all(word in text for word in words), text


def test_a_policy_is_set_read_and_removed_and_audited(made: World, api: TestClient) -> None:
    path = f"{BASE}/models/m/retraining"
    answer = api.get(path)
    assert {k: v for k, v in answer.json().items() if k != "updated"} == POLICY
    changed = {"trainer": "dag", "open_days": 3, "dry_run": True}
    for _ in range(2):  # again changes nothing
        said = api.put(path, json=changed).json()
        assert {k: said[k] for k in changed} == changed and said["kind"] == "airflow"
    assert api.delete(path).json() == {"model": "m"}
    problem(api.get(path), 404, "no retraining policy", "PUT /api/v1/models/{model}/retraining")
    problem(api.delete(path), 404, "no retraining policy")
    assert [(action, subject) for action, subject, _ in audit(made)] == [
        ("retraining.set", "m"),
        ("retraining.remove", "m"),
    ]
    assert audit(made)[0][2]["open_days"] == 3


def test_a_policy_that_cannot_be_is_refused(made: World, api: TestClient) -> None:
    path = f"{BASE}/models/m/retraining"
    problem(
        api.put(f"{BASE}/models/x/retraining", json={"trainer": "trainer"}),
        404,
        "no such model",
        "'x'",
    )
    problem(
        api.put(path, json={"trainer": "trayner"}), 404, "no such endpoint", "did you mean trainer"
    )
    for name, kind in (("slack", "slack"), ("mail", "smtp")):
        found = api.put(path, json={"trainer": name})
        problem(found, 422, f"{name} is of kind {kind}", "webhook, airflow, databricks or github")
    never = {"trainer": "trainer", "open_days": 9, "of_days": 7}
    problem(api.put(path, json=never), 422, "9 of the last 7 days are not possible")
    for body in ({}, {"trainer": "trainer", "open_days": 0}, {"trainer": "trainer", "x": 1}):
        problem(api.put(path, json=body), 422)
    assert audit(made) == []


def test_a_retraining_is_asked_for_by_hand_and_reported(made: World, api: TestClient) -> None:
    asked = api.post(f"{BASE}/models/m/retrains", json={"version": "1", "reason": "so", "by": "Mo"})
    assert asked.status_code == 201
    one, says = asked.json()["request"], asked.json()["policy"]
    assert (one["state"], one["origin"], one["actor"], one["summary"]) == (
        "requested", "asked", "Mo", "so",
    )  # fmt: skip
    assert says["verdict"] == "nothing" and "no critical drift is open" in says["why"][0]
    (row,) = made.outbox()
    data = json.loads(row.body)["data"]
    assert data["request_id"] == one["id"] and data["reason"] == "so"
    assert data["report_url"] == f"https://drift.example/api/v1/retrains/{one['id']}"
    again = api.post(f"{BASE}/models/m/retrains", json={"version": "1"})
    problem(again, 409, f"request {one['id']} for m 1 is requested", "report it failed")
    report = f"{BASE}/retrains/{one['id']}"
    said = api.post(report, json={"state": "running", "message": "fold 1"}).json()
    assert (said["state"], said["events"][-1]["words"]) == ("running", "fold 1")
    assert api.post(report, json={"state": "running", "message": "fold 1"}).json() == said
    done = api.post(report, json={"state": "succeeded", "version": "2"}).json()
    assert (done["made_version"], done["is_open"], done["live"]) == ("2", True, None)
    assert api.get(report).json() == done
    assert [name for name, *_ in audit(made)] == [
        "retrain.ask", "retrain.report", "retrain.report",
    ]  # fmt: skip


def test_a_request_asked_for_by_hand_leads_to_where_it_was_asked(made: World) -> None:
    app = create_app(made.engine, with_dashboard=False)  # no web.url, and another port
    with TestClient(app, base_url="http://127.0.0.1:9000") as client:
        one = client.post(f"{BASE}/models/m/retrains").json()["request"]
        data = json.loads(made.outbox()[0].body)["data"]
        assert one["url"] == data["url"] == f"http://127.0.0.1:9000/retrains/{one['id']}"
        assert client.get(data["report_url"]).json()["id"] == one["id"]


def test_a_report_that_cannot_be_is_refused(made: World, api: TestClient) -> None:
    made.ask()
    report = f"{BASE}/retrains/1"
    problem(
        api.post(f"{BASE}/retrains/99", json={"state": "running"}),
        404,
        "no such retraining request",
        "'99'",
    )
    problem(api.get(f"{BASE}/retrains/99"), 404, "GET /api/v1/retrains lists")
    problem(api.post(report, json={"state": "expired"}), 422)
    problem(api.post(report, json={"state": "finished"}), 422)
    problem(api.post(report, json={}), 422)
    problem(api.post(report, json={"state": "running", "run_url": "javascript:alert(1)"}), 422)
    for words in ({"run_url": "https://a/\0"}, {"version": "4\0"}, {"version": "\u202e4"}):
        problem(api.post(report, json={"state": "running", **words}), 422, "can be seen")
    api.post(report, json={"state": "succeeded"})
    problem(api.post(report, json={"state": "running"}), 409, "succeeded already")
    api.post(report, json={"state": "failed"})
    problem(api.post(report, json={"state": "succeeded"}), 409, "request 1 is over, it failed")


def test_a_training_may_say_anything_and_no_nul_is_kept_of_it(made: World, api: TestClient) -> None:
    asked = api.post(f"{BASE}/models/m/retrains", json={"version": "1", "reason": "a\0b"})
    assert asked.json()["request"]["summary"] == "a\ufffdb"
    said = api.post(f"{BASE}/retrains/1", json={"state": "failed", "message": "died\0\n"})
    assert said.json()["events"][-1]["words"] == "died\ufffd\n"
    problem(
        api.post(f"{BASE}/models/m/retrains", json={"version": "1", "by": "a\0b"}),
        422,
        "one line of printable characters",
    )


def test_of_a_training_that_tells_of_every_step_no_more_is_audited_than_kept(
    made: World, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrains, "MOST_EVENTS", 5)
    made.ask()
    for step in range(20):
        said = api.post(f"{BASE}/retrains/1", json={"state": "running", "message": f"step {step}"})
    assert [one["words"] for one in said.json()["events"]][-1] == "step 19"
    assert len(audit(made)) == 4  # it was asked before the first of them
    assert len(said.json()["events"]) == 5


def test_a_dry_run_shows_what_would_be_sent_and_changes_nothing(
    made: World, api: TestClient
) -> None:
    found = api.post(f"{BASE}/models/m/retrains", json={"dry_run": True, "reason": "why not"})
    assert found.json()["request"] is None
    message = found.json()["message"]
    assert message["type"] == "retrain.requested"
    data = message["data"]
    assert (data["model"], data["version"], data["reason"]) == ("m", "2", "why not")
    assert data["dry_run"] is True and data["request_id"] is data["report_url"] is None
    assert made.outbox() == [] and audit(made) == []
    assert api.get(f"{BASE}/retrains").json()["items"] == []


def test_what_nobody_can_be_asked_for_is_refused(made: World, api: TestClient) -> None:
    path = f"{BASE}/models/m/retrains"
    problem(api.post(f"{BASE}/models/x/retrains", json={}), 404, "no such model", "'x'")
    problem(api.post(path, json={"version": "9"}), 404, "no such version", "'9'")
    with transaction(made.engine) as conn:
        endpoints.disable(conn, 1, "for a while", now_ms=2)
    problem(api.post(path), 409, "trainer trainer is disabled")
    with transaction(made.engine) as conn:
        endpoints.remove(conn, 1, now_ms=2)
    problem(api.post(path), 409, "was removed", "names another trainer")
    assert api.get(f"{BASE}/models/m/retraining").json()["trainer"] is None
    api.delete(f"{BASE}/models/m/retraining")
    problem(api.post(path), 404, "no retraining policy")
    api.put(f"{BASE}/models/m/retraining", json={"trainer": "dag"})
    api.post(f"{BASE}/models/m/archive")
    problem(api.post(path), 409, "archived", "unarchive")
    assert made.outbox() == []


def test_requests_are_listed_in_pages(made: World, api: TestClient) -> None:
    for key, version in (("a", 1), ("b", 2)):
        made.ask(key, version, evidence={"incidents": [version]})
    path = f"{BASE}/retrains"

    def ids(query: str = "") -> list[int]:
        return [one["id"] for one in api.get(f"{path}{query}").json()["items"]]

    assert ids() == [2, 1] and ids("?model=m&version=1") == [1]
    assert ids("?incident=2") == [2] and ids("?state=failed") == []
    first = api.get(f"{path}?limit=1").json()
    assert [one["id"] for one in first["items"]] == [2]
    assert ids(f"?limit=1&cursor={first['next']}") == [1]
    problem(api.get(f"{path}?state=done"), 422)
    problem(api.get(f"{path}?model=x"), 404, "no such model", "'x'")
    same = api.get(path, headers={"If-None-Match": api.get(path).headers["etag"]})
    assert same.status_code == 304
