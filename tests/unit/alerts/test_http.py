"""One attempt ends in time and says what happened, whatever the receiver does."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import receivers
from receivers import Behaviour, misbehaving, receiving

from monitor.alerts.guard import Address, networks
from monitor.alerts.http import MAX_ANSWER_BYTES, Poster
from monitor.alerts.schedule import Answer

LOCAL = networks("127.0.0.1/32")
HEADERS = {"content-type": "application/json", "webhook-id": "msg_1"}


def post(url: str, *, timeout_s: float = 5.0, body: bytes = b"{}") -> tuple[Answer, float]:
    began_s = time.monotonic()
    answer = Poster(LOCAL, timeout_s=timeout_s)(url, HEADERS, body)
    return answer, time.monotonic() - began_s


def test_what_is_sent_arrives_byte_for_byte() -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (200, {"x": "y"}, "erhalten ✓".encode())
        body = '{"note": "für"}'.encode()
        answer, _ = post(f"{receiver.url}?team=ml", body=body)
    assert answer == Answer(status=200, body="erhalten ✓")
    [got] = receiver.received
    assert (got.path, got.body) == ("/hook?team=ml", body)
    assert got.headers["host"] == receiver.url.split("/")[2]
    assert got.headers["user-agent"].startswith("Driftline/")
    assert got.headers["webhook-id"] == "msg_1"
    assert got.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("behave", "words"),
    [
        (receivers.hang, "no answer within 1 s"),
        (receivers.reset, "connection"),
        (receivers.close_at_once, "connection"),
        (receivers.trickle_head, "no answer within 1 s"),
        (receivers.interim_for_ever, "no answer within 1 s"),
        (receivers.flood_head, "no HTTP answer"),
        (receivers.speak_smtp, "no HTTP answer"),
    ],
)
def test_a_receiver_that_misbehaves_is_a_failure_in_bounded_time(
    behave: Behaviour, words: str
) -> None:
    with misbehaving(behave) as url:
        answer, took_s = post(url, timeout_s=1.0)
    assert answer.status is None
    assert words in (answer.error or "")
    assert took_s < 2.5


def test_a_receiver_that_reads_nothing_is_a_failure_in_bounded_time() -> None:
    with misbehaving(receivers.never_read) as url:
        answer, took_s = post(url, timeout_s=1.0, body=b"x" * 30_000_000)
    assert answer.error == "no answer within 1 s"
    assert took_s < 2.5


def test_a_body_that_never_ends_does_not_hold_up_a_good_answer() -> None:
    with misbehaving(receivers.trickle_body) as url:
        answer, took_s = post(url, timeout_s=1.0)
    assert answer.is_delivered
    assert set(answer.body) == {"b"}
    assert took_s < 2.5


def test_of_100_mb_four_kilobytes_are_read() -> None:
    with misbehaving(receivers.flood) as url:
        answer, took_s = post(url)
    assert answer.body == "x" * MAX_ANSWER_BYTES
    assert took_s < 2.5


def test_a_redirect_is_not_followed() -> None:
    with receiving() as inner, receiving() as outer:
        outer.answer = lambda _: (307, {"location": inner.url}, b"")
        answer, _ = post(outer.url)
    assert (answer.status, inner.received) == (307, [])


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        answer, _ = post(receiver.url)
    assert (answer.status, len(receiver.received), proxy.received) == (204, 1, [])


def test_retry_after_comes_along() -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (429, {"Retry-After": "17"}, b"slow down")
        answer, _ = post(receiver.url)
    assert answer == Answer(status=429, retry_after="17", body="slow down")


def test_an_answer_that_is_no_text_can_be_kept() -> None:
    with receiving() as receiver:
        receiver.answer = lambda _: (500, {}, b"\x00\xff\xfe bad")
        answer, _ = post(receiver.url)
    assert answer.body == "\ufffd\ufffd\ufffd bad"


def test_nobody_at_the_address_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer, _ = post(f"http://127.0.0.1:{port}/")
    assert (answer.error or "").startswith("no connection: ")


def test_a_refused_address_is_never_dialled_and_the_setting_is_named() -> None:
    with receiving() as receiver:
        answer = Poster()(receiver.url, HEADERS, b"{}")
    assert 'unless alerts.allow holds its network, such as "127.0.0.1/32"' in (answer.error or "")
    assert receiver.received == []


def test_the_address_that_was_checked_is_dialled_and_the_name_is_asked_once() -> None:
    asked: list[tuple[str, int]] = []

    def rebinding(host: str, port: int) -> Sequence[Address]:
        asked.append((host, port))
        return [ipaddress.ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    with receiving() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        answer = Poster(LOCAL, resolve=rebinding)(f"http://hooks.example:{port}/x", HEADERS, b"{}")
    assert answer.is_delivered
    assert asked == [("hooks.example", int(port))]
    assert receiver.received[0].headers["host"] == f"hooks.example:{port}"


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    def two(host: str, port: int) -> Sequence[Address]:
        return [ipaddress.ip_address(text) for text in ("127.0.0.2", "127.0.0.1")]

    with receiving() as receiver:
        port = receiver.url.split(":")[2].split("/")[0]
        post = Poster(networks("127.0.0.0/8"), resolve=two)
        assert post(f"http://hooks.example:{port}/", HEADERS, b"{}").is_delivered


def test_a_name_server_that_hangs_is_not_waited_for() -> None:
    over = threading.Event()

    def hanging(host: str, port: int) -> Sequence[Address]:
        over.wait(30)
        return []

    began_s = time.monotonic()
    answer = Poster(resolve=hanging, timeout_s=0.5)("http://hooks.example/", HEADERS, b"{}")
    over.set()
    assert answer.error == "no name server said where hooks.example is"
    assert time.monotonic() - began_s < 2


def test_a_name_that_nobody_knows_is_said() -> None:
    def unknown(host: str, port: int) -> Sequence[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    answer = Poster(resolve=unknown)("http://nowhere.example/", HEADERS, b"{}")
    assert "nowhere.example has no address" in (answer.error or "")


def test_a_certificate_must_be_of_the_name_and_of_a_trusted_authority() -> None:
    file = Path(__file__).with_name("hooks.example.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.create_default_context(cafile=file)

    def here(host: str, port: int) -> Sequence[Address]:
        return [ipaddress.ip_address("127.0.0.1")]

    def answer(connection: socket.socket, over: threading.Event) -> None:
        with server.wrap_socket(connection, server_side=True) as secure:
            heard = b""
            while not heard.endswith(b"{}"):
                heard += secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with misbehaving(answer) as url:
        port = url.split(":")[2].split("/")[0]
        trusting = Poster(LOCAL, resolve=here, tls=client)
        assert trusting(f"https://hooks.example:{port}/", HEADERS, b"{}").is_delivered
        other = trusting(f"https://other.example:{port}/", HEADERS, b"{}")
        assert "certificate" in (other.error or "")
        strict = Poster(LOCAL, resolve=here)(f"https://hooks.example:{port}/", HEADERS, b"{}")
        assert "certificate" in (strict.error or "")


def test_a_tls_handshake_that_hangs_ends_in_bounded_time() -> None:
    with misbehaving(receivers.hang) as url:
        answer, took_s = post(url.replace("http:", "https:"), timeout_s=1.0)
    assert answer.error == "no answer within 1 s"
    assert took_s < 2.5
