"""The demo's receiver of alerts: it says each message once."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from driftline.webhooks import Alert, new_secret
from monitor.cli.demo.webhooks import Webhooks

ENDPOINT: Final = "demo"


class Receiver:
    """Receives on a free port of the loopback address while the block runs.

    Parameters
    ----------
    say
        Takes one line for each message.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.secret = new_secret()
        self._webhooks = Webhooks(
            self.secret,
            take=lambda alert: say(line(alert)),
            refused=lambda why: say(f"webhook refused: {why}"),
        )
        self.url = self._webhooks.url

    def __enter__(self) -> Self:
        self._webhooks.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._webhooks.__exit__(kind, error, trace)


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
