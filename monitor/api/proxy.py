"""What the nearest proxy says of a request: who sent it, and whether it came by https.

Only for a server that nobody reaches but through that proxy (`web.behind_proxy`): anybody else
could write these headers too. Of X-Forwarded-For only the last address counts, which the proxy
itself has written; those before it are what a client claims.
"""

from __future__ import annotations

import ipaddress

from starlette.types import ASGIApp, Receive, Scope, Send

MAX_ADDRESS = 64


class BehindProxy:
    """ASGI middleware: `client` and `scheme` as the proxy saw them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with what its proxy says of it."""
        if scope["type"] == "http":
            changed: dict[str, object] = {}
            address = _address(_last(scope, b"x-forwarded-for"))
            if address:
                changed["client"] = (address, 0)
            scheme = _last(scope, b"x-forwarded-proto").lower()
            if scheme in ("http", "https"):
                changed["scheme"] = scheme
            scope = {**scope, **changed}
        await self._app(scope, receive, send)


def _last(scope: Scope, wanted: bytes) -> str:
    """The last entry of a header that may come several times, and hold several entries."""
    said = b",".join(value for name, value in scope["headers"] if name == wanted)
    return said.decode("latin-1").rpartition(",")[2].strip()


def _address(said: str) -> str:
    """The address without a port; "" when it is none.

    Examples
    --------
    >>> _address("192.0.2.1:443"), _address("[2001:db8::1]:443"), _address("2001:db8::1")
    ('192.0.2.1', '2001:db8::1', '2001:db8::1')
    >>> _address("unknown"), _address("")
    ('', '')
    """
    text = said[:MAX_ADDRESS]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
