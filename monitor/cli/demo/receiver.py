"""The demo's receiver: what a user's own service would do with a webhook, in a thread.

It verifies every request, says each message once, and answers 400 to what it cannot trust.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Final, Self

from driftline import WebhookVerificationError, verify_webhook
from driftline.webhooks import Alert, new_secret

ENDPOINT: Final = "demo"
_MAX_BYTES: Final = 1_000_000
# A dispatcher that stops amid a request must not keep the thread.
_TIMEOUT_S: Final = 10


class Receiver:
    """Receives on a free port of the loopback address while the block runs.

    Parameters
    ----------
    say
        Takes one line for each message.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.secret = new_secret()
        self._say = say
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhooks"

    def _take(self, alert: Alert) -> None:
        with self._lock:
            if alert.webhook_id in self._seen:  # sent again: it was said already
                return
            self._seen.add(alert.webhook_id)
            self._say(line(alert))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            timeout = _TIMEOUT_S

            def do_POST(self) -> None:
                length = self.headers.get("content-length", "")
                size = int(length) if length.isascii() and length.isdigit() else 0
                body = self.rfile.read(min(size, _MAX_BYTES))
                try:
                    alert = verify_webhook(self.headers.items(), body, receiver.secret)
                except WebhookVerificationError as error:
                    receiver._say(f"webhook refused: {error}")
                    self.send_error(400, error.reason)
                    return
                receiver._take(alert)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                """Say nothing of requests: the messages are what counts."""

        return Handler

    def __enter__(self) -> Self:
        serve = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="receiver",
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


def line(alert: Alert) -> str:
    """Return a message in one line.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> at = datetime(2013, 2, 9, tzinfo=UTC)
    >>> line(Alert("m", "drift.detected", at, "a", 1, "m", "1", "critical", "Dead.", None, (), {}))
    'webhook drift.detected, critical: Dead.'
    """
    severity = f", {alert.severity}" if alert.severity else ""
    return " ".join(f"webhook {alert.type}{severity}: {alert.summary or 'no words'}".split())
