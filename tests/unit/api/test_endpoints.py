"""Endpoints over the real API and its client: added once, told without secrets, tried, removed."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from receivers import Receiver, misbehaving, receiving, reset
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from driftline import ApiConflict, ApiError, Client, answers, verify_webhook
from driftline.webhooks import fingerprint, key_of, new_secret
from monitor.alerts import Dispatcher, Poster
from monitor.alerts.guard import networks
from monitor.api.answers import endpoints as told
from monitor.api.app import create_app
from monitor.cli.endpoint import app as verbs
from monitor.clock import SystemClock
from monitor.storage import outbox
from monitor.storage.engine import transaction
from monitor.storage.outbox import Message

LOCAL = "http://127.0.0.1:8050"
HOOK = "https://hooks.example/drift"
ALLOWED = networks("127.0.0.1/32")


@pytest.fixture
def api(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, alerts_allow=ALLOWED)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@contextmanager
def serving(engine: Engine) -> Iterator[str]:
    """The address of a real server."""
    app = create_app(engine, with_dashboard=False, alerts_allow=ALLOWED)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server, sock = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()


@pytest.fixture
def server(engine: Engine) -> Iterator[str]:
    with serving(engine) as url:
        yield url


@pytest.fixture
def sdk(server: str) -> Iterator[Client]:
    with Client(server) as client:
        yield client


@pytest.fixture
def delivering(engine: Engine) -> Iterator[Dispatcher]:
    """A dispatcher that runs beside the test."""
    dispatcher = Dispatcher(engine, Poster(ALLOWED, timeout_s=2), clock=SystemClock())
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            dispatcher.step() or dispatcher.wait(0.02)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield dispatcher
    over.set()
    thread.join(timeout=10)
    assert dispatcher.finish(10)


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    return found


def tell(engine: Engine, count: int = 1, alert_id: str = "alert_a") -> None:
    now_ms = SystemClock().now_ms()
    with transaction(engine) as conn:
        for number in range(1, count + 1):
            body = {"type": "drift.updated", "timestamp": "2025-06-15T00:00:00Z", "data": {}}
            name = f"{alert_id}_{number}"
            said = Message(name, alert_id, number, "drift.updated", json.dumps(body))
            outbox.enqueue(conn, said, now_ms)


@pytest.mark.both_databases
def test_an_endpoint_is_added_once_and_its_secret_told_once(api: TestClient) -> None:
    body = {"name": "on-call", "url": HOOK}
    first = api.post("/api/v1/endpoints", json=body)
    assert first.status_code == 201
    secret = first.json()["secret"]
    assert len(key_of(secret)) == 32
    assert (first.json()["is_new"], first.json()["warnings"]) == (True, [])
    again = api.post("/api/v1/endpoints", json=body)
    assert again.status_code == 200
    assert (again.json()["is_new"], again.json()["secret"]) == (False, None)
    one = api.get("/api/v1/endpoints/on-call").json()
    listed = api.get("/api/v1/endpoints").json()["items"]
    assert listed == [one]
    assert (one["name"], one["url"], one["state"]) == ("on-call", HOOK, "enabled")
    assert one["fingerprint"] == fingerprint(secret)
    # Neither now nor in any other answer.
    for path in ("endpoints", "endpoints/on-call", "deliveries", "status"):
        assert secret.removeprefix("whsec_") not in api.get(f"/api/v1/{path}").text


@pytest.mark.both_databases
def test_a_name_that_is_taken_is_a_conflict_with_the_way_out(api: TestClient) -> None:
    api.post("/api/v1/endpoints", json={"name": "on-call", "url": HOOK})
    other = {"name": "on-call", "url": "https://other.example/"}
    found = problem(api.post("/api/v1/endpoints", json=other), 409)
    assert HOOK in found["detail"]
    assert "remove on-call" in found["mend"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"url": "hooks.example"}, "http://"),
        ({"url": "ftp://hooks.example/"}, "http://"),
        ({"url": "https://me:pw@hooks.example/"}, "credentials"),
        ({"url": "https://hooks.example:25/"}, "port 25"),
        ({"url": "http://10.1.2.3/"}, "alerts.allow"),
        ({"url": "http://[::1]:9000/"}, "alerts.allow"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "link-local"),
        ({"url": ""}, "http://"),
        ({"url": None}, "url"),
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "letters"),
        ({"name": "-x"}, "letters"),
        ({"name": "x" * 101}, "name"),
        ({"name": "tür"}, "letters"),
        ({"secret": "whsec_c2hvcnQ="}, "24 to 64 bytes"),
        ({"secret": "whsec_%%%"}, "base64"),
        ({"secret": ""}, "24 to 64 bytes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_no_endpoint_can_have_is_refused_with_why(
    api: TestClient, change: dict[str, Any], words: str
) -> None:
    body = {"name": "on-call", "url": HOOK, **change}
    found = problem(api.post("/api/v1/endpoints", json=body), 422)
    assert words in found["detail"]
    assert "c2hvcnQ" not in json.dumps(found)
    assert api.get("/api/v1/endpoints").json()["items"] == []


def test_a_foreign_page_may_not_add_an_endpoint(api: TestClient) -> None:
    body = {"name": "evil", "url": HOOK}
    problem(
        api.post("/api/v1/endpoints", json=body, headers={"origin": "https://evil.example"}), 403
    )
    form = api.post(
        "/api/v1/endpoints", content=json.dumps(body), headers={"content-type": "text/plain"}
    )
    problem(form, 422)
    assert api.get("/api/v1/endpoints").json()["items"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/disable"),
        ("POST", "/rotate"), ("POST", "/test"),
    ],
)  # fmt: skip
def test_a_name_that_nothing_has_is_told_with_the_nearest(
    api: TestClient, method: str, path: str
) -> None:
    api.post("/api/v1/endpoints", json={"name": "on-call", "url": HOOK})
    found = problem(api.request(method, f"/api/v1/endpoints/oncall{path}"), 404)
    assert "did you mean on-call?" in found["mend"]


def test_plain_http_is_warned_of_where_it_leaves_the_machine(sdk: Client) -> None:
    [warning] = sdk.add_endpoint("out", "http://hooks.example/").warnings
    assert "hooks.example" in warning and "https" in warning
    assert sdk.add_endpoint("in", "http://127.0.0.1:9000/").warnings == ()
    assert sdk.add_endpoint("safe", HOOK).warnings == ()


def test_the_client_adds_an_endpoint_once_with_or_without_a_secret(sdk: Client) -> None:
    made = sdk.add_endpoint("one", HOOK)
    assert made.is_new and made.secret is not None
    assert fingerprint(made.secret) == made.fingerprint == sdk.endpoint("one").fingerprint
    assert made.secret not in repr(made)
    again = sdk.add_endpoint("one", HOOK)
    assert (again.is_new, again.secret) == (False, None)
    assert not sdk.add_endpoint("one", HOOK, secret=made.secret).is_new
    with pytest.raises(ApiConflict, match="another secret"):
        sdk.add_endpoint("one", HOOK, secret=new_secret())
    with pytest.raises(ApiError, match="24 to 64 bytes"):  # such as an unset variable
        sdk.add_endpoint("two", HOOK, secret="")
    own = new_secret()
    assert sdk.add_endpoint("two", HOOK, secret=own).secret == own
    assert [one.name for one in sdk.endpoints()] == ["one", "two"]
    with pytest.raises(ApiError, match="did you mean one"):
        sdk.endpoint("onee")


@pytest.mark.both_databases
def test_a_test_arrives_verifies_and_is_told(sdk: Client, delivering: Dispatcher) -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (200, {}, b"thanks")
        made = sdk.add_endpoint("one", receiver.url)
        assert made.secret is not None
        found = sdk.test_endpoint("one")
    assert (found.state, found.status, found.error, found.attempts) == ("delivered", 200, None, 1)
    [tried] = found.tried
    assert (tried.number, tried.status, tried.response) == (1, 200, "thanks")
    [got] = receiver.received
    alert = verify_webhook(got.headers, got.body, made.secret)
    assert (alert.type, alert.webhook_id) == ("endpoint.test", found.webhook_id)
    assert alert.summary == "A test of endpoint one: nothing is wrong."
    assert got.body.decode() == found.body


def test_a_test_that_fails_says_why_and_is_not_tried_again(
    sdk: Client, delivering: Dispatcher
) -> None:
    with misbehaving(reset) as url:
        sdk.add_endpoint("bad", url)
        found = sdk.test_endpoint("bad")
    assert (found.state, found.status, found.due) == ("dead", None, None)
    assert "connection" in (found.error or "")
    one = sdk.endpoint("bad")
    assert (one.failed, one.pending) == (0, 0)
    assert one.last_error == found.error


def test_a_test_without_a_dispatcher_says_that_nothing_delivers(sdk: Client) -> None:
    sdk.add_endpoint("one", HOOK)
    with pytest.raises(ApiError, match="driftline deliver"):
        sdk.test_endpoint("one", timeout_s=0.2)


def test_while_a_secret_is_rotated_receivers_with_either_one_verify(
    sdk: Client, delivering: Dispatcher
) -> None:
    with receiving() as receiver:
        old = sdk.add_endpoint("one", receiver.url).secret
        made = sdk.rotate_endpoint("one")
        assert made.rotating_until is not None
        assert made.fingerprint != fingerprint(old or "")
        sdk.test_endpoint("one")
        now = sdk.rotate_endpoint("one", overlap_s=0)
        assert now.rotating_until is None
        sdk.test_endpoint("one")
    both, alone = receiver.received
    for secret in (old, made.secret):
        assert verify_webhook(both.headers, both.body, secret or "")
    assert verify_webhook(alone.headers, alone.body, now.secret or "")
    assert len(alone.headers["webhook-signature"].split()) == 1


@pytest.mark.both_databases
def test_the_same_rotation_twice_is_one(sdk: Client) -> None:
    sdk.add_endpoint("one", HOOK)
    own = new_secret()
    first = sdk.rotate_endpoint("one", secret=own)
    second = sdk.rotate_endpoint("one", secret=own)
    assert first.rotating_until == second.rotating_until is not None
    assert second.fingerprint == fingerprint(own)


@pytest.mark.both_databases
def test_a_disabled_endpoint_says_why_and_waits(sdk: Client, engine: Engine) -> None:
    sdk.add_endpoint("one", HOOK)
    tell(engine, 2)
    found = sdk.disable_endpoint("one", "maintenance")
    assert (found.state, found.disabled_reason, found.pending) == ("disabled", "maintenance", 2)
    assert sdk.status().endpoints_disabled == ("one",)
    with pytest.raises(ApiConflict, match="maintenance"):
        sdk.test_endpoint("one")
    # What goes on waits behind what was told of it; what is new is not told.
    tell(engine, 3)
    tell(engine, 1, "alert_b")
    assert sdk.enable_endpoint("one").pending == 3
    assert sdk.endpoint("one").disabled_reason is None
    assert sdk.status().endpoints_disabled == ()


@pytest.mark.both_databases
def test_a_removed_endpoint_is_gone_and_what_it_was_sent_stays_told(
    sdk: Client, engine: Engine
) -> None:
    sdk.add_endpoint("one", HOOK)
    tell(engine, 2)
    assert sdk.remove_endpoint("one") == 2
    assert sdk.endpoints() == []
    with pytest.raises(ApiError, match="no such endpoint"):
        sdk.remove_endpoint("one")
    assert [d.state for d in sdk.deliveries("one")] == ["cancelled", "cancelled"]
    assert sdk.add_endpoint("one", "https://new.example/").is_new
    assert sdk.endpoint("one").pending == 0


@pytest.mark.both_databases
def test_deliveries_come_in_pages_the_last_decided_first(sdk: Client, engine: Engine) -> None:
    sdk.add_endpoint("one", HOOK)
    sdk.add_endpoint("two", "https://two.example/")
    tell(engine, 5)
    tell(engine, 2, "alert_b")
    found = list(sdk.deliveries())
    assert len(found) == 14
    assert [d.id for d in found] == sorted((d.id for d in found), reverse=True)
    assert {d.endpoint for d in sdk.deliveries("one")} == {"one"}
    assert len(list(sdk.deliveries("one", alert_id="alert_b"))) == 2
    assert len(list(sdk.deliveries(state="pending", limit=3))) == 3
    assert list(sdk.deliveries(state="dead")) == []
    assert sdk.status().deliveries == answers.Tally(0, 0, 14)
    page = sdk._get("deliveries", limit=4)
    rest = sdk._get("deliveries", limit=100, cursor=page["next"])
    assert [row["id"] for row in page["items"] + rest["items"]] == [d.id for d in found]
    with pytest.raises(ApiError, match="no such endpoint"):
        list(sdk.deliveries("three"))
    with pytest.raises(ApiError, match="no such delivery"):
        sdk.delivery(999)


def test_a_list_is_not_sent_twice_and_changes_with_what_is_sent(
    api: TestClient, engine: Engine
) -> None:
    api.post("/api/v1/endpoints", json={"name": "one", "url": HOOK})
    first = api.get("/api/v1/endpoints")
    held = {"if-none-match": first.headers["etag"]}
    assert api.get("/api/v1/endpoints", headers=held).status_code == 304
    tell(engine)
    assert api.get("/api/v1/endpoints", headers=held).json()["items"][0]["pending"] == 1


def test_the_client_knows_every_field_that_the_api_has() -> None:
    pairs: list[tuple[Any, Any]] = [
        (told.EndpointAnswer, answers.Endpoint), (told.EndpointTold, answers.NewEndpoint),
        (told.DeliveryAnswer, answers.Delivery), (told.DeliveryDetail, answers.DeliveryDetail),
        (told.AttemptAnswer, answers.DeliveryAttempt),
    ]  # fmt: skip
    for theirs, ours in pairs:
        assert set(theirs.model_fields) == {f.name for f in dataclasses.fields(ours)}, ours


# -- the verb ------------------------------------------------------------------------------


@pytest.fixture
def run(server: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: str, code: int = 0, text: str | None = None) -> str:
        done = CliRunner().invoke(verbs, [*words, "--url", server], input=text)
        assert done.exit_code == code, (done.output, done.exception)
        return done.stdout

    return run


def test_the_verb_adds_lists_tests_rotates_and_removes(
    run: Callable[..., str], delivering: Dispatcher, tmp_path: Any
) -> None:
    assert "no endpoint yet" in run("list")
    with receiving() as receiver:
        receiver.answer = lambda _: (200, {}, b"hello [bold]you")
        said = run("add", "one", receiver.url)
        secret = said.split()[-1]
        assert len(key_of(secret)) == 32
        assert "is there already" in run("add", "one", receiver.url)
        said = run("test", "one")
        assert "answered 200 in" in said and "hello [bold]you" in said
        assert verify_webhook(receiver.received[0].headers, receiver.received[0].body, secret)
        file = tmp_path / "secret"
        file.write_text(new_secret() + "\n")
        said = run("rotate", "one", "--secret", str(file))
        assert "both sign until" in said and "whsec_" not in said
        receiver.answer = lambda _: (500, {}, b"broken")
        assert "it answered 500" in run("test", "one", code=1)
    listed = run("list")
    lines = listed.splitlines()
    # An address is on a line of its own, whole: a terminal of 80 columns folds no letter of it.
    assert f"  {receiver.url}" in lines
    assert "one (enabled)" in lines
    assert max(len(line) for line in lines) <= 80
    assert "one" in listed and "it answered 500" in listed and "whsec" not in listed
    assert "disabled: for now" in run("disable", "one", "--reason", "for now") + run("list")
    assert "enabled" in run("enable", "one")
    assert "is removed" in run("remove", "one")
    assert "no endpoint yet" in run("list")


def test_the_verb_speaks_json(run: Callable[..., str], delivering: Dispatcher) -> None:
    with receiving() as receiver:
        made = json.loads(run("add", "one", receiver.url, "--json"))
        assert fingerprint(made["secret"]) == made["fingerprint"]
        tested = json.loads(run("test", "one", "--json").splitlines()[-1])
        assert (tested["state"], tested["tried"][0]["status"]) == ("delivered", 204)
    [listed] = json.loads(run("list", "--json"))
    assert listed["created"].endswith("Z")
    assert json.loads(run("disable", "one", "--json"))["state"] == "disabled"
    assert json.loads(run("enable", "one", "--json"))["state"] == "enabled"
    assert json.loads(run("rotate", "one", "--json"))["secret"].startswith("whsec_")
    assert json.loads(run("remove", "one", "--json")) == {"name": "one", "cancelled": 0}


def test_a_secret_comes_from_a_file_or_standard_input_and_is_not_repeated(
    run: Callable[..., str], tmp_path: Any
) -> None:
    own = new_secret()
    said = run("add", "one", HOOK, "--secret", "-", text=own)
    assert own not in said and fingerprint(own) in said
    bad = tmp_path / "bad"
    bad.write_text("whsec_c2hvcnQ=")
    for file in (str(bad), str(tmp_path / "absent"), str(tmp_path)):
        run("add", "two", HOOK, "--secret", file, code=1)


def test_nothing_of_this_hangs_on_a_receiver_that_waits(
    sdk: Client, delivering: Dispatcher
) -> None:
    def slow(receiver: Receiver) -> tuple[int, dict[str, str], bytes]:
        time.sleep(0.3)
        return 204, {}, b""

    with receiving() as receiver:
        receiver.answer = lambda _: slow(receiver)
        sdk.add_endpoint("slow", receiver.url)
        began_s = time.monotonic()
        assert sdk.endpoints()[0].name == "slow"
        assert time.monotonic() - began_s < 2
        assert sdk.test_endpoint("slow").tried[0].duration_ms >= 250
