"""A broker that refuses a login and hangs up is asked once more, and its answer is read."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError

from driftline.knocking import HungUp, answer
from driftline.refusing import refusal

LOGIN = {
    "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_plain_username": "me",
    "sasl_plain_password": "pw-canary",
}  # fmt: skip
TAKEN = struct.pack(">hi", 0, 1) + b"\x00\x05PLAIN"
OTHERS = struct.pack(">hi", 33, 2) + b"\x00\x05OTHER\x00\x07ANOTHER"
NO_LOGIN = struct.pack(">hi", 34, 0)
LET_IN = struct.pack(">hhi", 0, -1, 0)
REFUSED = struct.pack(">hh", 58, 10) + b"wrong word" + struct.pack(">i", 0)
UNEXPLAINED = struct.pack(">hhi", 58, -1, -1)


@contextmanager
def broker(*answers: bytes, is_framed: bool = True) -> Iterator[tuple[str, list[bytes]]]:
    """Answers each connection's requests with these, then hangs up; yields what was asked."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with suppress(ConnectionError), connection, connection.makefile("rb") as given:
                    for one in answers:
                        head = given.read(4)
                        if len(head) < 4:
                            break
                        asked.append(given.read(struct.unpack(">i", head)[0]))
                        whole = b"\x00\x00\x00\x01" + one
                        length = struct.pack(">i", len(whole))
                        connection.sendall(length + whole if is_framed else one)
                    else:
                        # It hangs up when asked again, without a word.
                        given.read(4)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


HUNG_UP = [KafkaConnectionError("socket disconnected")]


def told(at: str, options: dict[str, Any] = LOGIN) -> str | None:
    found = refusal(HUNG_UP, options, [at])
    return None if found is None else found[0]


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([OTHERS], "it does not take PLAIN: it takes OTHER, ANOTHER"),
        ([NO_LOGIN], "it asks for no login on this port"),
        ([TAKEN, REFUSED], "it refuses user me: wrong word"),
        ([TAKEN, UNEXPLAINED], "it refuses user me: it does not say why"),
        ([TAKEN], "it hangs up at the login (user me, PLAIN)"),
        # None of these says that a login is refused.
        ([TAKEN, LET_IN], None),
        ([], None),
        ([b"\x00"], None),
        ([TAKEN, b"\x00\x00"], None),
    ],
)
def test_what_a_broker_answers_before_it_hangs_up_is_told(
    answers: list[bytes], words: str | None
) -> None:
    with broker(*answers) as (at, asked):
        assert told(at) == words
        assert len(asked) == len(answers)
        if asked:
            assert asked[0].startswith(struct.pack(">hh", 17, 1))
            assert asked[0].endswith(b"\x00\x05PLAIN")


def test_the_mechanisms_are_asked_where_the_client_did_not_pass_them_on() -> None:
    from kafka.errors import UnsupportedSaslMechanismError

    heard = [UnsupportedSaslMechanismError()]
    with broker(OTHERS) as (at, _):
        found = refusal(heard, LOGIN, [at])
        assert found is not None
        assert found[0] == "it does not take PLAIN: it takes OTHER, ANOTHER"
    found = refusal(heard, LOGIN, ["127.0.0.1:1"])
    assert found is not None
    assert found[0].startswith("it does not take PLAIN")


def test_who_answers_is_told_of_several() -> None:
    with broker(TAKEN, REFUSED) as (at, _):
        assert "SaslAuthenticationFailed" in repr(answer(["127.0.0.1:1", "nonsense", at], LOGIN))


@pytest.mark.parametrize(
    "changed",
    [
        {"security_protocol": "PLAINTEXT"},
        {"security_protocol": "SSL"},
        {"proxy_url": "socks5://127.0.0.1:1"},
        {"sasl_mechanism": "NONE-OF-OURS"},
        {"security_protocol": "SASL_SSL"},
    ],
)
def test_where_there_is_nothing_to_ask_nothing_is_told(changed: dict[str, Any]) -> None:
    with broker(TAKEN) as (at, _):
        assert answer([at], LOGIN | changed) is None


def test_one_that_is_silent_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        assert answer([at], LOGIN, 0.2) is None
    with broker(b"HTTP/1.1 400 Bad Request\r\n\r\n", is_framed=False) as (at, _):
        assert answer([at], LOGIN) is None


def test_neither_answer_nor_fault_shows_the_password() -> None:
    with broker(TAKEN) as (at, asked):
        found = answer([at], LOGIN)
        assert isinstance(found, HungUp)
        assert "pw-canary" not in repr(found)
    assert not any(b"pw-canary" in one for one in asked[:1])
