"""JSON to events, events to columns.

A Kafka record holds one JSON object, or one a line (NDJSON); what its header calls an Arrow
stream is read by `driftline.arrow_rows`, by the same rules. The usual record
is decoded once, by msgspec, into a typed event; only a record that this refuses
is looked at again, to say exactly what is wrong with it or to take what
Python's own encoder writes and JSON does not know (NaN, Infinity). What is
accepted depends on the bytes alone, never on the stack or on other records.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from driftline.errors import DecodeError, EventTimeError, SchemaError
from driftline.events import (
    MAX_NAME,
    PREDICTION,
    SCORE,
    SCORES_PREFIX,
    Event,
)
from driftline.stats.profile import Column, State, Words, canonical_category

# Far above any sensible event, far below what would exhaust the stack.
MAX_DEPTH: Final = 64
MAX_RECORD_BYTES: Final = 1_000_000
# As many as rows of an Arrow stream: a million bytes hold 15,000 events at most, but 500,000 lines
# that are none, of which each is looked at twice.
MAX_LINES: Final = 50_000
# What a number beyond float64 becomes: it lands in the overflow bin.
_HUGE: Final = 1.7e308

_decode = msgspec.json.Decoder(Event).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

# Possessive, and an end is not asked for: a string that never ends is passed over once.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BOM: Final = b"\xef\xbb\xbf"
_ARROW: Final = b"\xff\xff\xff\xff"
_LOCAL_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?\Z")


def encode(event: Event) -> bytes:
    """Return the event as one JSON object.

    Examples
    --------
    >>> encode(Event("label", "m", 1360318500000, id="a", label=1))
    b'{"type":"label","model":"m","time":1360318500000,"id":"a","label":1}'
    """
    return _encode(event)


def decode(value: bytes | None, max_bytes: int = MAX_RECORD_BYTES) -> Event:
    """Return the one event of a record.

    Raises
    ------
    DataError
        With the reason of the dead letter. A record of many lines is
        ``bad_json`` here: see `decode_lines`.

    Examples
    --------
    >>> decode(b'{"type":"label","model":"m","time":1360318500000,"id":"a","label":1}').label
    1
    """
    if not value:
        raise DecodeError("empty")
    if len(value) > max_bytes:
        raise DecodeError("oversized", f"{len(value)} bytes, {max_bytes} are allowed")
    # Counting brackets is cheap; only a record with many of them is measured.
    if value.count(b"[") + value.count(b"{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise DecodeError("too_deep", f"nested deeper than {MAX_DEPTH} levels")
    try:
        event = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        event = _second_look(value)
    if event.model == "":
        raise SchemaError("model_missing")
    if event.type == "label":
        if event.id is None or event.id == "":
            raise SchemaError("id_missing")
        if event.label is UNSET:
            raise SchemaError("label_missing")
    elif event.version == "":
        raise SchemaError("version_missing")
    return event


def decode_lines(value: bytes) -> list[tuple[int, bytes]] | None:
    """Return the lines of an NDJSON record with their numbers from 1, or None when it is none.

    It is NDJSON when it has several lines that are not blank and one of them is a JSON
    object by itself; anything else is one broken record and becomes one dead letter.

    Raises
    ------
    DecodeError
        ``oversized``: it has more than `MAX_LINES`.
    """
    n = value.count(b"\n")
    if n > MAX_LINES:
        raise DecodeError("oversized", f"{n} line breaks, {MAX_LINES} are allowed")
    lines = [(n, line) for n, line in enumerate(value.split(b"\n"), 1) if line.strip()]
    if len(lines) < 2:
        return None
    return lines if any(_is_object(line) for _, line in lines) else None


def depth(value: bytes) -> int:
    """Return how deep brackets outside of strings are nested.

    Examples
    --------
    >>> depth(b'{"a": ["[[[", [1]]}')
    3
    """
    marks = np.frombuffer(_STRING.sub(b"", value), dtype=np.uint8)
    steps = np.zeros(marks.size, dtype=np.int64)
    steps[(marks == ord("[")) | (marks == ord("{"))] = 1
    steps[(marks == ord("]")) | (marks == ord("}"))] = -1
    return int(np.cumsum(steps).max(initial=0))


def _is_object(line: bytes) -> bool:
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and depth(line) > MAX_DEPTH:
        return False
    try:
        return isinstance(_decode_any(line), dict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return isinstance(_loosely(line), dict)
    except (ValueError, RecursionError):
        return False


def _loosely(value: bytes) -> Any:
    """What Python's decoder makes of it, which knows the NaN and Infinity of Python's encoder."""
    raw = value.removeprefix(_BOM)
    return _python_decode(raw.decode(json.detect_encoding(raw), "surrogatepass"))


def _second_look(value: bytes) -> Event:
    """Take what the fast decoder would not, or raise the reason."""
    if value.startswith(_ARROW):
        raise DecodeError("bad_json", "an Arrow stream, whose content-type header is not there")
    try:
        found = _loosely(value)
        # A lone surrogate is no text: no database and no page could hold it.
        _python_encode(found).encode()
    except (ValueError, RecursionError) as error:
        raise DecodeError("bad_json", str(error)) from None
    if not isinstance(found, dict):
        raise SchemaError("not_an_object", f"a JSON {type(found).__name__}")
    kind = _required(found, "type")
    if kind not in ("prediction", "label"):
        raise SchemaError("type_unknown", repr(kind)[:100])
    if not isinstance(_required(found, "model"), str):
        raise SchemaError("model_invalid", f"a JSON {type(found['model']).__name__}")
    version = found.get("version")
    if version is None:
        found.pop("version", None)
    elif isinstance(version, bool) or not isinstance(version, str | int):
        raise SchemaError("version_invalid", f"a JSON {type(version).__name__}")
    found["time"] = _time(_required(found, "time"))
    if not isinstance(found.get("features"), dict | None):
        raise SchemaError("features_invalid", f"a JSON {type(found['features']).__name__}")
    try:
        return msgspec.convert(found, Event)
    except msgspec.ValidationError as error:  # pragma: no cover - all causes are named above
        raise SchemaError("bad_json", str(error)) from None


def _finite(text: str) -> float:
    """A number of JSON is finite however large it is: beyond float64 it is a very large one."""
    value = float(text)
    return math.copysign(_HUGE, value) if math.isinf(value) else value


def _whole(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:  # more digits than Python agrees to read
        return -_HUGE if text.startswith("-") else _HUGE


# Made once: a second look is cheap, because anybody can ask for many.
_python_decode: Final = json.JSONDecoder(parse_float=_finite, parse_int=_whole).decode
_python_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


def _required(found: Mapping[str, Any], key: str) -> Any:
    value = found.get(key)
    if value is None or value == "":
        kind = EventTimeError if key == "time" else SchemaError
        raise kind(f"{key}_missing")
    return value


def _time(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            time = msgspec.convert(value, datetime)
        except msgspec.ValidationError:
            if _LOCAL_TIME.match(value):
                raise EventTimeError("time_no_offset", value) from None
        else:
            if time.tzinfo is None:
                raise EventTimeError("time_no_offset", value)
            return time
    raise EventTimeError("time_invalid", repr(value)[:100])


def times_ms(events: Sequence[Event]) -> NDArray[np.int64]:
    """Return the events' times in epoch ms, rounded down; what no int64 holds is clipped.

    Examples
    --------
    >>> times_ms([Event("label", "m", 1360318500123)])
    array([1360318500123])
    """
    said: list[Any] = [event.time for event in events]
    if set(map(type, said)) == {datetime}:
        # Microseconds are exact in float64 until the year 2255.
        seconds = np.fromiter(map(datetime.timestamp, said), np.float64, len(said))
        return np.rint(seconds * 1e6).astype(np.int64) // 1000
    times = [t if type(t) is int else round(t.timestamp() * 1e6) // 1000 for t in said]
    try:
        return np.array(times, dtype=np.int64)
    except OverflowError:
        limit = 1 << 62
        return np.array([max(-limit, min(limit, t)) for t in times], dtype=np.int64)


def is_name(name: str) -> bool:
    """Return whether a text may name a model or a version: 1 to 200 printable characters.

    Examples
    --------
    >>> is_name("flight-delay"), is_name("a\\x00b"), is_name("")
    (True, False, False)
    """
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def columns(
    events: Sequence[Event], features: Sequence[tuple[str, str]]
) -> tuple[dict[str, Column], int]:
    """Return one column per wanted feature, and how many feature values had no column.

    Parameters
    ----------
    events
        Predictions, in any order.
    features
        Name and kind (``numeric``, ``categorical``, ``presence``) of what is wanted;
        ``prediction``, ``prediction.score`` and ``prediction.scores.X`` are taken from
        the prediction, everything else from the features.

    Examples
    --------
    >>> rows = [Event("prediction", "m", 0, "1", features={"x": 1.5, "y": "a"})]
    >>> found, unknown = columns(rows, [("x", "numeric"), ("z", "numeric")])
    >>> float(found["x"].values[0]), int(found["z"].state[0]), unknown
    (1.5, 1, 1)
    """
    rows = [e.features or {} for e in events]
    found = {}
    # Of thousands of features an event may have none: what no row has is told once for all.
    said = frozenset[str]().union(*rows)
    parts = {name: prediction_values(events, name) for name, _ in features}
    from_rows = [name for name, part in parts.items() if part is None and name in said]
    taken = dict(zip(from_rows, _transposed(rows, from_rows), strict=True))
    nowhere: dict[str, Column] = {}
    unknown = sum(map(len, rows))
    for name, kind in features:
        part = parts[name]
        if part is not None:
            found[name], _ = as_column(part, kind)
        elif name in said:
            found[name], absent = as_column(taken[name], kind)
            unknown -= len(rows) - absent
        else:
            if kind not in nowhere:
                nowhere[kind], _ = as_column([UNSET] * len(rows), kind)
            found[name] = nowhere[kind]
    return found, unknown


def _transposed(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[Sequence[Any]]:
    """The rows' values by name; UNSET where a row does not have it."""
    if len(names) > 1 and rows:
        try:
            # Where no row lacks a name, this takes half the time.
            return list(zip(*map(itemgetter(*names), rows), strict=True))
        except KeyError:
            pass
    return [[row.get(name, UNSET) for row in rows] for name in names]


def is_output(name: str) -> bool:
    """Return whether a profiled name is a part of the prediction, not of the features."""
    return name in (PREDICTION, SCORE) or name.startswith(SCORES_PREFIX)


def prediction_values(events: Sequence[Event], name: str) -> list[Any] | None:
    """Return the named part of each event's prediction, or None when it is no such name."""
    if name == PREDICTION:
        return [_value(e.prediction) for e in events]
    if name == SCORE:
        return [
            e.prediction.get("score", UNSET) if type(e.prediction) is dict else UNSET
            for e in events
        ]
    if name.startswith(SCORES_PREFIX):
        key = name.removeprefix(SCORES_PREFIX)
        scores = [
            e.prediction.get("scores") if type(e.prediction) is dict else None for e in events
        ]
        return [s.get(key, UNSET) if type(s) is dict else UNSET for s in scores]
    return None


def categories(values: Sequence[Any]) -> list[str | None]:
    """Return the canonical category of each value; None where there is none.

    Examples
    --------
    >>> categories(["a", 3, True, None, 2.5])
    ['a', '3', 'true', None, None]
    """
    return [v if type(v) is str and len(v) <= MAX_NAME else _category(v) for v in values]


def places_of(values: Sequence[Any], place_of: Mapping[str, int]) -> NDArray[np.int64]:
    """Return the place of each value's category; `len(place_of)` where it has none.

    Examples
    --------
    >>> places_of(["a", 3, None, "b"], {"3": 0, "a": 1})
    array([1, 0, 2, 2])
    """
    coded = _coded(values)
    distinct, codes = (values, None) if coded is None else coded
    other = len(place_of)
    places = np.fromiter(
        (other if name is None else place_of.get(name, other) for name in categories(distinct)),
        np.int64,
        len(distinct),
    )
    return places if codes is None else places[codes]


def _coded(values: Sequence[Any]) -> tuple[list[Any], NDArray[np.intp]] | None:
    """The distinct values, and which of them each is; None where some are no texts.

    Texts, null and what is not there are told apart by a dictionary; 1 and true would not be.
    """
    try:
        place = dict.fromkeys(values)
    except TypeError:
        return None
    if not set(map(type, place)) <= _WORDS:
        return None
    place = {value: i for i, value in enumerate(place)}
    return list(place), np.fromiter(map(place.__getitem__, values), np.intp, len(values))


def _value(prediction: Any) -> Any:
    if type(prediction) is not dict:
        return prediction
    value = prediction.get("value", UNSET)
    return prediction.get("class", UNSET) if value is UNSET else value


def _category(value: Any) -> str | None:
    return None if value is None or value is UNSET else canonical_category(value)


_NUMBERS: Final = frozenset((float, int))
_MISSING: Final = frozenset((type(None), type(UNSET)))
_WORDS: Final = _MISSING | {str}


def as_column(values: Sequence[Any], kind: str) -> tuple[Column, int]:
    """Return the column and the number of rows that do not have the feature at all.

    Parameters
    ----------
    values
        As JSON has them; UNSET where a row does not have the feature.
    """
    if kind == "categorical":
        coded = _coded(values)
        if coded is not None:
            return column_of_words(*coded)
    types = set(map(type, values))
    missing = types & _MISSING
    present = types - _MISSING
    state: NDArray[np.uint8] | None = None
    absent = 0
    if missing:
        nulls = [v is None for v in values]
        state = np.where(nulls, np.uint8(State.NULL), np.uint8(State.VALUE))
        if type(UNSET) in missing:
            holes = np.fromiter((v is UNSET for v in values), dtype=bool, count=len(values))
            state[holes] = State.ABSENT
            absent = int(holes.sum())
            values = [None if v is UNSET else v for v in values]
    if kind == "presence":
        return Column(
            None if state is not None and (state != State.VALUE).all() else values, state
        ), absent
    if kind == "numeric":
        if present <= _NUMBERS:
            try:
                return Column(np.array(values, dtype=np.float64), state), absent
            except OverflowError:
                pass
        return _mixed_numbers(values, state), absent
    return _mixed_categories(values, state), absent


def column_of_words(
    distinct: Sequence[str | UnsetType | None], codes: NDArray[np.intp]
) -> tuple[Column, int]:
    """Return a categorical column of texts, nulls and what is not there, and how many of those.

    Parameters
    ----------
    distinct
        At least what is there; more than that, or some twice, changes nothing.
    codes : integer array [rows]
        Place of each row's among them.
    """
    state: NDArray[np.uint8] | None = None
    absent = 0
    if None in distinct or UNSET in distinct:
        state_of = [
            State.NULL if v is None else State.ABSENT if v is UNSET else State.VALUE
            for v in distinct
        ]
        state = np.array(state_of, np.uint8)[codes]
        absent = int(np.count_nonzero(state == State.ABSENT))
    return Column(Words(codes, [word or "" for word in categories(distinct)]), state), absent


def _mixed_numbers(values: Sequence[Any], state: NDArray[np.uint8] | None) -> Column:
    """A numeric column in which some values are no numbers, or larger than any float."""
    state = np.full(len(values), State.VALUE, dtype=np.uint8) if state is None else state
    numbers = np.zeros(len(values))
    for i, value in enumerate(values):
        if type(value) is float:
            numbers[i] = value
        elif type(value) is int:
            try:
                numbers[i] = value
            except OverflowError:
                numbers[i] = _HUGE if value > 0 else -_HUGE
        elif value is not None:
            state[i] = State.TYPE_ERROR
    return Column(numbers, state)


def _mixed_categories(values: Sequence[Any], state: NDArray[np.uint8] | None) -> Column:
    """A categorical column of several types: NaN is missing, lists and objects are errors."""
    state = np.full(len(values), State.VALUE, dtype=np.uint8) if state is None else state
    words = categories(values)
    for i, (word, value) in enumerate(zip(words, values, strict=True)):
        if word is None and value is not None:
            is_nan = type(value) is float and value != value
            state[i] = State.NULL if is_nan else State.TYPE_ERROR
    return Column([w or "" for w in words], state)
