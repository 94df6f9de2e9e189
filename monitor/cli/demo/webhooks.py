"""What a service of the demo's user does to receive webhooks: a small server in a thread.

It verifies every request, hands on each message once, and answers 400 to what it cannot trust.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

from driftline.errors import WebhookVerificationError
from driftline.webhooks import Alert, verify_webhook

_MAX_BYTES: Final = 1_000_000
# A dispatcher that stops amid a request must not keep the thread.
_TIMEOUT_S: Final = 10


class Webhooks:
    """Receives at a port of the loopback address while the block runs.

    Parameters
    ----------
    take
        Called with each message, once, and never twice at a time.
    refused
        Called with why a request was refused.
    port
        0 takes a free one.
    """

    def __init__(
        self,
        secret: str,
        *,
        take: Callable[[Alert], None],
        refused: Callable[[str], None],
        port: int = 0,
    ) -> None:
        self._secret, self._hand_on, self._refused = secret, take, refused
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"

    def _take(self, alert: Alert) -> None:
        with self._lock:
            if alert.webhook_id in self._seen:  # sent again: it was taken already
                return
            self._seen.add(alert.webhook_id)
            self._hand_on(alert)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        mine = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S

            def do_POST(self) -> None:
                length = self.headers.get("content-length", "")
                size = int(length) if length.isascii() and length.isdigit() else 0
                body = self.rfile.read(min(size, _MAX_BYTES))
                try:
                    alert = verify_webhook(self.headers.items(), body, mine._secret)
                except WebhookVerificationError as error:
                    mine._refused(str(error))
                    self.send_error(400, error.reason)
                    return
                mine._take(alert)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing of requests: the messages are what counts."""

        return Handler

    def __enter__(self) -> Self:
        serve = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="webhooks",
            daemon=True,
        )
        serve.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
