"""Trainers are added, told without what opens them, refused with why, and take no routes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from trainer_servers import Airflow, serving
from typer.testing import CliRunner

from driftline import Client
from driftline.errors import InvalidEndpoint
from monitor.alerts import ways_of
from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.guard import networks
from monitor.api.app import create_app
from monitor.cli.endpoint import app as verbs
from monitor.clock import SystemClock
from monitor.storage import endpoints
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction

LOCAL = "http://127.0.0.1:8050"
ALLOWED = networks("127.0.0.1/32,10.0.0.0/8")
PASSWORD, TOKEN = "pass word of drift", "dapi0123456789abcdef"
AIRFLOW = {
    "kind": "airflow", "url": "https://airflow.firm.example/ops", "secret": PASSWORD,
    "airflow": {"dag": "retrain_flights", "user": "drift"},
}  # fmt: skip
DATABRICKS = {
    "kind": "databricks", "url": "https://dbc-1.cloud.databricks.com", "secret": TOKEN,
    "databricks": {"job": 77, "parameters": {"report": "{report_url}"}},
}  # fmt: skip
GITHUB = {
    "kind": "github", "url": "https://api.github.com", "secret": TOKEN,
    "github": {"repository": "acme/models"},
}  # fmt: skip


@pytest.fixture
def api(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, alerts_allow=ALLOWED)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def add(api: TestClient, body: dict[str, Any], **more: Any) -> Any:
    return api.post("/api/v1/endpoints", json={"name": "trains", **body, **more})


@pytest.mark.parametrize(
    ("body", "starts", "settings"),
    [
        (AIRFLOW, "DAG retrain_flights", {"dag": "retrain_flights", "user": "drift"}),
        (DATABRICKS, "job 77", {"job": 77, "parameters": {"report": "{report_url}"}}),
        (
            GITHUB, "driftline-retrain of acme/models",
            {"repository": "acme/models", "event": "driftline-retrain"},
        ),
    ],
)  # fmt: skip
def test_each_trainer_is_added_once_and_its_secret_told_never(
    api: TestClient, engine: Engine, body: dict[str, Any], starts: str, settings: dict[str, Any]
) -> None:
    first, again = add(api, body), add(api, body)
    assert first.status_code == 201, first.text
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    one = api.get("/api/v1/endpoints/trains")
    assert (one.json()["kind"], one.json()["starts"]) == (body["kind"], starts)
    assert one.json()["fingerprint"]
    for said in (first, again, one, api.get("/api/v1/endpoints")):
        assert PASSWORD not in said.text and TOKEN not in said.text
    with reading(engine) as conn:
        [made] = endpoints.endpoints(conn)
        written = [row.detail for row in conn.execute(sa.select(t.audit))]
    assert made.settings == settings and made.is_trainer
    assert written and not any(TOKEN in (row or "") or PASSWORD in (row or "") for row in written)
    new = api.post("/api/v1/endpoints/trains/rotate", json={"secret": "another-secret"})
    assert (new.status_code, new.json()["rotating_until"]) == (200, None)
    assert "another-secret" not in new.text
    assert api.post("/api/v1/endpoints/trains/rotate", json={}).status_code == 422


@pytest.mark.parametrize(
    ("body", "more", "words"),
    [
        (AIRFLOW, {"airflow": None}, "which DAG it starts"),
        (AIRFLOW, {"airflow": {"dag": "a/b"}}, "no DAG's id"),
        (AIRFLOW, {"airflow": {"dag": "d", "user": "a:b"}}, "no Airflow user"),
        (AIRFLOW, {"airflow": {"dag": "d", "airflow": "1"}}, "airflow"),
        (AIRFLOW, {"secret": None}, "password as the secret"),
        (AIRFLOW, {"secret": None, "airflow": {"dag": "d"}}, "or a token without a user"),
        (AIRFLOW, {"secret": "a b", "airflow": {"dag": "d"}}, "or a token without a user"),
        (AIRFLOW, {"url": "https://airflow.firm.example/api/v2"}, "before /api"),
        (AIRFLOW, {"url": "https://airflow.firm.example/?x=y"}, "no ?query"),
        (AIRFLOW, {"url": "https://drift:pw@airflow.firm.example"}, "credentials"),
        (AIRFLOW, {"url": "https://192.168.0.1"}, "alerts.allow"),
        (AIRFLOW, {"url": "ftp://airflow.firm.example"}, "http://"),
        (DATABRICKS, {"databricks": None}, "which job it runs"),
        (DATABRICKS, {"databricks": {"job": 0}}, "job"),
        (DATABRICKS, {"databricks": {"job": "train"}}, "job"),
        (DATABRICKS, {"databricks": {"job": 1, "parameters": {"a b": "c"}}}, "no job parameter"),
        (
            DATABRICKS, {"databricks": {"job": 1, "parameters": {"a": "{modle}"}}},
            "nothing fills {modle}",
        ),
        (DATABRICKS, {"secret": None}, "a token as the secret"),
        (DATABRICKS, {"secret": "two words"}, "a token as the secret"),
        (DATABRICKS, {"secret": "line\r\nx-evil: 1"}, "a token as the secret"),
        (DATABRICKS, {"url": "https://dbc-1.cloud.databricks.com/jobs/77"}, "ends with its host"),
        (DATABRICKS, {"url": "http://dbc-1.cloud.databricks.com"}, "use https"),
        (GITHUB, {"github": None}, "which repository is told"),
        (GITHUB, {"github": {"repository": "models"}}, "owner/name"),
        (GITHUB, {"github": {"repository": "acme/.."}}, "owner/name"),
        (GITHUB, {"github": {"repository": "acme/models/x"}}, "owner/name"),
        (GITHUB, {"github": {"repository": "acme/models", "event": " "}}, "event's name"),
        (GITHUB, {"url": "https://github.com/acme/models"}, "https://api.github.com"),
        (GITHUB, {"url": "https://github.firm.example/api/v3/repos"}, "before /repos"),
        (GITHUB, {"secret": None}, "contents: write"),
        (GITHUB, {"airflow": {"dag": "d"}}, "of kind airflow starts is not of kind github"),
        ({"kind": "webhook", "url": "https://x.example"}, {"github": {"repository": "a/b"}},
         "is not of kind webhook"),
    ],
)  # fmt: skip
def test_what_no_trainer_can_have_is_refused_with_why(
    api: TestClient, body: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    said = add(api, body, **more)
    assert said.status_code == 422, said.text
    assert words in said.text
    assert api.get("/api/v1/endpoints").json()["items"] == []


def test_an_airflow_inside_over_plain_http_is_taken_and_warned_of(api: TestClient) -> None:
    said = add(api, AIRFLOW, url="http://10.0.0.7:8080")
    assert said.status_code == 201
    [warning] = said.json()["warnings"]
    assert "what opens it" in warning


def test_a_route_sends_no_alerts_to_a_trainer(api: TestClient, engine: Engine) -> None:
    with transaction(engine) as conn:
        conn.execute(sa.insert(t.model).values(name="m", timezone="UTC", created_ms=1))
    add(api, AIRFLOW)
    for events in (["drift"], ["*"], ["model.silent"]):
        said = api.put(
            "/api/v1/models/m/routes/r", json={"endpoints": ["trains"], "events": events}
        )
        assert said.status_code == 422
        assert f"requests for a retraining alone, no {events[0]}" in said.text
        assert "retraining policy" in said.text
    assert api.get("/api/v1/routes").json()["items"] == []
    add(api, {"name": "people", "url": "https://x.example"})
    said = api.put("/api/v1/models/m/routes/r", json={"endpoints": ["people"]})
    assert said.status_code == 200


@pytest.fixture
def served(engine: Engine) -> Iterator[str]:
    """The address of an API on a real socket."""
    app = create_app(engine, with_dashboard=False, alerts_allow=ALLOWED)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()


def run(url: str, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(verbs, [*words, "--url", url])
    assert done.exit_code == code, done.output + str(done.exception)
    return " ".join(done.output.split())


def test_the_verb_adds_each_trainer_and_lists_what_it_starts(
    served: str, engine: Engine, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{TOKEN}\n")
    run(
        served, "add", "flow", "https://airflow.firm.example", "--kind", "airflow", "--dag", "d",
        "--user", "drift", "--airflow", "2", "--secret", str(secret),
    )  # fmt: skip
    run(
        served, "add", "bricks", "https://dbc-1.cloud.databricks.com", "--kind", "databricks",
        "--job", "77", "--parameter", "report={report_url}", "--parameter", "x=a=b",
        "--secret", str(secret),
    )  # fmt: skip
    run(
        served, "add", "hub", "https://api.github.com", "--kind", "github", "--repository",
        "acme/models", "--event", "train", "--secret", str(secret),
    )  # fmt: skip
    listed = run(served, "list")
    for words in (
        "flow (airflow, enabled)",
        "starts DAG d",
        "starts job 77",
        "train of acme/models",
    ):
        assert words in listed
    assert TOKEN not in listed
    with reading(engine) as conn:
        found = {one.name: one.settings for one in endpoints.endpoints(conn)}
    assert found["flow"] == {"dag": "d", "user": "drift", "airflow": "2"}
    assert found["bricks"]["parameters"] == {"report": "{report_url}", "x": "a=b"}
    for more, words in (
        (["--job", "7"], "--job is of --kind databricks, not of airflow"),
        (["--parameter", "x"], "NAME=VALUE"),
    ):
        done = CliRunner().invoke(
            verbs, ["add", "no", "https://x.example", "--kind", "airflow", *more, "--url", served]
        )
        assert isinstance(done.exception, InvalidEndpoint) and words in str(done.exception)


def test_a_test_says_what_is_wrong_and_starts_nothing(
    served: str, engine: Engine, tmp_path: Path
) -> None:
    secret, airflow = tmp_path / "secret", Airflow()
    secret.write_text("right")
    stop = threading.Event()
    dispatcher = Dispatcher(engine, ways_of(ALLOWED), clock=SystemClock())

    def deliver() -> None:
        while not stop.wait(0.05):
            dispatcher.step()

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        with serving(airflow) as url, Client(served) as client:
            for name, dag in (("good", "retrain"), ("asleep", "paused"), ("none", "retrian")):
                client.add_endpoint(
                    name, url, kind="airflow", secret="right", trainer={"dag": dag, "user": "drift"}
                )
            assert "may start it" in run(served, "test", "good")
            assert "DAG paused is paused" in run(served, "test", "asleep", code=1)
            assert "knows no DAG retrian" in run(served, "test", "none", code=1)
            secret.write_text("wrong")
            run(served, "rotate", "good", "--secret", str(secret))
            assert "password is another" in run(served, "test", "good", code=1)
            assert airflow.runs == {}
    finally:
        stop.set()
        thread.join(10)
        assert dispatcher.finish(10)
