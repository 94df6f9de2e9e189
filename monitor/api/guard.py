"""The outermost layer: whose request is heard at all, and how much of it is read.

On open loopback the one protection is that only this machine may ask. A page in
the user's browser can reach this machine too, so a foreign name in `Host` (DNS
rebinding) and a foreign `Origin` are refused, there and everywhere else. Who asks
is no matter of this layer: see `monitor.api.auth`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from monitor.api.problems import MEDIA_TYPE, problem_body

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# A document of a hundred features with a year of hours is about 8 MB.
MAX_REFERENCE_BYTES = 64 * 1024 * 1024
MAX_BODY_BYTES = 256 * 1024
# The login's form: a token and an address.
MAX_FORM_BYTES = 8 * 1024


class _TooLarge(Exception):
    pass


class Guard:
    """ASGI middleware: Host and Origin lists, body limits, security headers.

    Parameters
    ----------
    hosts
        Names that `Host` and `Origin` may carry, without ports; None accepts every name.
    limits
        (path prefix, largest body in bytes), the first match wins.
    policy
        The content security policy.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str] | None,
        limits: Sequence[tuple[str, int]],
        policy: str,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._limits = tuple(limits)
        self._names = (
            (
                "The Host header must name this machine's loopback address.",
                "ask http://127.0.0.1 or http://localhost",
            )
            if hosts is None or hosts <= LOOPBACK
            else (
                "The Host header must name this server as it is configured.",
                "ask it by a name of the setting web.hosts, or add this one there",
            )
        )
        self._headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"referrer-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"content-security-policy", policy.encode()),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        has_started = False

        async def guarded_send(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(guarded_send, *refusal)
            return
        limit = self._limit(scope["path"])
        length = header(scope, b"content-length")
        if length is not None and _exceeds(length, limit):
            await _answer(guarded_send, *_too_large(limit))
            return
        read = 0

        async def counted_receive() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise _TooLarge
            return message

        try:
            await self._app(scope, counted_receive, guarded_send)
        except _TooLarge:
            if has_started:
                raise
            await _answer(guarded_send, *_too_large(limit))

    def _limit(self, path: str) -> int:
        return next((most for prefix, most in self._limits if path.startswith(prefix)), 0)

    def _refusal(self, scope: Scope) -> tuple[int, str, str, str] | None:
        if self._hosts is None:
            return None
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or host_name("//" + hosts[0].decode("latin-1")) not in self._hosts:
            return (421, "This name is not served", *self._names)
        if scope["method"] in SAFE_METHODS:
            return None
        origin = header(scope, b"origin")
        is_foreign = origin is not None and host_name(origin) not in self._hosts
        # Another port of this machine is another site, though a cookie goes to both.
        if is_foreign or header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            return (
                403,
                "Another site may not write here",
                "The Origin header names another site.",
                "send the request from this site, or without a browser",
            )
        return None


def host_name(url: str) -> str:
    """Return the host's name, lower case, without its port and IPv6's brackets; "" = none.

    Examples
    --------
    >>> host_name("https://Drift.example:8443/a"), host_name("//[::1]:8050"), host_name("null")
    ('drift.example', '::1', '')
    """
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def header(scope: Scope, wanted: bytes) -> str | None:
    """Return the first header of this (lower case) name."""
    found = next((value for name, value in scope["headers"] if name == wanted), None)
    return found.decode("latin-1") if found is not None else None


def _exceeds(length: str, limit: int) -> bool:
    """Whether a Content-Length is above the limit, or none at all."""
    # Of more digits Python reads no number.
    is_number = length.isascii() and length.isdigit() and len(length) <= 20
    return not is_number or int(length) > limit


def _too_large(limit: int) -> tuple[int, str, str, str]:
    return (413, "The body is too large", f"At most {limit:,} bytes are read here.", "send less")


async def _answer(send: Send, status: int, title: str, detail: str, mend: str) -> None:
    body = json.dumps(problem_body(status, title, detail, mend)).encode()
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
