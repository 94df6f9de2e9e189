"""Who has the token that only reads looks at everything, changes nothing, and is told so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from outbox_world import FAILED
from outbox_world import World as Outbox
from sqlalchemy.engine import Engine

from driftline.errors import ConfigError
from monitor.api.app import create_app
from monitor.api.sessions import Access, Session
from monitor.cli.access import access
from monitor.clock import HeldClock
from monitor.config import load
from monitor.storage import schema as t

TOKEN, READ = "a-token-of-more-than-20-characters", "another-one-that-reads-and-no-more"
LOCAL = "http://127.0.0.1:8050"
HERE = {"origin": LOCAL}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def world(engine: Engine) -> Outbox:
    """An endpoint that has answered something."""
    made = Outbox(engine)
    made.add("one")
    made.answers["one"] = FAILED
    made.tell()
    made.run()
    return made


@pytest.fixture
def app(world: Outbox) -> FastAPI:
    return create_app(
        world.engine, token=TOKEN, read_token=READ, clock=HeldClock(world.clock.now_ms())
    )


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=LOCAL, follow_redirects=False) as made:
        yield made


def writes(app: FastAPI) -> list[tuple[str, str]]:
    """Every method and path of the API that may change something."""
    paths: dict[str, Any] = app.openapi()["paths"]
    return [
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if method.upper() not in ("GET", "HEAD", "OPTIONS")
    ]


def test_it_changes_nothing_by_any_method_of_any_path(
    app: FastAPI, client: TestClient, world: Outbox
) -> None:
    asked = writes(app)
    assert len(asked) > 30
    reads = {"/api/v1/silences/preview", "/api/v1/models/{name}/monitor/backtest"}
    # What another service sends with a signature of its own needs no token of ours.
    signed = {path for _, path in asked if path.startswith("/api/v1/hooks/mlflow/")}
    for method, path in asked:
        if path in signed:
            continue
        said = client.request(method, path, headers=bearer(READ), json={})
        if path in reads:
            assert said.status_code in (404, 422), (method, path, said.text)
        else:
            assert said.status_code == 403, (method, path, said.status_code)
            assert said.json()["title"] == "This token only reads"
            assert "DRIFTLINE_TOKEN" in said.json()["mend"]
        # The other token goes on to what is asked there.
        assert client.request(method, path, headers=bearer(TOKEN), json={}).status_code != 403
    with world.engine.connect() as conn:
        actions = set(conn.execute(sa.select(t.audit.c.actor)).scalars())
    assert actions <= {"api:token"}


def test_a_model_whose_name_ends_as_what_only_reads_is_not_deleted(client: TestClient) -> None:
    path = "/api/v1/models/a/monitor/backtest"
    assert client.delete(path, headers=bearer(READ)).status_code == 403
    assert client.delete(path, headers=bearer(TOKEN)).status_code == 404


def test_it_reads_and_is_not_shown_what_other_machines_answered(client: TestClient) -> None:
    seen = client.get("/api/v1/deliveries/1", headers=bearer(TOKEN))
    assert seen.json()["tried"][0]["response"] == "oops"
    less = client.get("/api/v1/deliveries/1", headers=bearer(READ))
    assert less.status_code == 200
    assert less.json()["tried"][0]["response"] is None
    assert less.json()["tried"][0]["status"] == 500 and "oops" not in less.text
    # What one of them has is not said to be what the other would get.
    tag = seen.headers["etag"]
    again = client.get("/api/v1/deliveries/1", headers={**bearer(READ), "if-none-match": tag})
    assert again.status_code == 200
    assert client.get("/api/v1/models", headers=bearer(READ)).status_code == 200
    assert client.get("/metrics", headers=bearer(READ)).status_code == 200


def test_its_session_reads_pages_and_changes_nothing(client: TestClient) -> None:
    said = client.post("/login", data={"token": READ, "next": "/"}, headers=HERE)
    assert said.status_code == 303 and said.headers["location"] == "/"
    assert client.get("/").status_code == 200
    assert client.get("/api/v1/endpoints").json()["items"][0]["name"] == "one"
    refused = client.post("/api/v1/endpoints/one/disable", headers=HERE)
    assert refused.status_code == 403 and refused.json()["title"] == "This token only reads"
    # What pages ask of the dashboard is a POST, too.
    asked = client.post("/_dash-update-component", headers=HERE, json={})
    assert asked.status_code != 403


def test_a_session_is_renewed_as_what_it_was() -> None:
    both, cookie = Access(TOKEN, READ), Access(TOKEN, READ).seal(Session(1, 1, "viewer"))
    assert both.session(cookie, 2) == Session(1, 1, "viewer")
    # Without that token there is none of its sessions, and none becomes another's.
    assert Access(TOKEN).session(cookie, 2) is None
    assert Access(TOKEN, "a-third-token-of-20-characters").session(cookie, 2) is None
    forged = cookie.replace("1.1.1.", "1.1.2.")
    assert both.session(forged, 2) is None


def test_a_viewer_s_session_stays_one_when_it_is_renewed(world: Outbox) -> None:
    clock = HeldClock(world.clock.now_ms())
    made = create_app(world.engine, token=TOKEN, read_token=READ, with_dashboard=False, clock=clock)
    with TestClient(made, base_url=LOCAL, follow_redirects=False) as own:
        own.post("/login", data={"token": READ, "next": "/"}, headers=HERE)
        for _ in range(3):
            clock.advance(3_600)
            assert "set-cookie" in own.get("/api/v1/models").headers
        assert own.post("/api/v1/endpoints/one/disable", headers=HERE).status_code == 403


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"DRIFTLINE_READ_TOKEN": READ}, "a token of those who may change something, too"),
        ({"DRIFTLINE_READ_TOKEN": TOKEN, "DRIFTLINE_TOKEN": TOKEN}, "another one"),
        ({"DRIFTLINE_READ_TOKEN": "short", "DRIFTLINE_TOKEN": TOKEN}, "20 to 500 characters"),
    ],
)
def test_what_cannot_be_its_token_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        access(load({}), given)
    assert not any(each in str(caught.value) for each in given.values())


def test_its_token_is_found_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "read"
    file.write_text(READ + "\n")
    named = load({}, options={"web.read_token_file": str(file)})
    given = {"DRIFTLINE_TOKEN": TOKEN}
    assert access(load({}), given).read_token is None
    for found in (access(named, given), access(load({}), {**given, "DRIFTLINE_READ_TOKEN": READ})):
        assert found.read_token == READ and READ not in repr(found)
