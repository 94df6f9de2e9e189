"""What one call of the logger says, as the line of one event.

Everything here runs in the caller's thread, on the caller's objects, before the queue: names and
times are checked, values become what JSON holds. What cannot be an event is `Refused`; nothing
here counts, logs or waits.
"""

from __future__ import annotations

import time as clock
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import UNSET

from driftline.errors import ConfigError
from driftline.events import MAX_NAME, MAX_TIME_MS, MIN_TIME_MS, Event
from driftline.plain import (
    INFINITE,
    PLAIN,
    NotPlain,
    as_mapping,
    instant_ms,
    is_plain,
    plain,
    plain_values,
)
from driftline.producer import MAX_RECORD_BYTES

_encode: Final = msgspec.json.Encoder().encode
_SCALARS: Final = (str, float, int, bool, type(None))
# Predictions that are sent as they are: an integer may be too long.
_TAKEN: Final = (float, str, bool)


class Refused(Exception):
    """A call that says no event; `reason` is one of `driftline.telling.DROPPED`."""

    def __init__(self, reason: str, words: str) -> None:
        self.reason, self.words = reason, words
        super().__init__(f"{reason}: {words}")


class Line(NamedTuple):
    """An event as it is sent.

    Attributes
    ----------
    value : bytes
        A JSON object.
    nulled : list of str
        The values that JSON cannot hold, each with its type; null stands in their place.
    """

    value: bytes
    nulled: list[str]


class Lines:
    """Makes the lines of one model version.

    Parameters
    ----------
    model, version
        Names, 1 to 200 characters. The version 3 is "3".
    timezone
        IANA zone in which times without an offset are read.
    on_naive
        Called with each time that has no offset.

    Raises
    ------
    ConfigError
        A name or a zone that cannot be.

    Examples
    --------
    >>> lines = Lines("churn", 3, "UTC", lambda: None)
    >>> lines.label("7f3a", 0, "2025-03-08T00:00:00Z").value
    b'{"type":"label","model":"churn","time":1741392000000,"id":"7f3a","label":0}'
    """

    def __init__(
        self, model: Any, version: Any, timezone: Any, on_naive: Callable[[], None]
    ) -> None:
        self.model = _name("model", model)
        self.version = _name("version", str(version) if type(version) is int else version)
        self.timezone: str = timezone
        self._zone = _zone(timezone)
        self._on_naive = on_naive

    def prediction(self, features: Any, prediction: Any, id: Any, time: Any, tags: Any) -> Line:
        """Return the line of a prediction; the arguments are those of `EventLogger.log`.

        Raises
        ------
        Refused
            No event can be made of them.
        """
        nulled: list[str] = []
        event = Event(
            "prediction", self.model, self._at_ms(time), self.version, _id(id, nulled),
            features=_values(_by_name("features", features), nulled),
            prediction=UNSET if prediction is None else _value("prediction", prediction, nulled),
            tags=None if tags is None else _values(_by_name("tags", tags), nulled),
        )  # fmt: skip
        return _line(event, nulled)

    def usual(self, features: Any, prediction: Any, id: Any, time: Any, tags: Any) -> bytes | None:
        """Return the same line, where nothing has to be looked at twice; None where something has.

        Called once an event by somebody who waits: what is called from here is cold then, and
        each call costs more than all its instructions.
        """
        if type(features) is not dict or tags is not None or type(id) not in _SCALARS:
            return None
        if type(prediction) is dict:
            values = (*features.values(), *prediction.values())
        elif prediction is None:
            prediction, values = UNSET, tuple(features.values())
        elif type(prediction) in _TAKEN:
            values = (*features.values(), prediction)
        else:
            return None
        if not PLAIN.issuperset(map(type, values)):
            return None
        at_ms = clock.time_ns() // 1_000_000 if time is None else time
        if type(at_ms) is not int or not MIN_TIME_MS <= at_ms < MAX_TIME_MS:
            return None
        try:
            value = _encode(
                Event("prediction", self.model, at_ms, self.version, id, features, prediction)
            )
        except Exception:  # noqa: BLE001 - what is wrong is found where each value is looked at
            return None
        # An infinity was written as null: only then one is looked for.
        if b"null" in value and not INFINITE.isdisjoint(values):
            return None
        return value if len(value) <= MAX_RECORD_BYTES else None

    def label(self, id: Any, label: Any, time: Any) -> Line:
        """Return the line of a label.

        Raises
        ------
        Refused
            It has no id, or a time that is none.
        """
        nulled: list[str] = []
        at_ms, id = self._at_ms(time), _id(id, nulled)
        if id is None or id == "":
            raise Refused("id_missing", "a label needs its prediction's id")
        event = Event("label", self.model, at_ms, "", id, label=_value("label", label, nulled))
        return _line(event, nulled)

    def _at_ms(self, time: Any) -> int:
        if time is None:
            at_ms, is_naive = clock.time_ns() // 1_000_000, False
        else:
            try:
                found = instant_ms(time, self._zone)
            except Exception:  # noqa: BLE001 - a foreign object, or a time beyond the calendar
                found = None
            if found is None:
                raise Refused("bad_time", f"{briefly(time)} is no instant")
            at_ms, is_naive = found
        if not MIN_TIME_MS <= at_ms < MAX_TIME_MS:
            hint = " (are these seconds, not milliseconds?)" if isinstance(time, int) else ""
            raise Refused("bad_time", f"{briefly(time)} is not in 2000 to 2099{hint}")
        if is_naive:
            self._on_naive()
        return at_ms


def briefly(value: Any) -> str:
    """Return a value for a sentence; whatever it is, this does not raise.

    Examples
    --------
    >>> briefly("yesterday")
    "'yesterday'"
    """
    try:
        return repr(value)[:80]
    except Exception:  # noqa: BLE001 - a foreign object's own
        return f"a {type(value).__name__}"


def _line(event: Event, nulled: list[str]) -> Line:
    try:
        value = _encode(event)
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError, RecursionError):
        # Half a character, a name that is no text, a number too long to print: find it.
        event.id = _value("id", event.id, nulled)
        for name in ("features", "prediction", "label", "tags"):
            found = getattr(event, name)
            if isinstance(found, dict):
                setattr(event, name, _cleaned(found, nulled))
            elif type(found) is int:
                setattr(event, name, plain(found))
        value = _encode(event)
    if len(value) > MAX_RECORD_BYTES:
        raise Refused(
            "too_large", f"an event of {len(value):,} bytes, {MAX_RECORD_BYTES:,} are allowed"
        )
    return Line(value, nulled)


def _by_name(what: str, given: Any) -> Mapping[Any, Any]:
    found = as_mapping(given)
    if found is None:
        raise Refused(
            "not_serializable",
            f"{what} are a {type(given).__name__}: give them by name, in a mapping",
        )
    return found


def _values(values: Mapping[Any, Any], nulled: list[str]) -> dict[str, Any]:
    # A plain dict of plain values is encoded as it is, before the caller can change it.
    if type(values) is dict and is_plain(values):
        return values
    return _cleaned(values, nulled)


def _cleaned(values: Mapping[Any, Any], nulled: list[str]) -> dict[str, Any]:
    found, dropped = plain_values(values)
    nulled += [f"{briefly(name)} ({kind})" for name, kind in dropped.items()]
    return found


def _id(value: Any, nulled: list[str]) -> Any:
    return value if type(value) in _SCALARS else _value("id", value, nulled)


def _value(what: str, value: Any, nulled: list[str]) -> Any:
    if type(value) is dict and is_plain(value):
        return value
    try:
        return plain(value)
    except NotPlain as error:
        nulled.append(f"{what!r} ({error})")
        return None


def _name(what: str, name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise ConfigError(what, "argument", name, f"1 to {MAX_NAME} printable characters")
    return name


def _zone(name: Any) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except Exception:  # noqa: BLE001 - it raises by what the text looks like
        raise ConfigError(
            "timezone", "argument", name, "an IANA zone such as Europe/Berlin"
        ) from None
