"""What a serving process holds, as what JSON holds: numbers, text, truth values, null.

Models are fed with numpy scalars, Decimals, timestamps and enums, whose values are obvious. What
has no obvious value is named and left to the caller to drop and count: nothing here guesses, and
nothing here trusts a foreign object's methods not to raise.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from numbers import Integral, Real
from pathlib import PurePath
from types import NoneType
from typing import Any, Final
from uuid import UUID

# What a number beyond float64 becomes, as in `driftline.wire`: it lands in the overflow bin.
HUGE: Final = 1.7e308
# An event may be nested 64 levels deep; its features are the second.
MAX_DEPTH: Final = 60
# Python prints integers of up to 4,300 digits; each takes 3.32 bits.
_MAX_BITS: Final = 14_000
INFINITE: Final = frozenset({math.inf, -math.inf})
_AS_IS: Final = frozenset({str, int, bool, NoneType})
# What JSON's encoder takes as it is, but for infinities.
PLAIN: Final = _AS_IS | {float}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


class NotPlain(Exception):
    """A value that JSON cannot hold, by the name of its type."""


def is_plain(values: Mapping[Any, Any]) -> bool:
    """Return whether JSON holds these values as they are (NaN is written as null).

    Examples
    --------
    >>> is_plain({"a": 1.5, "b": "x"}), is_plain({"a": float("inf")}), is_plain({"a": []})
    (True, False, False)
    """
    found = values.values()
    return PLAIN.issuperset(map(type, found)) and INFINITE.isdisjoint(found)


def plain_values(values: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values by name as JSON holds them, and the types of those that it cannot hold.

    What cannot be held is null. A name that is no text is kept when it is an integer.

    Examples
    --------
    >>> plain_values({"price": Decimal("2.50"), "callback": print})
    ({'price': 2.5, 'callback': None}, {'callback': 'builtin_function_or_method'})
    """
    found: dict[str, Any] = {}
    dropped: dict[str, str] = {}
    for key, value in values.items():
        try:
            name = _key(key)
        except NotPlain as error:
            dropped[f"a name of type {error}"] = str(error)
            continue
        try:
            found[name] = plain(value)
        except NotPlain as error:
            found[name] = None
            dropped[name] = str(error)
    return found, dropped


def plain(value: Any) -> Any:
    """Return one value as JSON holds it.

    Numpy's and pyarrow's scalars, and arrays of one element, become their value; Decimals and
    fractions floats; NaN, NaT and NA null; infinities the largest numbers; times ISO 8601 text,
    durations seconds; enums their value; bytes their UTF-8 text; sets, tuples and arrays lists;
    dataclasses objects.

    Raises
    ------
    NotPlain
        With the name of a type that has no obvious value.

    Examples
    --------
    >>> plain(timedelta(minutes=2)), plain(b"UA"), plain(float("inf")), plain(Decimal("NaN"))
    (120.0, 'UA', 1.7e+308, None)
    >>> plain(10**20), plain(-(10**5_000))
    (100000000000000000000, -1.7e+308)
    """
    try:
        return _plain(value, 0)
    except NotPlain:
        raise
    except Exception:  # noqa: BLE001 - a foreign object's method may raise anything
        raise NotPlain(type(value).__name__) from None


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if kind is str:
        value.encode()  # half a character is no text
        return value
    if kind is int:
        return _whole(value)
    if kind in _AS_IS:
        return value
    if depth > MAX_DEPTH:
        raise NotPlain(f"{kind.__name__} nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1)
    if isinstance(value, float):
        return _number(float.__float__(value))
    if isinstance(value, int):
        return _whole(int.__int__(value))
    if isinstance(value, str):
        return _plain(str.__str__(value), depth)
    if kind.__name__ in ("datetime64", "timedelta64"):
        # Before numbers: numpy calls a duration an integer, and nanoseconds would come as one.
        return _plain(value.astype(f"{kind.__name__}[us]").item(), depth + 1)
    if isinstance(value, Integral):
        return _whole(int(value))
    if isinstance(value, Decimal | Real):
        return _number(float(value))
    if isinstance(value, datetime | date | time):
        # NaT is a datetime that is not itself.
        return value.isoformat() if value == value else None
    if isinstance(value, timedelta):
        return value.total_seconds() if value == value else None
    if isinstance(value, UUID | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode()
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | Set | deque):
        return [_plain(item, depth + 1) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: _plain(getattr(value, name), depth + 1) for name in names}
    return _foreign(value, depth)


def _foreign(value: Any, depth: int) -> Any:
    """Values of numpy, pandas, pyarrow and torch, none of which is imported for it."""
    name = type(value).__name__
    if name in ("NAType", "NaTType"):
        return None
    if hasattr(value, "as_py"):
        return _plain(value.as_py(), depth + 1)
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        found = value.tolist()
        while isinstance(found, list) and len(found) == 1:
            (found,) = found
        if type(found) is type(value):
            raise NotPlain(name)
        return _plain(found, depth + 1)
    raise NotPlain(name)


def _number(value: float) -> float | None:
    if value != value:
        return None
    return math.copysign(HUGE, value) if value in INFINITE else value


def _whole(value: int) -> int | float:
    if value.bit_length() <= _MAX_BITS:
        return value
    return HUGE if value > 0 else -HUGE


def _key(key: Any) -> str:
    if type(key) is str:
        try:
            key.encode()
        except UnicodeEncodeError:
            raise NotPlain("str") from None
        return key
    try:
        found = plain(key)
    except NotPlain:
        raise NotPlain(type(key).__name__) from None
    if isinstance(found, str | int) and not isinstance(found, bool):
        return str(found)
    raise NotPlain(type(key).__name__)


def as_mapping(features: Any) -> Mapping[Any, Any] | None:
    """Return features by name: a mapping, a named tuple, a dataclass, a row of a data frame.

    Examples
    --------
    >>> as_mapping({"age": 41}), as_mapping([41])
    ({'age': 41}, None)
    """
    if isinstance(features, Mapping):
        return features
    if dataclasses.is_dataclass(features) and not isinstance(features, type):
        return {f.name: getattr(features, f.name) for f in dataclasses.fields(features)}
    for method in ("_asdict", "model_dump", "to_dict"):
        if callable(give := getattr(features, method, None)):
            found = give()
            return found if isinstance(found, Mapping) else None
    return None


def instant_ms(at: Any, zone: tzinfo) -> tuple[int, bool] | None:
    """Return epoch milliseconds, rounded down, and whether the time was naive; None for no time.

    Aware datetimes and RFC 3339 texts are what they are, integers are epoch milliseconds; naive
    datetimes, dates and numpy's datetimes are read on the zone's clock.

    Examples
    --------
    >>> instant_ms("2013-02-08T10:15:00Z", UTC), instant_ms(datetime(1970, 1, 1), UTC)
    ((1360318500000, False), (0, True))
    """
    if isinstance(at, int) and not isinstance(at, bool):
        return int(at), False
    name = type(at).__name__
    if name == "datetime64":
        at = at.astype("datetime64[us]").item()
    elif not isinstance(at, str | date) and hasattr(at, "item"):
        return instant_ms(at.item(), zone)
    if isinstance(at, str):
        try:
            at = datetime.fromisoformat(at)
        except ValueError:
            return None
    elif isinstance(at, date) and not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day)
    if not isinstance(at, datetime) or at != at:
        return None
    is_naive = at.tzinfo is None
    if is_naive:
        at = at.replace(tzinfo=zone)
    return (at - _EPOCH) // _MS, is_naive


def shown(names: Sequence[str], most: int = 3) -> str:
    """Return the first names, for a sentence.

    Examples
    --------
    >>> shown(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
