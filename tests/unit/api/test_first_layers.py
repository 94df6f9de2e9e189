"""What the guard and the authentication make of headers that no honest client sends."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.auth import Authentication
from monitor.api.guard import Guard
from monitor.api.sessions import Access, Session
from monitor.clock import SystemClock

_ACCESS = Access("a token of some length for this test")


async def _inner(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _status(app: ASGIApp, headers: list[tuple[bytes, bytes]]) -> Any:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http", "method": "POST", "path": "/api/v1/models", "query_string": b"",
        "scheme": "http", "headers": headers,
    }  # fmt: skip
    # In a thread of its own: a browser's tests leave a loop in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, app(scope, receive, send)).result()  # type: ignore[arg-type]
    return sent[0]["status"]


@pytest.mark.parametrize("length", [b"\xb2", b"9" * 5_000, b"-1", b""])
def test_a_length_that_is_none_is_refused_and_no_fault_of_ours(length: bytes) -> None:
    guard = Guard(_inner, hosts=None, limits=(("/", 1_000),), policy="")
    assert _status(guard, [(b"content-length", length)]) == 413


@pytest.mark.parametrize(
    ("port", "site", "status"),
    [
        (b"8050", b"same-origin", 200),
        (b"8050", b"same-site", 403),
        (b"9000", b"same-origin", 403),
        (b"9000", b"", 403),
    ],
)
def test_another_port_of_a_host_without_names_may_not_use_its_session(
    port: bytes, site: bytes, status: int
) -> None:
    clock = SystemClock()
    now_s = clock.now_ms() // 1_000
    cookie = _ACCESS.seal(Session(now_s, now_s)).encode()
    app = Authentication(_inner, access=_ACCESS, clock=clock)
    headers = [
        (b"host", b"drift.example:8050"), (b"origin", b"http://drift.example:" + port),
        (b"sec-fetch-site", site), (b"cookie", b"driftline-session=" + cookie),
    ]  # fmt: skip
    assert _status(app, headers) == status
