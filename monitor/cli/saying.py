"""How verbs say an answer: as JSON, as an instant, as one line of a terminal."""

from __future__ import annotations

import dataclasses
import getpass
import json
from datetime import UTC, datetime
from typing import Any
from unicodedata import category


def plain(found: Any) -> dict[str, Any]:
    """Return what JSON says of an answer: instants as RFC 3339.

    Examples
    --------
    >>> from driftline.answers import Note
    >>> plain(Note("commented", datetime(2025, 6, 2, 8, tzinfo=UTC), "Mo", "a"))["at"]
    '2025-06-02T08:00:00Z'
    """
    text = json.dumps(dataclasses.asdict(found), default=instant)
    said: dict[str, Any] = json.loads(text)
    return said


def instant(at: datetime) -> str:
    """Return RFC 3339 in UTC, as the API says it."""
    precision = "milliseconds" if at.microsecond else "seconds"
    return at.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def minute(at: datetime) -> str:
    """Return an instant for people.

    >>> minute(datetime(2025, 6, 2, 8, tzinfo=UTC))
    '2025-06-02 08:00 UTC'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def line(text: str) -> str:
    r"""Return data for one line of a terminal: no control character reaches it.

    The spaces of sentences that do not break are spaces there.

    >>> line("a\x1b[31m\nb") == "a\ufffd[31m\ufffdb"
    True
    >>> line("missing 0.2\xa0%")
    'missing 0.2 %'
    """
    return "".join(
        c if c.isprintable() else " " if category(c) == "Zs" else "\N{REPLACEMENT CHARACTER}"
        for c in text
    )


def seconds(at: datetime) -> str:
    """Return an instant to the second, for people.

    >>> seconds(datetime(2025, 6, 2, 8, tzinfo=UTC))
    '2025-06-02 08:00:00 UTC'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def user() -> str:
    """Return who types this; "" where the system has no name for them."""
    try:
        return getpass.getuser()[:100]
    except (KeyError, OSError):
        return ""
