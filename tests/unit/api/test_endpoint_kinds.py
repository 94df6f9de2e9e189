"""Endpoints of each kind are added, told without what opens them, and refused with why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from monitor.alerts.guard import networks
from monitor.api.app import create_app
from monitor.cli.endpoint import app as verbs
from monitor.storage import endpoints
from monitor.storage.engine import reading

LOCAL = "http://127.0.0.1:8050"
KEY = "0123456789abcdef0123456789ABCDEF"
SLACK = "https://hooks.slack.com/services/T024BE7LD/B0AG3N/x8fhKq3sPwoL29dka0PqLwZe"
MAIL = {"from": "driftline@firm.example", "to": ["ml@firm.example"]}
DUTY = "https://events.pagerduty.com/v2/enqueue"


@pytest.fixture
def api(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, alerts_allow=networks("127.0.0.1/32"))
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


def add(api: TestClient, **body: Any) -> Any:
    return api.post("/api/v1/endpoints", json={"name": "one", **body})


@pytest.mark.parametrize(
    ("body", "shown", "hidden"),
    [
        ({"kind": "slack", "url": SLACK}, "hooks.slack.com", "x8fhKq3sPwo"),
        ({"kind": "pagerduty", "url": DUTY, "secret": KEY}, DUTY, KEY),
        ({"kind": "smtp", "url": "smtps://mail.firm.example", "mail": MAIL}, "smtps://mail", "?"),
        (
            {"kind": "smtp", "url": "smtp://mail.firm.example:25", "secret": "pass word",
             "mail": {**MAIL, "user": "me"}}, "smtp://mail", "pass word",
        ),
        (
            {"kind": "apprise", "url": "discord://123456789012345678/aB3dE6gH9aB3dE6gH9aB3dE6"},
            "discord://123***", "aB3dE6gH9",
        ),
    ],
)  # fmt: skip
def test_each_kind_is_added_once_and_its_secret_told_never(
    api: TestClient, body: dict[str, Any], shown: str, hidden: str
) -> None:
    first = add(api, **body)
    assert first.status_code == 201, first.text
    again = add(api, **body)
    assert (again.status_code, again.json()["is_new"]) == (200, False)
    one = api.get("/api/v1/endpoints/one")
    assert one.json()["kind"] == body["kind"]
    assert (one.json()["fingerprint"] is None) == ("secret" not in body)
    assert shown in one.json()["url"]
    for said in (first, again, one, api.get("/api/v1/endpoints")):
        assert hidden not in said.text
    other = add(api, url=body["url"], kind="smtp", mail={**MAIL, "to": ["x@firm.example"]})
    assert other.status_code in (409, 422)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "pigeon", "url": "https://x.example"}, "kind"),
        ({"kind": "slack", "url": "http://hooks.slack.com/services/T/B/x"}, "use https"),
        ({"kind": "slack", "url": SLACK, "secret": "whsec_x"}, "no secret but its address"),
        ({"kind": "slack", "url": "https://10.0.0.1/x"}, "alerts.allow"),
        ({"kind": "pagerduty", "url": DUTY}, "integration key"),
        ({"kind": "pagerduty", "url": DUTY, "secret": "short"}, "integration key"),
        ({"kind": "smtp", "url": "https://mail.firm.example", "mail": MAIL}, "smtp://"),
        ({"kind": "smtp", "url": "smtp://mail.firm.example"}, "who a mail is from"),
        ({"kind": "smtp", "url": "smtp://me:pw@mail.firm.example", "mail": MAIL}, "credentials"),
        ({"kind": "smtp", "url": "smtp://169.254.169.254", "mail": MAIL}, "link-local"),
        ({"kind": "smtp", "url": "smtp://mail.firm.example:80", "mail": MAIL}, "port 80"),
        ({"kind": "smtp", "url": "smtp://mail.firm.example/x", "mail": MAIL}, "name or its port"),
        (
            {"kind": "smtp", "url": "smtp://mail.firm.example",
             "mail": {**MAIL, "to": ["x@y\r\nBcc: z@y"]}}, "no mailbox",
        ),
        (
            {"kind": "smtp", "url": "smtp://mail.firm.example", "mail": {**MAIL, "to": []}}, "to",
        ),
        (
            {"kind": "smtp", "url": "smtp://mail.firm.example", "secret": "pw", "mail": MAIL},
            "go together",
        ),
        ({"kind": "webhook", "url": "https://x.example", "mail": MAIL}, "of kind smtp"),
        ({"kind": "apprise", "url": "pigeon://roof"}, "no service"),
        ({"kind": "apprise", "url": "json://x.example", "secret": "x"}, "no secret"),
        ({"kind": "webhook", "url": "smtp://mail.firm.example"}, "http://"),
    ],
)  # fmt: skip
def test_what_no_endpoint_of_a_kind_can_have_is_refused_with_why(
    api: TestClient, body: dict[str, Any], words: str
) -> None:
    said = add(api, **body)
    assert said.status_code == 422, said.text
    assert words in said.text
    assert api.get("/api/v1/endpoints").json()["items"] == []


def test_a_key_is_replaced_at_once_and_what_has_none_is_not(
    api: TestClient, engine: Engine
) -> None:
    add(api, kind="pagerduty", url=DUTY, secret=KEY)
    new = KEY[::-1]
    said = api.post("/api/v1/endpoints/one/rotate", json={"secret": new})
    assert (said.status_code, said.json()["rotating_until"]) == (200, None)
    assert new not in said.text
    with reading(engine) as conn:
        [one] = endpoints.endpoints(conn)
    assert one.signing(10**15) == (new,)
    assert api.post("/api/v1/endpoints/one/rotate", json={}).status_code == 422
    api.post("/api/v1/endpoints", json={"name": "two", "kind": "slack", "url": SLACK})
    said = api.post("/api/v1/endpoints/two/rotate", json={"secret": "x"})
    assert said.status_code == 422 and "its address" in said.text


def test_the_verb_adds_each_kind(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import uvicorn

    app = create_app(engine, with_dashboard=False)
    server = uvicorn.Server(
        config := uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    )
    sock = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    key, password = tmp_path / "key", tmp_path / "password"
    key.write_text(f"{KEY}\n")
    password.write_text("pass word\n")

    def run(*words: str) -> str:
        done = CliRunner().invoke(verbs, [*words, "--url", url])
        assert done.exit_code == 0, done.output + str(done.exception)
        return done.output

    try:
        assert "***" in run("add", "chat", SLACK, "--kind", "slack")
        run("add", "duty", DUTY, "--kind", "pagerduty", "--secret", str(key))
        run(
            "add", "post", "smtp://mail.firm.example", "--kind", "smtp",
            "--from", "me@firm.example",
            "--to", "a@firm.example", "--to", "b@firm.example", "--user", "me",
            "--secret", str(password),
        )  # fmt: skip
        listed = run("list")
        for words in ("chat (slack, enabled)", "duty (pagerduty, enabled)", "post (smtp, enabled)"):
            assert words in listed
        assert KEY not in listed and "pass word" not in listed
        key.write_text(KEY[::-1])
        run("rotate", "duty", "--secret", str(key))
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()
    with reading(engine) as conn:
        found = {one.name: one for one in endpoints.endpoints(conn)}
    assert found["post"].settings["to"] == ["a@firm.example", "b@firm.example"]
    assert found["post"].secrets[0].value == "pass word"
    assert found["duty"].secrets[0].value == KEY[::-1]
