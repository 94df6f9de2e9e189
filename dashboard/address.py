"""Addresses: from names to links and back. The only place that writes or reads a URL.

Every view is a link: what is chosen stands in the query, defaults are left out.
Names are percent-encoded whole, slashes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import parse_qsl, quote, unquote, urlencode
from zoneinfo import ZoneInfo

# Longer is no address of ours: names have at most 200 characters, each of at most 12 when encoded.
MAX_CHARACTERS = 16_000
MAX_VALUE = 2_000
RELATIVE = re.compile(r"-(\d{1,4})([hdw])")
UNIT_MS = {"h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)

Query = str | int | None


def to(*parts: str | int, **query: Query) -> str:
    """Return the address of `parts` with the queries that are given.

    >>> to("models", "a/b", "features", "x", window="hour", segment=None)
    '/models/a%2Fb/features/x?window=hour'
    """
    path = "/" + "/".join(quote(_kept(str(part)), safe="~") for part in parts)
    asked = {key.rstrip("_"): str(value) for key, value in query.items() if value is not None}
    return f"{path}?{urlencode(asked, quote_via=quote)}" if asked else path


def model(name: str, **query: Query) -> str:
    """Return the address of a model's page; `from_` stands for `from`."""
    return to("models", name, **query)


def feature(model_name: str, name: str, **query: Query) -> str:
    """Return the address of a feature's page; `from_` stands for `from`."""
    return to("models", model_name, "features", name, **query)


def incident(number: int) -> str:
    """Return the address of an incident."""
    return to("incidents", number)


def reference(digest: str) -> str:
    """Return the address of a reference."""
    return to("references", digest)


def api(*parts: str | int, **query: Query) -> str:
    """Return the address of an API's answer."""
    return to("api", "v1", *parts, **query)


def path_parts(pathname: object) -> tuple[str, ...]:
    """Return the decoded parts of a path; what is no path of ours is empty.

    >>> path_parts("/models/a%2Fb/")
    ('models', 'a/b')
    """
    if not isinstance(pathname, str) or len(pathname) > MAX_CHARACTERS:
        return ()
    decoded = (unquote(part, errors="replace") for part in _whole(pathname).split("/") if part)
    return tuple(part.removeprefix("~") for part in decoded)


def _kept(part: str) -> str:
    """Return a part that no browser folds away, as it does with the names . and .. however encoded.

    >>> to("models", ".."), path_parts("/models/~..")
    ('/models/~..', ('models', '..'))
    """
    return f"~{part}" if part in (".", "..") or part.startswith("~") else part


def _whole(text: str) -> str:
    """Return text without halves of characters, which nothing can send on."""
    return text.encode("utf-8", "replace").decode()


def rfc3339(ms: int) -> str:
    """Return an instant as links carry it.

    >>> rfc3339(1_360_318_500_000)
    '2013-02-08T10:15:00Z'
    """
    when = datetime.fromtimestamp(ms / 1000, UTC)
    precision = "milliseconds" if when.microsecond else "seconds"
    return when.isoformat(timespec=precision).replace("+00:00", "Z")


def relative_ms(text: str) -> int | None:
    """Return how long before now a relative instant lies; None for what is none.

    >>> relative_ms("-24h"), relative_ms("2013-02-08")
    (86400000, None)
    """
    match = RELATIVE.fullmatch(text)
    return int(match[1]) * UNIT_MS[match[2]] if match else None


class Asked:
    """What a link asks for. Values that a page does not have are told in `notes`, never obeyed."""

    def __init__(self, search: object = "") -> None:
        self.notes: list[str] = []
        self._values: dict[str, str] = {}
        if isinstance(search, str) and len(search) <= MAX_CHARACTERS:
            for key, value in parse_qsl(_whole(search).lstrip("?"), errors="replace"):
                self._values.setdefault(key[:40], value[:MAX_VALUE])

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def values(self) -> Mapping[str, str]:
        """Return everything that was asked for."""
        return dict(self._values)

    def text(self, key: str) -> str | None:
        """Return a name, or None."""
        return self._values.get(key) or None

    def number(self, key: str, low: int, high: int, default: int) -> int:
        """Return a whole number in `[low, high]`."""
        value = self._values.get(key)
        if value is None:
            return default
        if re.fullmatch(r"\d{1,18}", value) and low <= int(value) <= high:
            return int(value)
        self._note(key, value, f"it goes from {low} to {high}")
        return default

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        """Return one of `allowed`."""
        value = self._values.get(key)
        if value is None or value in allowed:
            return value or default
        self._note(key, value, f"here is {_listed(allowed)}")
        return default

    def instant(
        self, key: str, zone: ZoneInfo, *, now_ms: int | None = None, is_end: bool = False
    ) -> int | None:
        """Return an instant as epoch ms: RFC 3339, a date in `zone`, or `-28d` before `now_ms`.

        A date that ends a range (`is_end`) is the end of its day.
        """
        value = self._values.get(key)
        if value is None:
            return None
        found = self._relative(value, now_ms) or self._absolute(value, zone, is_end)
        if found is None or not FIRST <= found < LAST:
            self._note(key, value, "a time is written 2013-02-08T10:15:00Z, 2013-02-08 or -28d")
            return None
        return round(found.timestamp() * 1000)

    @staticmethod
    def _relative(value: str, now_ms: int | None) -> datetime | None:
        back_ms = relative_ms(value)
        if back_ms is None or now_ms is None:
            return None
        return datetime.fromtimestamp(now_ms / 1000, UTC) - timedelta(milliseconds=back_ms)

    @staticmethod
    def _absolute(value: str, zone: ZoneInfo, is_end: bool) -> datetime | None:
        try:
            if len(value) == 10:
                day = date.fromisoformat(value) + timedelta(days=int(is_end))
                return datetime.combine(day, time(), zone)
            found = datetime.fromisoformat(value)
        except (ValueError, OverflowError):
            return None
        return found if found.tzinfo is not None else None

    def _note(self, key: str, value: str, instead: str) -> None:
        self.notes.append(f"The link asks for {key} {value[:60]!r}; {instead}.")


def _listed(names: Iterable[str]) -> str:
    told = list(names)
    return f"{', '.join(told[:-1])} and {told[-1]}" if len(told) > 1 else "".join(told)
