"""Versions are promoted over the real API, its client and its verbs: said, listed, refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import judged_world
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from judged_world import START_MS, World
from serving import served
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from driftline import ApiConflict, ApiError, Client
from driftline.stats.reference import Reference
from monitor.api.app import create_app
from monitor.cli.model import app as verbs
from monitor.clock import HeldClock
from monitor.storage import awaited_promotions
from monitor.storage import registry as registry_store
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.windows.panes import HOUR_MS

LOCAL = "http://127.0.0.1:8050"
PATH = "/api/v1/models/m/promotions"
# The pane of the last counted event.
LAST = "2024-01-02T23:00:00Z"


@pytest.fixture
def known(engine: Engine, reference: Reference) -> World:
    """Versions 1, 2 and 3 with a reference, two days of version 1, and `bare` without any."""
    world = judged_world.world_of(engine, reference)
    world.write(START_MS, 48)
    with transaction(engine) as conn:
        for version in ("2", "3"):
            registry_store.register_reference(conn, reference, model="m", version=version, now_ms=0)
        conn.execute(sa.insert(t.model_version).values(model_id=1, name="bare", created_ms=0))
    return world


@pytest.fixture
def api(known: World) -> Iterator[TestClient]:
    app = create_app(known.engine, with_dashboard=False, clock=HeldClock(known.now_ms))
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def server(known: World) -> Iterator[str]:
    with served(known.engine, HeldClock(known.now_ms)) as url:
        yield url


def audit(world: World) -> list[tuple[str, str, str]]:
    return [(row.actor, row.action, row.subject) for row in world.rows(t.audit)]


def test_a_version_is_promoted_once(api: TestClient, known: World) -> None:
    first = api.post(PATH, json={"version": "2"})
    assert first.status_code == 201
    assert first.json() == {
        "model": "m", "version": "2", "replaces": "1", "state": "live", "effective": LAST,
        "took_over": None, "source": "api", "by": "api:loopback",
        "at": datetime.fromtimestamp(known.now_ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        "created": True,
    }  # fmt: skip
    again = api.post(PATH, json={"version": "2", "replaces": "1"})
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert audit(known) == [("api:loopback", "model.promote", "m")]
    later = api.post(PATH, json={"version": "3", "effective": "2024-02-01T00:30:00Z"}).json()
    assert (later["replaces"], later["effective"]) == ("2", "2024-02-01T00:00:00Z")
    listed = api.get(PATH).json()["items"]
    assert [(one["version"], one["state"]) for one in listed] == [("3", "planned"), ("2", "live")]
    known.write(START_MS + 24 * 31 * HOUR_MS, 1)
    listed = api.get(PATH).json()["items"]
    assert [(one["version"], one["state"]) for one in listed] == [("3", "live"), ("2", "ended")]
    page = api.get(PATH, params={"limit": 1}).json()
    assert [one["version"] for one in page["items"]] == ["3"]
    rest = api.get(PATH, params={"limit": 1, "cursor": page["next"]}).json()
    assert [one["version"] for one in rest["items"]] == ["2"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"version": "9"}, 404, "no such version"),
        ({"version": "2", "replaces": "9"}, 404, "no such version"),
        ({"version": "bare"}, 409, "has no reference to be judged by"),
        ({"version": "2", "replaces": "2"}, 409, "cannot replace itself"),
        ({"version": "2", "effective": "2023-01-01T00:00:00Z"}, 409, "is not revised any more"),
        ({"version": "2", "effective": "2024-01-01T00:00:00"}, 422, "no offset"),
        ({"version": "2", "effective": "2300-01-01T00:00:00Z"}, 422, "out of range"),
        ({"version": "2", "effective": "soon"}, 422, "effective"),
        ({"version": ""}, 422, "version"),
        ({"version": 2}, 422, "version"),
        ({"version": "2", "since": LAST}, 422, "since"),
        ({}, 422, "version"),
    ],
)
def test_what_cannot_be_promoted_is_refused(
    api: TestClient, known: World, body: dict[str, Any], status: int, words: str
) -> None:
    found = api.post(PATH, json=body)
    assert found.status_code == status, found.text
    assert words in json.dumps(found.json())
    assert found.json()["mend"]
    assert known.rows(t.promotion) == [] and audit(known) == []


def test_two_versions_at_once_and_circles_are_refused(api: TestClient, known: World) -> None:
    api.post(PATH, json={"version": "2", "effective": "2024-02-01T00:00:00Z"})
    twice = api.post(PATH, json={"version": "3", "effective": "2024-02-01T00:59:00Z"})
    assert twice.status_code == 409
    assert "two versions cannot be promoted for one time" in twice.json()["detail"]
    circle = api.post(
        PATH, json={"version": "1", "replaces": "2", "effective": "2024-01-20T00:00:00Z"}
    )
    assert circle.status_code == 409
    assert "circle: 1, which is replaced by 2 from 2024-02-01" in circle.json()["detail"]
    assert len(known.rows(t.promotion)) == 1
    api.post("/api/v1/models/m/archive")
    archived = api.post(PATH, json={"version": "3"})
    assert (archived.status_code, "is archived" in archived.json()["detail"]) == (409, True)


def test_a_model_that_there_is_not_is_said(api: TestClient) -> None:
    for found in (
        api.get(PATH.replace("/m/", "/n/")),
        api.post(PATH.replace("/m/", "/n/"), json={"version": "2"}),
    ):
        assert (found.status_code, found.json()["title"]) == (404, "There is no such model")


def test_a_deleted_model_leaves_no_promotion(api: TestClient, known: World) -> None:
    api.post(PATH, json={"version": "2"})
    api.post("/api/v1/models/m/archive")
    assert api.delete("/api/v1/models/m").status_code == 200
    assert known.rows(t.promotion) == []


def test_registering_over_the_api_promotes_and_says_who(server: str, known: World) -> None:
    frame = judged_world.frame(START_MS, 24 * 28, 1)
    with Client(server) as client:
        client.register_reference("m", "4", frame, timestamp="at", categorical=("c",), replaces="1")
        (one,) = client.promotions("m")
        assert (one.version, one.replaces, one.source) == ("4", "1", "registration")
        assert audit(known) == [("api:loopback", "model.promote", "m")]
        with pytest.raises(ApiConflict, match="has no version '0'"):
            client.register_reference(
                "m", "5", frame, timestamp="at", categorical=("c",), replaces="0"
            )
    assert not known.rows(t.model_version, t.model_version.c.name == "5")


def test_the_sdk_promotes_and_tells(server: str) -> None:
    with Client(server) as client:
        made = client.promote("m", 2, effective=datetime(2024, 2, 1, tzinfo=UTC))
        assert (made.version, made.replaces, made.state, made.created) == (
            "2",
            "1",
            "planned",
            True,
        )
        assert client.promote("m", "2", effective="2024-03-01T00:00:00Z").created is False
        assert [one.version for one in client.promotions("m")] == ["2"]
        with pytest.raises(ApiError, match="no such version"):
            client.promote("m", "9")
        with pytest.raises(ApiConflict, match="no reference"):
            client.promote("m", "bare")


def test_the_verbs_promote_and_list(server: str, known: World) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(verbs, [*words, "--url", server])
        assert done.exit_code == 0, done.output + str(done.exception)
        return done.output.strip()

    assert run("promotions", "m").startswith("no version of m was promoted")
    line = f"version 2 {{}} from {LAST} on, instead of 1 (api:loopback)"
    assert run("promote", "m", "2") == "m: " + line.format("is live")
    assert run("promote", "m", "2") == "m: " + line.format("is live already:")
    assert run("promotions", "m") == line.format("live")
    assert json.loads(run("promotions", "m", "--json"))[0]["replaces"] == "1"
    assert json.loads(run("promote", "m", "2", "--json"))["created"] is False
    with transaction(known.engine) as conn:
        awaited_promotions.want(
            conn, model="m", version="7", source="mlflow", actor="mlflow:r", now_ms=known.now_ms
        )
    assert run("promotions", "m").splitlines() == [
        "version 7 pending: it has no reference yet (mlflow:r, 2025-02-04T00:00:00Z)",
        line.format("live"),
    ]
    assert json.loads(run("promotions", "m", "--json"))[0]["effective"] is None
    planned = run("promote", "m", "3", "--effective", "2024-02-01T00:00:00Z")
    assert planned.startswith("m: version 3 is planned from 2024-02-01T00:00:00Z on, instead of 2")
