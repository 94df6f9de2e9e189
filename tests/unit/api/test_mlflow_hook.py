"""What MLflow sends is believed where it is signed, and done once; a test plays MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import judged_world
import pytest
from fastapi.testclient import TestClient
from judged_world import START_MS, World
from serving import served
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from driftline import ApiConflict, ApiError, Client
from driftline.stats.reference import Reference
from monitor.api.app import create_app
from monitor.api.mlflow import signature_of
from monitor.cli.hook import app as verbs
from monitor.clock import HeldClock
from monitor.storage import hooks as store
from monitor.storage import registry as registry_store
from monitor.storage import schema as t
from monitor.storage.engine import transaction

pytestmark = pytest.mark.both_databases
LOCAL = "http://127.0.0.1:8050"
TOKEN = "a-token-of-more-than-20-characters"
BEARER = {"authorization": f"Bearer {TOKEN}"}
HOOK = {"name": "registry", "model": "m", "registered": "prod.m"}
PATH = "/api/v1/hooks/mlflow/registry"


@pytest.fixture
def known(engine: Engine, reference: Reference) -> World:
    world = judged_world.world_of(engine, reference)
    world.write(START_MS, 30)
    register(world, "2")
    return world


def register(world: World, version: str) -> None:
    with transaction(world.engine) as conn:
        registry_store.register_reference(
            conn, world.reference, model="m", version=version, now_ms=world.now_ms
        )


@pytest.fixture
def clock(known: World) -> HeldClock:
    return HeldClock(known.now_ms)


@pytest.fixture
def api(known: World, clock: HeldClock) -> Iterator[TestClient]:
    app = create_app(known.engine, with_dashboard=False, clock=clock, token=TOKEN)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def secret(api: TestClient) -> str:
    made = api.post("/api/v1/hooks", json=HOOK, headers=BEARER)
    assert made.status_code == 201, made.text
    return str(made.json()["secret"])


def body_of(version: str = "2", **changed: Any) -> bytes:
    data = {"name": "prod.m", "alias": "champion", "version": version}
    data |= {key: value for key, value in changed.items() if key in data}
    told = {
        "entity": changed.get("entity", "model_version_alias"),
        "action": changed.get("action", "created"),
        "timestamp": "2026-11-27T22:00:00+00:00",
        "data": data,
    }
    return json.dumps(told).encode()


def headers_of(
    secret: str, body: bytes, clock: HeldClock, *, id_: str = "d-1", age_s: int = 0
) -> dict[str, str]:
    at = str(clock.now_ms() // 1000 - age_s)
    return {
        "content-type": "application/json",
        "x-mlflow-delivery-id": id_,
        "x-mlflow-timestamp": at,
        "x-mlflow-signature": signature_of(secret, id_, at, body),
    }


def test_the_alias_of_a_hook_promotes_without_the_server_s_token(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    body = body_of()
    found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
    assert (found.status_code, found.json()) == (
        200, {"outcome": "promoted", "detail": "Version 2 of m is live.", "replayed": False},
    )  # fmt: skip
    (made,) = known.rows(t.promotion)
    assert (made.version_id, made.replaces_version_id, made.source, made.actor) == (
        2, 1, "mlflow", "mlflow:registry",
    )  # fmt: skip
    # MLflow sends the same alias again as another delivery.
    again = api.post(PATH, content=body, headers=headers_of(secret, body, clock, id_="d-2"))
    assert again.json()["outcome"] == "unchanged"
    assert len(known.rows(t.promotion)) == 1
    (hook,) = api.get("/api/v1/hooks", headers=BEARER).json()["items"]
    assert (hook["accepted"], hook["refused"], hook["registered"]) == (2, 0, "prod.m")
    assert hook["url"] == f"{LOCAL}{PATH}"
    assert "secret" not in hook


def test_a_delivery_that_comes_again_is_done_once(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    body = body_of()
    headers = headers_of(secret, body, clock)
    with ThreadPoolExecutor(4) as beside:
        found = list(
            beside.map(lambda _: api.post(PATH, content=body, headers=headers).json(), range(4))
        )
    assert [one["outcome"] for one in found] == ["promoted"] * 4
    assert sorted(one["replayed"] for one in found) == [False, True, True, True]
    # Somebody else was promoted meanwhile: what comes again does not turn that back.
    api.post("/api/v1/models/m/promotions", json={"version": "1"}, headers=BEARER)
    assert api.post(PATH, content=body, headers=headers).json()["replayed"] is True
    assert [row.version_id for row in known.rows(t.promotion)] == [2, 1]
    clock.advance(299)
    assert api.post(PATH, content=body, headers=headers).status_code == 200
    clock.advance(2)
    assert api.post(PATH, content=body, headers=headers).status_code == 401
    (hook,) = api.get("/api/v1/hooks", headers=BEARER).json()["items"]
    assert (hook["accepted"], hook["refused"]) == (1, 1)
    assert "five minutes" in hook["refused_why"]


def test_what_came_is_forgotten_after_its_signature_is_believed_no_longer(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    assert store.KNOWN_MS > 2 * 300_000
    for number in range(2):
        body = body_of()
        api.post(PATH, content=body, headers=headers_of(secret, body, clock, id_=f"d-{number}"))
        clock.advance(store.KNOWN_MS / 1000 + 1)
    assert [row.delivery_id for row in known.rows(t.hook_delivery)] == ["d-1"]


@pytest.mark.parametrize(
    "forged",
    ["unsigned", "other secret", "other body", "other id", "other time", "too old", "too new",
     "no version", "no id", "odd time", "other hook"],
)  # fmt: skip
def test_forged_deliveries_are_refused_counted_and_audited(
    api: TestClient, known: World, clock: HeldClock, secret: str, forged: str
) -> None:
    body = body_of()
    ages = {"too old": 301, "too new": -301}
    used = "x" * 43 if forged == "other secret" else secret
    headers = headers_of(used, body, clock, age_s=ages.get(forged, 0))
    path = PATH
    if forged == "unsigned":
        del headers["x-mlflow-signature"]
    elif forged == "other body":
        body = body_of("1")
    elif forged == "other id":
        headers["x-mlflow-delivery-id"] = "d-9"
    elif forged == "other time":
        headers["x-mlflow-timestamp"] = str(clock.now_ms() // 1000 - 1)
    elif forged == "no version":
        headers["x-mlflow-signature"] = headers["x-mlflow-signature"].removeprefix("v1,")
    elif forged == "no id":
        headers["x-mlflow-delivery-id"] = ""
        at = headers["x-mlflow-timestamp"]
        headers["x-mlflow-signature"] = signature_of(secret, "", at, body)
    elif forged == "odd time":
        headers["x-mlflow-timestamp"] = "1e9"
        headers["x-mlflow-signature"] = signature_of(secret, "d-1", "1e9", body)
    elif forged == "other hook":
        path = "/api/v1/hooks/mlflow/another"
    found = api.post(path, content=body, headers=headers)
    assert found.status_code == 401, found.text
    assert found.json()["title"] == "The delivery is not believed"
    assert secret not in found.text
    assert known.rows(t.promotion) == [] and known.rows(t.hook_delivery) == []
    (hook,) = api.get("/api/v1/hooks", headers=BEARER).json()["items"]
    is_known = forged != "other hook"
    assert hook["refused"] == int(is_known)
    said = [(row.actor, row.action) for row in known.rows(t.audit)]
    assert said == [
        ("api:token", "hook.add"), *([("mlflow:registry", "hook.refuse")] if is_known else []),
    ]  # fmt: skip


def test_a_flood_of_forged_deliveries_is_audited_once_a_minute_and_then_not_heard(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    body = body_of()
    for _ in range(60):
        assert api.post(PATH, content=body).status_code == 401
    assert api.post(PATH, content=body).status_code == 429
    (hook,) = api.get("/api/v1/hooks", headers=BEARER).json()["items"]
    assert hook["refused"] == 60
    assert [row.action for row in known.rows(t.audit)] == ["hook.add", "hook.refuse"]
    # Who has the secret is heard all the while.
    found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
    assert found.json()["outcome"] == "promoted"
    clock.advance(61)
    assert api.post(PATH, content=body).status_code == 401
    assert len([row for row in known.rows(t.audit) if row.action == "hook.refuse"]) == 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"alias": "challenger"}, "The alias champion promotes, not challenger."),
        ({"name": "other"}, "This hook is about prod.m, not other."),
        ({"action": "deleted"}, "something else"),
        ({"entity": "model_version_tag"}, "something else"),
    ],
)
def test_what_is_about_something_else_is_ignored(
    api: TestClient, known: World, clock: HeldClock, secret: str, changed: Any, words: str
) -> None:
    body = body_of(**changed)
    found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
    assert (found.status_code, found.json()["outcome"]) == (200, "ignored")
    assert words in found.json()["detail"]
    assert known.rows(t.promotion) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"entity":1}', b"[" * 50_000,
     b'{"entity":"model_version_alias","action":"created","data":{"name":"prod.m"}}',
     b'{"entity":"model_version_alias","action":"created","data":{"name":"prod.m","alias":'
     b'"champion","version":2}}',
     b'{"entity":"model_version_alias","action":"created","data":{"name":"prod.m","alias":'
     b'"champion","version":"a\\u0000b"}}',
     b'{"entity":"model_version_alias","action":"created","data":{"name":"\\ud800","alias":'
     b'"champion","version":"2"}}',
     b'{"entity":"model_version_alias","action":"created","data":{"name":"prod.m","alias":'
     b'"\\u0000","version":"2"}}'],
)  # fmt: skip
def test_what_is_signed_and_makes_no_sense_is_said(
    api: TestClient, known: World, clock: HeldClock, secret: str, body: bytes
) -> None:
    found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
    assert (found.status_code, found.json()["title"]) == (422, "The delivery cannot be read")
    assert known.rows(t.promotion) == []


def test_a_large_body_is_not_read(api: TestClient, clock: HeldClock, secret: str) -> None:
    body = b" " * (64 * 1024 + 1)
    found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
    assert found.status_code == 413


def test_a_version_without_a_reference_is_promoted_once_it_has_one(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    body = body_of("7")
    found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
    assert found.json()["outcome"] == "pending"
    (waits,) = api.get("/api/v1/models/m/promotions", headers=BEARER).json()["items"]
    assert (waits["version"], waits["state"], waits["effective"]) == ("7", "pending", None)
    [incident] = api.get("/api/v1/service-incidents", headers=BEARER).json()["items"]
    assert (incident["kind"], incident["resolved"]) == ("promotion", None)
    assert incident["summary"] == (
        "Version 7 of m was promoted by mlflow:registry and has no reference to be judged by: "
        "register it, then it is promoted."
    )
    register(known, "7")
    (made,) = api.get("/api/v1/models/m/promotions", headers=BEARER).json()["items"]
    assert (made["version"], made["state"], made["source"]) == ("7", "live", "mlflow")
    [incident] = api.get("/api/v1/service-incidents", headers=BEARER).json()["items"]
    assert incident["resolved_as"] == "promoted"
    assert [row.action for row in known.rows(t.audit)] == [
        "hook.add", "model.promotion_wanted", "model.promote",
    ]  # fmt: skip


def test_what_waits_gives_way_to_what_is_promoted_later(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    for number, version in enumerate(("7", "8", "8", "2")):
        body = body_of(version)
        api.post(PATH, content=body, headers=headers_of(secret, body, clock, id_=f"d-{number}"))
    incidents = api.get("/api/v1/service-incidents", headers=BEARER).json()["items"]
    assert [one["resolved_as"] for one in incidents] == ["replaced", "replaced"]
    register(known, "7")
    register(known, "8")
    (live,) = api.get("/api/v1/models/m/promotions", headers=BEARER).json()["items"]
    assert (live["version"], live["state"]) == ("2", "live")


def test_a_version_that_cannot_be_promoted_is_refused_and_audited(
    api: TestClient, known: World, clock: HeldClock, secret: str
) -> None:
    api.post("/api/v1/models/m/archive", headers=BEARER)
    body = body_of()
    for _ in range(2):
        found = api.post(PATH, content=body, headers=headers_of(secret, body, clock))
        assert (found.status_code, "is archived" in found.json()["detail"]) == (409, True)
    said = [row.action for row in known.rows(t.audit)]
    assert said == ["hook.add", "model.archive", "hook.refuse"]


def test_hooks_are_added_once_and_removed(api: TestClient, known: World, clock: HeldClock) -> None:
    first = api.post("/api/v1/hooks", json=HOOK, headers=BEARER).json()
    assert len(first["secret"]) >= 40
    again = api.post("/api/v1/hooks", json=HOOK, headers=BEARER)
    assert (again.status_code, again.json()["secret"], again.json()["is_new"]) == (200, None, False)
    other = api.post("/api/v1/hooks", json={**HOOK, "alias": "prod"}, headers=BEARER)
    assert (other.status_code, other.json()["title"]) == (409, "The name is taken")
    body = body_of()
    headers = headers_of(first["secret"], body, clock)
    assert api.delete("/api/v1/hooks/registry", headers=BEARER).status_code == 200
    assert api.post(PATH, content=body, headers=headers).status_code == 401
    gone = api.delete("/api/v1/hooks/registry", headers=BEARER)
    assert (gone.status_code, gone.json()["title"]) == (404, "There is no such hook")
    assert known.rows(t.hook) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "a/b"}, "letters, digits"),
        ({"name": ""}, "letters, digits"),
        ({"model": "a\nb"}, "printable"),
        ({"secret": "short"}, "at least 16"),
        ({"secret": "x" * 501}, "secret"),
        ({"alias": "a\x00b"}, "printed"),
        ({"alias": ""}, "alias"),
        ({"kind": "git"}, "mlflow"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_hook_that_cannot_be_is_said(api: TestClient, changed: Any, words: str) -> None:
    found = api.post("/api/v1/hooks", json={**HOOK, **changed}, headers=BEARER)
    assert found.status_code == 422, found.text
    assert words in found.text


def test_only_what_mlflow_sends_is_open(api: TestClient, secret: str) -> None:
    assert api.get(PATH).status_code == 401
    assert api.get("/api/v1/hooks").status_code == 401
    assert api.post("/api/v1/hooks", json=HOOK).status_code == 401
    assert api.delete("/api/v1/hooks/registry").status_code == 401
    # No way round: neither up, nor with a name that is none.
    for path in (
        "/api/v1/hooks/mlflow/../../endpoints",
        "/api/v1/hooks/mlflow/%2e%2e/x",
        "/api/v1/hooks/mlflow/",
    ):
        assert api.post(path, json={}).status_code in (401, 404, 405)
    foreign = api.post(PATH, content=b"{}", headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403
    named = api.post(PATH, content=b"{}", headers={"host": "evil.example"})
    assert named.status_code == 421


def test_the_sdk_and_the_verbs_add_list_and_remove(
    known: World, clock: HeldClock, tmp_path: Any
) -> None:
    with served(known.engine, clock) as url, Client(url) as client:
        made = client.add_hook("a", "m", secret="0123456789abcdef")
        assert (made.secret, made.registered, made.alias) == ("0123456789abcdef", "m", "champion")
        assert client.add_hook("a", "m").secret is None
        with pytest.raises(ApiConflict, match="name is taken"):
            client.add_hook("a", "n")
        with pytest.raises(ApiError, match="too short"):
            client.add_hook("b", "m", secret="x")
        assert [one.name for one in client.hooks()] == ["a"]
        client.remove_hook("a")

        def run(*words: str) -> str:
            done = CliRunner().invoke(verbs, [*words, "--url", url])
            assert done.exit_code == 0, done.output + str(done.exception)
            return done.output.strip()

        assert run("list").startswith("no hook yet")
        first, second, last = run("add", "mlflow", "--model", "m", "--registered", "prod.m").split(
            "\n"
        )
        assert first == f"hook m is added: mlflow sends to {url}/api/v1/hooks/mlflow/m"
        assert second == "the alias champion of prod.m promotes a version of m"
        secret = last.removeprefix("secret, told this once: ")
        assert len(secret) >= 40
        assert "there already" in run("add", "mlflow", "--model", "m", "--registered", "prod.m")
        assert secret not in run("list", "--json")
        assert run("list") == (
            f"m: champion of prod.m promotes m; {url}/api/v1/hooks/mlflow/m\n  0 believed"
        )
        path = tmp_path / "secret"
        path.write_text("fedcba9876543210\n")
        told = json.loads(
            run("add", "mlflow", "--model", "m", "--name", "own", "--secret", str(path), "--json")
        )
        assert (told["secret"], told["is_new"]) == (None, True)
        assert run("remove", "m") == "hook m is removed"
