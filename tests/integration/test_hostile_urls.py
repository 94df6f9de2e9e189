"""Nothing that somebody writes as an endpoint's URL reaches into the server's network."""

from __future__ import annotations

import ipaddress
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from fastapi.testclient import TestClient
from hostile_urls import INSIDE, INSIDE_6, LITERALS, MALFORMED
from receivers import receiving
from sqlalchemy.engine import Engine

from driftline.errors import InvalidEndpoint
from driftline.webhooks import new_secret
from monitor.alerts import Dispatcher, Poster
from monitor.alerts.guard import Address, networks, target_of
from monitor.api.app import create_app
from monitor.clock import SystemClock
from monitor.masking import masked
from monitor.storage import endpoints, outbox, reads
from monitor.storage.engine import reading, transaction
from monitor.storage.outbox import Message

LOCAL = "http://127.0.0.1:8050"


@pytest.fixture(scope="module")
def dialled() -> Iterator[list[str]]:
    """What any connection of this process was made to while the module ran."""
    made: list[str] = []
    real = socket.socket.connect

    def connect(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            made.append(str(address))
        real(self, address)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        yield made


def test_no_hostile_url_becomes_an_endpoint(engine: Engine) -> None:
    app = create_app(engine, with_dashboard=False)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as api:
        taken = []
        for url in (*LITERALS, *MALFORMED):
            said = api.post("/api/v1/endpoints", json={"name": "x", "url": url})
            if said.status_code != 422:
                taken.append((url, said.status_code))
            assert said.json()["detail"], url
        assert taken == []
        assert api.get("/api/v1/endpoints").json()["items"] == []
        assert api.post("/api/v1/endpoints", json={"name": "x", "url": "https://hooks.example"})


def test_none_is_dialled_where_it_stands_in_the_database_already(dialled: list[str]) -> None:
    """Such as one that was added while `alerts.allow` held its network."""
    post = Poster(timeout_s=2)
    dialled.clear()
    for url in (*LITERALS, *MALFORMED):
        answer = post(url, {}, b"{}")
        assert answer.status is None and answer.error, url
    assert dialled == []


@pytest.mark.parametrize("inside", [*INSIDE, *INSIDE_6, "::ffff:127.0.0.1", "64:ff9b::7f00:1"])
def test_a_name_that_leads_inside_is_not_dialled(inside: str, dialled: list[str]) -> None:
    outside, bad = ipaddress.ip_address("1.1.1.1"), ipaddress.ip_address(inside)
    dialled.clear()
    for answered in ([bad], [outside, bad], [bad, outside]):
        post = Poster(resolve=lambda host, port, found=answered: found, timeout_s=2)
        assert "alerts.allow" in (post("https://rebind.example/", {}, b"{}").error or "")
    assert dialled == []


@contextmanager
def _silent_port() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine where nobody must knock, and who did."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over, knocked = threading.Event(), list[object]()

        def accept() -> None:
            while not over.is_set():
                try:
                    knocked.append(listener.accept()[1])
                except OSError:
                    continue

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1], knocked
        over.set()
        thread.join(10)


def test_a_name_server_that_changes_its_mind_leads_nowhere(dialled: list[str]) -> None:
    """The name is asked once an attempt; what was checked is what is dialled."""
    with receiving() as receiver, _silent_port() as (inside, knocked):
        port = int(receiver.url.split(":")[2].split("/")[0])
        answers: list[Address] = []

        def flips(host: str, port: int) -> Sequence[Address]:
            # 127.0.0.1 stands for a public receiver here; the loopback's neighbour for a victim.
            answers.append(ipaddress.ip_address(f"127.0.0.{1 + len(answers) % 2}"))
            return answers[-1:]

        post = Poster(networks("127.0.0.1/32"), resolve=flips, timeout_s=2)
        said = [post(f"http://rebind.example:{port}/", {}, b"{}") for _ in range(6)]
        dialled.clear()
        post = Poster(networks("127.0.0.1/32"), resolve=flips, timeout_s=2)
        answers.append(ipaddress.ip_address("127.0.0.1"))
        post(f"http://rebind.example:{inside}/", {}, b"{}")
    assert [one.status for one in said] == [204, None] * 3
    assert len(answers) == 8 and knocked == []
    assert not any("127.0.0.2" in where for where in dialled)


def test_a_redirect_into_the_network_is_not_followed() -> None:
    with receiving() as receiver, _silent_port() as (inside, knocked):
        for status in (301, 302, 303, 307, 308):
            where = {"location": f"http://127.0.0.1:{inside}/"}
            receiver.answer = lambda _, status=status, where=where: (status, where, b"")  # type: ignore[misc]
            answer = Poster(networks("127.0.0.1/32"))(receiver.url, {}, b"{}")
            assert "redirects are not followed" in (answer.why or "")
    assert knocked == []


@pytest.mark.both_databases
def test_a_name_that_turns_inside_after_it_was_added_fails_and_says_so(engine: Engine) -> None:
    with _silent_port() as (inside, knocked):
        with transaction(engine) as conn:
            url = f"http://rebind.example:{inside}/"
            endpoints.add(conn, "one", url, new_secret(), now_ms=SystemClock().now_ms())
            body = json.dumps({"type": "drift.detected", "timestamp": "x", "data": {}})
            told = Message("msg_1", None, 0, "drift.detected", body)
            outbox.enqueue(conn, told, SystemClock().now_ms())
        loopback = [ipaddress.ip_address("127.0.0.1")]
        post = Poster(resolve=lambda host, port: loopback, timeout_s=2)
        dispatcher = Dispatcher(engine, post, clock=SystemClock())
        assert dispatcher.step() == 1
        assert dispatcher.finish(10)
    assert knocked == []
    with reading(engine) as conn:
        [one] = reads.deliveries(conn)
        [tried] = reads.attempts_of(conn, [one.id])[one.id]
    assert one.state == "pending"
    assert "rebind.example (127.0.0.1) is loopback" in (tried.error or "")


SECRET_URLS = [
    ("https://hooks.slack.com/services/T024BE7LD/B0AG3N/x8fhKq3sPwoL29dka0PqLwZe", "x8fhKq3sPwo"),
    ("https://discord.com/api/webhooks/1234567890/aB3-dE6_gH9", "aB3-dE6_gH9"),
    ("https://hooks.example/in/7f3c9a52e1b04d6f8a90/drift", "7f3c9a52e1b04d6f8a90"),
    ("https://hooks.example/?token=s3cret&team=ml", "s3cret"),
    ("https://hooks.example/x?YWJjZGVmZ2hpamtsbW5vcA", "YWJjZGVmZ2hpamtsbW5vcA"),
]


@pytest.mark.parametrize(("url", "secret"), SECRET_URLS)
def test_what_opens_something_in_a_url_is_shown_nowhere(
    engine: Engine, url: str, secret: str
) -> None:
    app = create_app(engine, with_dashboard=False)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as api:
        said = [api.post("/api/v1/endpoints", json={"name": "one", "url": url})]
        assert said[0].status_code == 201
        said.append(api.post("/api/v1/endpoints", json={"name": "one", "url": "https://b.example"}))
        said.append(api.post("/api/v1/endpoints", json={"name": "two", "url": f"{url}#x"}))
        said += [api.get(f"/api/v1/{path}") for path in ("endpoints", "endpoints/one", "status")]
        assert [one.status_code for one in said] == [201, 409, 422, 200, 200, 200]
        for one in said:
            assert secret not in one.text, one.text
        assert said[4].json()["url"] == masked(url)
    with reading(engine) as conn:
        [kept] = endpoints.endpoints(conn)
    assert kept.url == url  # and is still where it is sent


def test_a_plain_address_is_shown_as_it_is() -> None:
    for url in (
        "https://hooks.example", "https://hooks.example/", "http://10.0.0.1:8080/drift/alerts",
        "https://hooks.example/model-drift-notifications?", "https://[2606:4700::1]:8443/v1/in",
    ):  # fmt: skip
        assert masked(url) == url
        assert target_of(url)


def test_a_url_that_is_refused_is_not_repeated_with_its_credentials() -> None:
    with pytest.raises(InvalidEndpoint) as caught:
        target_of("ftp://me:hunter2@hooks.example/?key=abc")
    assert "hunter2" not in str(caught.value) and "abc" not in str(caught.value)
