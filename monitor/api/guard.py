"""The outermost layer: whose request is heard at all, and how much of it is read.

On open loopback the one protection is that only this machine may ask. A page in
the user's browser can reach this machine too, so a foreign name in `Host` (DNS
rebinding) and a foreign `Origin` are refused, there and everywhere else. Who asks
is no matter of this layer: see `monitor.api.auth`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final
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
PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
Origin = tuple[str, str, int]


class _TooLarge(Exception):
    pass


class Guard:
    """ASGI middleware: Host and Origin lists, body limits, security headers.

    Parameters
    ----------
    hosts
        Names that `Host` may carry, without ports; None accepts every name and origin.
    limits
        (path prefix, largest body in bytes), the first match wins.
    policy
        The content security policy.
    public
        Where people open the pages, if that is not where requests arrive: an `Origin`, too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: frozenset[str] | None,
        limits: Sequence[tuple[str, int]],
        policy: str,
        public: Origin | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._public = public
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
        own = host_of(scope)
        if own is None or own[0] not in self._hosts:
            return (421, "This name is not served", *self._names)
        if scope["method"] in SAFE_METHODS:
            return None
        origin = header(scope, b"origin")
        is_foreign = origin is not None and not is_own(origin, scope, self._public)
        # Another port of this machine is another site, though a cookie goes to both.
        if is_foreign or header(scope, b"sec-fetch-site") in ("cross-site", "same-site"):
            return (
                403,
                "Another site may not write here",
                "The Origin header names another site: another scheme, name or port.",
                "send the request from a page of this site, or without a browser; behind a proxy "
                "set web.url to the address that people open, and web.behind_proxy",
            )
        return None


def origin_of(url: str) -> Origin | None:
    """Return scheme, host's name (lower case) and port of an address; None = it is none.

    Examples
    --------
    >>> origin_of("https://Drift.example/a"), origin_of("http://[::1]:8050")
    (('https', 'drift.example', 443), ('http', '::1', 8050))
    >>> origin_of("null"), origin_of("http://me@127.0.0.1"), origin_of("http://127.0.0.1:x")
    (None, None, None)
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or "@" in parts.netloc or parts.scheme not in PORTS:
        return None
    return parts.scheme, host, PORTS[parts.scheme] if port is None else port


def host_of(scope: Scope) -> tuple[str, int | None] | None:
    """Return name and port of the one Host header; None where it is none, or there are several.

    Nothing but a name and a port is taken: whoever reads the header in another way than this
    (a user before an @, a path, a blank) must not be led elsewhere.
    """
    said = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    found = _HOST.fullmatch(said[0]) if len(said) == 1 else None
    if found is None:
        return None
    name, port = found[1].lower(), found[2]
    return name.strip("[]").rstrip("."), None if port is None else int(port)


def is_own(said: str, scope: Scope, public: Origin | None) -> bool:
    """Return whether an Origin or Referer is this site's.

    That is the scheme, name and port that the request itself was sent to, or the public address,
    which a proxy may have rewritten.
    """
    found, own = origin_of(said), host_of(scope)
    if found is None or own is None:
        return False
    name, port = own
    scheme = scope.get("scheme", "http")
    here = (scheme, name, PORTS.get(scheme, 0) if port is None else port)
    return found in (here, public)


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
