"""Events as an Arrow IPC stream: the fast record format, whose columns stay columns.

It says the same as the JSON contract (`driftline.events`), column by column. A Kafka record
whose header ``content-type`` is `MEDIA_TYPE` holds one stream, and a row of it is one event:

    type, model, version   utf8 (or dictionary); version may be an integer. Where all rows are
                           alike, the schema's metadata says it instead, under ``driftline.type``,
                           ``driftline.model`` and ``driftline.version``
    time                   timestamp with a zone, of any unit, or int64 epoch milliseconds
    id                     any type; labels need it
    features               a struct, one child a feature
    prediction             a scalar, or a struct of ``value`` or ``class``, ``score``, ``scores``
    label                  any type
    tags                   a struct

Null is null. A feature without a column, or of a row whose ``features`` is null, is absent. A
column says more than the metadata of its name. Other columns are ignored. Of features and
predictions, numbers (decimals and float16 too), booleans and text count as in JSON, as plain
columns, views or dictionaries; of lists, structs, times and binaries only nulls are told from
values. Unions, run-end encoding and extension types are not read: send what they stand for. A
record holds at most 50,000 rows and 10,000 fields, and decompressed 16 times the bytes that a
record may have; `driftline.arrow_stream` says why.

What this module writes is counted exactly as the JSON of the same events;
where Arrow cannot say that, it says so (`encode_events` returns None) instead of guessing. It must
not decide what is admitted: `driftline.arrow_rows` reads, the consumers decide. pyarrow is
imported when it is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from operator import itemgetter
from types import NoneType
from typing import Any, Final

import narwhals as nw
import numpy as np
from msgspec import UNSET
from narwhals.exceptions import NarwhalsError

from driftline.errors import InvalidFrame, InvalidReference, MissingExtra
from driftline.events import Event
from driftline.stats import frame as frames
from driftline.stats.reference import zone_of
from driftline.wire import times_ms

MEDIA_TYPE: Final = "application/vnd.apache.arrow.stream"
# Where the schema's metadata says what all rows have in common.
METADATA_PREFIX: Final = "driftline."
# Far above any sensible prediction; Arrow itself refuses 64.
_MAX_DEPTH: Final = 8
# What has no names within.
_FLAT: Final = frozenset({float, int, str, bool, list, NoneType})
# Beyond, float64 does not tell neighbouring integers apart.
_EXACT: Final = 1 << 53
# A version of more digits is none, and Python refuses to print the longest.
_MAX_VERSION: Final = 10**38


@cache
def pyarrow(what: str = "Arrow") -> Any:
    """Return the library, which is imported on first use only.

    Raises
    ------
    MissingExtra
        When it is not installed; names the extra.
    """
    try:
        return import_module("pyarrow")
    except ImportError:
        raise MissingExtra(what, "pyarrow", "arrow") from None


def shape(event: Event) -> Hashable:
    """Return what events of one record should have in common: their names, not their values.

    Events of different shapes can rarely share an Arrow record, because in a column a value
    that is absent cannot stand beside one that is null.

    Examples
    --------
    >>> a = Event("prediction", "m", 0, "1", features={"x": 1.0, "y": None}, prediction=1)
    >>> b = Event("prediction", "m", 9, "1", features={"y": 2.0, "x": 3.0}, prediction=0)
    >>> shape(a) == shape(b), shape(a) == shape(Event("label", "m", 0, id="1", label=1))
    (True, False)
    """
    return event.type, _names(event.features), _names(event.prediction), _names(event.tags)


def _names(part: Any) -> Hashable:
    if type(part) is dict and _FLAT.issuperset(map(type, part.values())):
        return frozenset(part)  # as below, in a tenth of the time
    if part is UNSET or part is None:
        return part is UNSET
    if isinstance(part, Mapping):
        found = {name: _names(value) for name, value in part.items()}
        is_flat = all(value is False for value in found.values())
        return frozenset(found if is_flat else found.items())
    return False


def encode_events(events: Sequence[Event]) -> bytes | None:
    """Return the events as one Arrow IPC stream, or None where Arrow cannot say what they say.

    None when a column would hold values of several types, lists, or a name that some events
    have and others lack; when a number is larger than any of Arrow's; and when there are no
    events. As in JSON (`driftline.wire.encode`) NaN and infinities are written as null. Group
    events by `shape` to get few of them.

    Raises
    ------
    MissingExtra
        Without pyarrow.

    Examples
    --------
    >>> rows = [Event("prediction", "m", 1360318500000, "3", features={"x": 1.5}, prediction=1)]
    >>> type(encode_events(rows)), encode_events([]) is None
    (<class 'bytes'>, True)
    """
    pa = pyarrow("encode_events")
    try:
        return _stream(pa, *_columns(pa, events)) if events else None
    except _Inexpressible:
        return None


class _Inexpressible(Exception):
    """Arrow has no column that says what these values say."""


def _columns(pa: Any, events: Sequence[Event]) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns, and what all rows have in common."""
    columns: dict[str, Any] = {}
    common: dict[str, str] = {}
    for name, texts in (
        ("type", [event.type for event in events]),
        ("model", [event.model for event in events]),
        ("version", [_version(event.version) for event in events]),
    ):
        if len(set(texts)) == 1 and "\0" not in texts[0]:
            if texts[0]:
                common[METADATA_PREFIX + name] = texts[0]
        else:
            columns[name] = _array(pa, texts)
    columns["time"] = pa.array(times_ms(events), pa.timestamp("ms", "UTC"))
    is_label = [event.type == "label" for event in events]
    parts: dict[str, list[Any]] = {
        "id": [event.id for event in events],
        "features": [event.features or None for event in events],
        "prediction": _without_others([event.prediction for event in events], is_label),
        "label": _without_others([event.label for event in events], [not x for x in is_label]),
        "tags": [event.tags or None for event in events],
    }
    for name, values in parts.items():
        absent = [value is UNSET for value in values]
        if all(absent):
            continue
        if any(absent):
            raise _Inexpressible
        if name in ("prediction", "label") or any(value is not None for value in values):
            columns[name] = _array(pa, values)
    return columns, common


def _version(version: str | int) -> str:
    if isinstance(version, str):
        return version
    if abs(version) >= _MAX_VERSION:
        raise _Inexpressible
    return str(version)


def _without_others(values: list[Any], is_other: list[bool]) -> list[Any]:
    """Where this part of an event of the other type says nothing, null stands in its place."""
    if all(value is UNSET for value in values):
        return values
    return [
        None if other and value is UNSET else value
        for value, other in zip(values, is_other, strict=True)
    ]


def _array(pa: Any, values: Sequence[Any], depth: int = 0) -> Any:
    """One column; whatever it cannot say exactly is inexpressible."""
    types = set(map(type, values))
    kinds = types - {NoneType}
    if kinds == {dict}:
        return _struct(pa, values, depth)
    if float in kinds:
        if types == {float}:
            numbers = np.array(values, np.float64)
        elif kinds == {float}:
            numbers = np.array([np.nan if v is None else v for v in values], np.float64)
        elif kinds == {float, int} and all(
            type(value) is not int or -_EXACT <= value <= _EXACT for value in values
        ):
            numbers = np.array([np.nan if v is None else float(v) for v in values], np.float64)
        else:
            raise _Inexpressible
        return pa.array(numbers, mask=~np.isfinite(numbers))
    if len(kinds) > 1 or not kinds <= {int, str, bool}:
        raise _Inexpressible
    try:
        return pa.array(values)
    except (OverflowError, pa.ArrowInvalid, UnicodeEncodeError):
        raise _Inexpressible from None


def _struct(pa: Any, values: Sequence[Any], depth: int) -> Any:
    present = [value for value in values if value is not None]
    names = list(present[0])
    same = present[0].keys()
    if (
        not names
        or depth > _MAX_DEPTH
        or any(value.keys() != same for value in present)
        or not all(type(name) is str for name in names)
    ):
        raise _Inexpressible
    if len(present) == len(values) and len(names) > 1:
        columns: Iterable[Sequence[Any]] = zip(*map(itemgetter(*names), values), strict=True)
    else:
        columns = ([None if value is None else value[name] for value in values] for name in names)
    children = [_array(pa, column, depth + 1) for column in columns]
    nulls = pa.array([value is None for value in values], pa.bool_())
    try:
        return pa.StructArray.from_arrays(children, names=names, mask=nulls)
    except UnicodeEncodeError:
        raise _Inexpressible from None


def _stream(pa: Any, columns: Mapping[str, Any], common: Mapping[str, str]) -> bytes:
    fields = [pa.field(name, column.type) for name, column in columns.items()]
    try:
        schema = pa.schema(fields, metadata=dict(common))
    except UnicodeEncodeError:
        raise _Inexpressible from None
    batch = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema)
    return _written(pa, batch)


def _written(pa: Any, batch: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def encode_frame(
    frame: Any,
    *,
    model: str,
    version: str | int,
    prediction: str,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    label: str | None = None,
    id: str | None = None,
    timestamp: str,
    timezone: str | None = None,
    features: Sequence[str] | None = None,
    tags: Sequence[str] = (),
    max_bytes: int,
    max_rows: int = 1_000,
) -> Iterator[tuple[bytes, int]]:
    """Yield a frame's rows as Arrow records, each with its number of events.

    What is wrong with the frame is said before the first record, but for a row that is larger
    than a record may be. In pandas NaN is null, as it is in a reference.

    Parameters
    ----------
    frame
        A pandas or polars DataFrame, a pyarrow Table, or a mapping of columns; a row is one
        prediction.
    prediction, score : str
        Columns with the model's output and its score.
    scores : mapping of str to str, optional
        Class -> column with its score, where the model has several.
    label : str, optional
        Column with the outcome. Each row that has one yields a label, too, at the same time;
        needs `id`.
    id : str, optional
        Column that joins labels to predictions.
    timestamp : str
        Column with the event time: datetimes, or integer epoch milliseconds.
    timezone : str, optional
        IANA name of the clock that naive times are read on; None = UTC, with a warning.
    features : sequence of str, optional
        Columns that are features; None = all that were not named otherwise.
    tags : sequence of str
        Columns with words about the events that are no features.
    max_bytes, max_rows : int
        What a record may hold.

    Raises
    ------
    InvalidFrame
        When it is no frame, lacks a column, has a row without a time, a column of several
        types, or a row larger than `max_bytes`.
    MissingExtra
        Without pyarrow.

    Examples
    --------
    >>> import pyarrow
    >>> rows = pyarrow.table({"x": [1.5, 2.5], "y": [0, 1], "at": [1360318500000] * 2})
    >>> [n for _, n in encode_frame(rows, model="m", version=1, prediction="y", timestamp="at",
    ...                             max_bytes=100_000)]
    [2]
    """
    pa = pyarrow("log_frame")
    try:
        opened = _opened(pa, frame)
        named = frames.pick(opened, [prediction, score, label, id, timestamp], "a column")
        named += frames.pick(opened, list((scores or {}).values()), "scores")
        words = frames.pick(opened, tags, "tags")
        chosen = (
            [name for name in opened.columns if name not in {*named, *words}]
            if features is None
            else frames.pick(opened, features, "features")
        )
        if label is not None and id is None:
            raise InvalidFrame("label needs id: name the column that joins labels to predictions")
        if not len(opened):
            return
        times = _times(pa, opened, timestamp, timezone)
        column = {name: _read(pa, opened, name) for name in {*named, *words, *chosen} - {timestamp}}
    except InvalidReference as error:
        raise InvalidFrame(str(error)) from None

    def output(rows: slice) -> Any:
        values = column[prediction][rows]
        if score is None and not scores:
            return values
        parts = {_output(pa, column[prediction]): values}
        if score is not None:
            parts["score"] = column[score][rows]
        if scores:
            parts["scores"] = _group(pa, {of: column[name][rows] for of, name in scores.items()})
        return _group(pa, parts)

    def predictions(rows: slice) -> tuple[dict[str, Any], dict[str, str]]:
        parts = {"time": times[rows]}
        if id is not None:
            parts["id"] = column[id][rows]
        if chosen:
            parts["features"] = _group(pa, {name: column[name][rows] for name in chosen})
        parts["prediction"] = output(rows)
        if words:
            parts["tags"] = _group(pa, {name: column[name][rows] for name in words})
        return parts, _common("prediction", model, version)

    yield from _records(pa, predictions, len(times), max_bytes, max_rows)
    if label is None or id is None:
        return
    has_label = column[label].is_valid()
    outcome = {
        "time": times.filter(has_label),
        "id": column[id].filter(has_label),
        "label": column[label].filter(has_label),
    }

    def labels(rows: slice) -> tuple[dict[str, Any], dict[str, str]]:
        parts = {name: values[rows] for name, values in outcome.items()}
        return parts, _common("label", model, version)

    yield from _records(pa, labels, len(outcome["time"]), max_bytes, max_rows)


def _common(kind: str, model: str, version: str | int) -> dict[str, str]:
    common = {"type": kind, "model": model, "version": str(version)}
    return {METADATA_PREFIX + name: text for name, text in common.items()}


def _records(
    pa: Any,
    part: Callable[[slice], tuple[dict[str, Any], dict[str, str]]],
    n_rows: int,
    max_bytes: int,
    max_rows: int,
) -> Iterator[tuple[bytes, int]]:
    """Slices of at most `max_rows`, halved until each is small enough."""
    waiting = [(at, min(at + max_rows, n_rows)) for at in range(0, n_rows, max_rows)]
    waiting.reverse()
    while waiting:
        start, stop = waiting.pop()
        columns, common = part(slice(start, stop))
        packed = {name: _packed(pa, values) for name, values in columns.items()}
        value = _stream(pa, packed, common)
        if len(value) <= max_bytes:
            yield value, stop - start
        elif stop - start == 1:
            raise InvalidFrame(
                f"row {start} takes {len(value):,} bytes, a record may hold {max_bytes:,}: leave "
                "its largest column out"
            )
        else:
            middle = (start + stop) // 2
            waiting += [(middle, stop), (start, middle)]


def _opened(pa: Any, frame: Any) -> frames.Frame:
    if isinstance(frame, Mapping):
        try:
            frame = pa.table(dict(frame))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise InvalidFrame(f"the columns make no table: {error}") from None
    names = list(getattr(frame, "column_names", getattr(frame, "columns", ())))
    for name in names:
        if not isinstance(name, str) or names.count(name) > 1:
            raise InvalidFrame(f"column names must be strings, each once, not {name!r}")
    try:
        opened: frames.Frame = nw.from_native(frame, eager_only=True)
    except (TypeError, NarwhalsError):
        raise InvalidFrame(
            "what is logged must be a pandas or polars DataFrame or a pyarrow Table, not "
            f"{type(frame).__name__}"
        ) from None
    return opened


def _times(pa: Any, frame: frames.Frame, name: str, timezone: str | None) -> Any:
    times_ms_, has_time, said = frames.read_times(
        frames.column_of(frame, name), name, zone_of(timezone or "UTC"), timezone or "UTC"
    )
    if not has_time.all():
        raise InvalidFrame(
            f"time column {name!r}: {int((~has_time).sum()):,} rows have no time, the first is "
            f"row {int(has_time.argmin())}: leave them out"
        )
    if said and timezone is None:
        warnings.warn(said[0], stacklevel=3)
    return pa.array(times_ms_, pa.timestamp("ms", "UTC"))


def _read(pa: Any, frame: frames.Frame, name: str) -> Any:
    """One column as Arrow has it, in a type that every consumer reads."""
    try:
        values = frames.column_of(frame, name).to_arrow()
    except (pa.ArrowException, TypeError, ValueError, NarwhalsError, OverflowError) as error:
        raise InvalidFrame(
            f"column {name!r} holds no values of one type ({str(error).splitlines()[0][:200]}): "
            "convert it, or leave it out"
        ) from None
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    while isinstance(values, pa.ExtensionArray):
        values = values.storage
    if pa.types.is_run_end_encoded(values.type):
        values = import_module("pyarrow.compute").run_end_decode(values)
    if str(values.type) == "string_view":
        values = values.cast(pa.large_string())
    if pa.types.is_union(values.type) or "_view" in str(values.type):
        raise InvalidFrame(f"column {name!r} is of type {values.type}: convert it")
    return values


def _output(pa: Any, values: Any) -> str:
    """A number is a value, anything else a class."""
    kind = values.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return "value" if is_number else "class"


def _group(pa: Any, columns: Mapping[str, Any]) -> Any:
    children = [_packed(pa, values) for values in columns.values()]
    return pa.StructArray.from_arrays(children, names=list(columns))


def _packed(pa: Any, values: Any) -> Any:
    """Words that come again are written once, and of a frame's dictionary only this slice's."""
    kind = values.type
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return values
    coded = values.dictionary_encode()
    n_words = len(coded.dictionary)
    if 2 * n_words > len(values):
        return values
    narrow = pa.int8() if n_words < 1 << 7 else pa.int16() if n_words < 1 << 15 else pa.int32()
    return pa.DictionaryArray.from_arrays(coded.indices.cast(narrow), coded.dictionary)
