"""The page of deliveries says where alerts go, what arrived, and what was tried in vain."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from outbox_world import FAILED, World
from sqlalchemy.engine import Engine

from monitor.alerts.schedule import Answer
from monitor.api.app import create_app
from monitor.storage import schema as t


@pytest.fixture
def site(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine)
    with TestClient(app, base_url="http://127.0.0.1:8050") as client:
        yield client


def page(site: TestClient, search: str = "") -> str:
    """Return the first answer of the page, filled as for a browser whose screen is known."""
    site.cookies.set("driftline-screen", "%7B%22scheme%22%3A%22light%22%7D")
    found = site.get(
        "/_dash-layout", headers={"referer": f"http://127.0.0.1:8050/deliveries{search}"}
    )
    assert found.status_code == 200
    return json.dumps(found.json(), ensure_ascii=False)


def test_it_says_what_arrived_and_what_was_tried_in_vain(engine: Engine, site: TestClient) -> None:
    assert "Alerts go nowhere yet" in page(site)
    world = World(engine)
    world.add("one", "two")
    world.tell()
    world.run()
    assert "Everything has arrived" in page(site)
    world.answers["one"] = FAILED
    world.tell(1, "b")
    world.run()
    said = page(site)
    assert "it answered 500" in said
    assert "1\xa0message waiting" in said
    assert "driftline delivery redeliver 3" in page(site, "?delivery=3")
    assert "There is no delivery 99" in page(site, "?delivery=99")
    world.answers["one"] = Answer(status=410)
    world.tell(1, "c")
    world.run()
    said = page(site)
    assert "1\xa0endpoint switched off" in said
    assert "Endpoint one was disabled: it answered 410 Gone" in said


def test_an_address_that_is_a_secret_is_not_shown(engine: Engine, site: TestClient) -> None:
    from driftline.webhooks import new_secret
    from monitor.storage import endpoints
    from monitor.storage.engine import transaction

    with transaction(engine) as conn:
        url = "https://hooks.slack.com/services/T024BE7LD/B0AG3N/x8fhKq3sPwoL29dka0PqLwZe"
        endpoints.add(conn, "chat", url, new_secret(), now_ms=1)
    said = page(site)
    assert "hooks.slack.com/services/T02***" in said and "x8fhKq3sPwo" not in said


def test_a_trainer_gets_no_alerts_and_what_it_starts_is_said(
    engine: Engine, site: TestClient
) -> None:
    from monitor.storage import endpoints
    from monitor.storage.engine import transaction

    with transaction(engine) as conn:
        endpoints.add(
            conn, "trains", "https://airflow.example", "password", now_ms=1, kind="airflow",
            settings={"dag": "retrain_flights", "user": "drift"},
        )  # fmt: skip
    said = page(site)
    assert "requests for a retraining, and starts DAG retrain_flights" in said
    assert "every alert" not in said and "password" not in said
    assert "Alerts go nowhere yet" in said
    World(engine).add("one")
    assert "Alerts go nowhere yet" not in page(site)


def test_it_says_which_routes_lead_where_and_how_often_they_repeat(
    engine: Engine, site: TestClient
) -> None:
    from monitor.detect.routes import Route
    from monitor.storage import routes
    from monitor.storage.engine import transaction

    World(engine).add("one", "two")
    with transaction(engine) as conn:
        made = sa.insert(t.model).values(name="m", timezone="UTC", created_ms=1)
        model = conn.execute(made.returning(t.model.c.id)).scalar_one()
        way = Route(("*",), "warning", (1,), repeat_hours=24)
        routes.put(conn, model, "night", way, now_ms=1)
    said = page(site)
    assert "m night (again every 24 h)" in said
    assert "every alert of models without a route" in said
