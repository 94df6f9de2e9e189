"""Record batches to events: the format that `driftline.arrow` documents, read by column.

What every event must have is looked at for all rows at once. Rows that lack it are marked, not
left out: what becomes of them is the consumers' to say. Only such a row is ever made into
objects, to show what it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from driftline.arrow import METADATA_PREFIX, pyarrow
from driftline.arrow_columns import (
    check,
    column,
    family,
    is_flat,
    is_text,
    nulls,
    raw,
    text_codes,
)
from driftline.arrow_stream import read, remember
from driftline.errors import DataError, DecodeError, EventTimeError, SchemaError
from driftline.events import PREDICTION, SCORE, SCORES_PREFIX
from driftline.stats.profile import Column, State, Words
from driftline.wire import MAX_RECORD_BYTES

# What no int64 of nanoseconds or seconds reaches when it is made milliseconds.
_FAR_MS: Final = 1 << 62
# A row is shown by its first values: nobody reads more of them.
_SHOWN_VALUES: Final = 200
_SHOWN_TEXT: Final = 200

# Why a row cannot be an event, by code; 0 = it can.
_FAULTS: Final = (
    "",
    "type_missing",
    "type_unknown",
    "model_missing",
    "time_missing",
    "id_missing",
    "label_missing",
    "version_missing",
)
_NAMING: Final = ("type", "model", "version")
_COUNTED: Final = ("features", "prediction", "tags")
_KNOWN: Final = frozenset((*_NAMING, *_COUNTED, "time", "id", "label"))


@dataclass(frozen=True)
class ArrowRows:
    """Events whose columns are Arrow's; see `driftline.rows.Rows`."""

    columns_: Mapping[str, Any]
    n_rows: int
    # Which rows of the columns these are; None = all.
    places: NDArray[np.intp] | None = None
    # Where it is the same, columns are of the same types; None is unknown.
    schema: bytes | None = None

    def __len__(self) -> int:
        return self.n_rows if self.places is None else len(self.places)

    def take(self, places: NDArray[np.intp]) -> ArrowRows:
        """See `Rows.take`."""
        if len(places) == len(self):
            return self
        if self.places is None and len(places) and (np.diff(places) == 1).all():
            # Rows that follow each other are looked at where they are: nothing is copied.
            first, n = int(places[0]), len(places)
            columns = {name: a.slice(first, n) for name, a in self.columns_.items()}
            return ArrowRows(columns, n, None, self.schema)
        kept = places if self.places is None else self.places[places]
        return ArrowRows(self.columns_, self.n_rows, kept, self.schema)

    def columns(self, features: Sequence[tuple[str, str]]) -> tuple[dict[str, Column], int]:
        """See `Rows.columns`."""
        parent = self.columns_.get("features")
        children = {} if parent is None else _children(parent)
        others = set(children)
        found = {}
        for name, kind in features:
            output = self._output(name, kind)
            if output is not None:
                found[name] = output
                continue
            others.discard(name)
            found[name] = self._column([parent, children[name]] if name in children else [], kind)
        if not others:
            return found, 0
        is_null = self._taken(nulls(parent))
        n_present = len(self) if is_null is None else int((~is_null).sum())
        return found, len(others) * n_present

    def segments(self, dimension: str, place_of: Mapping[str, int]) -> NDArray[np.int64]:
        """See `Rows.segments`."""
        other = len(place_of)
        found = np.full(len(self), other, np.int64)
        is_open = np.ones(len(self), np.bool_)
        for part in ("features", "tags"):
            parent = self.columns_.get(part)
            child = None if parent is None else _children(parent).get(dimension)
            if child is None:
                continue
            said = self._column([parent, child], "categorical")
            state = np.zeros(len(self), np.uint8) if said.state is None else said.state
            if isinstance(said.values, Words):
                place = np.array([place_of.get(word, other) for word in said.values.words])
                is_word = is_open & (state == State.VALUE)
                found[is_word] = place[said.values.codes[is_word]]
            is_open &= state == State.ABSENT
        return found

    def _output(self, name: str, kind: str) -> Column | None:
        """The named part of the predictions, or None when it is no such name."""
        if name not in (PREDICTION, SCORE) and not name.startswith(SCORES_PREFIX):
            return None
        prediction = self.columns_.get("prediction")
        if prediction is None:
            return self._column([], kind)
        parts = _children(prediction)
        if name == PREDICTION:
            if not pyarrow().types.is_struct(prediction.type):
                return self._column([prediction], kind)
            value = parts.get("value", parts.get("class"))
            found = self._column([] if value is None else [value], kind)
            return self._marked(found, prediction, State.NULL)
        if name == SCORE:
            return self._column([prediction, parts["score"]] if "score" in parts else [], kind)
        scores = parts.get("scores")
        child = None if scores is None else _children(scores).get(name.removeprefix(SCORES_PREFIX))
        return self._column([] if child is None else [prediction, scores, child], kind)

    def _column(self, path: Sequence[Any], kind: str) -> Column:
        """The last of the path, absent where one before it is null; all absent without one."""
        if not path:
            return Column(None, np.full(len(self), State.ABSENT, np.uint8))
        found = column(path[-1], kind, self.places)
        for parent in path[:-1]:
            found = self._marked(found, parent, State.ABSENT)
        return found

    def _marked(self, found: Column, parent: Any, state: State) -> Column:
        """The column with this state where the parent is null."""
        is_null = self._taken(nulls(parent))
        if is_null is None:
            return found
        states = np.zeros(len(self), np.uint8) if found.state is None else found.state
        return Column(found.values, np.where(is_null, np.uint8(state), states))

    def _taken(self, mask: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        return mask if mask is None or self.places is None else mask[self.places]


def joined(parts: Sequence[ArrowRows]) -> ArrowRows | None:
    """Return the rows of all parts as one, or None where their columns are not of one type.

    What is done by column is then done once: of a record of 1,000 rows that is half of the time.
    """
    pa = pyarrow()
    kinds = {name: array.type for name, array in parts[0].columns_.items()}
    if not all(map(_is_flat_struct, kinds.values())):
        return None
    schema = parts[0].schema
    for part in parts[1:]:
        is_known = schema is not None and part.schema == schema
        if not is_known and {n: a.type for n, a in part.columns_.items()} != kinds:
            return None
    try:
        columns = {
            name: pa.concat_arrays([part.columns_[name] for part in parts]) for name in kinds
        }
    except pa.ArrowException:
        return None  # the words of two dictionaries may be too many for one
    places = None
    if any(part.places is not None for part in parts):
        starts = np.cumsum([0, *(part.n_rows for part in parts)])[:-1]
        places = np.concatenate(
            [
                start + (np.arange(part.n_rows) if part.places is None else part.places)
                for start, part in zip(starts, parts, strict=True)
            ]
        )
    return ArrowRows(columns, sum(part.n_rows for part in parts), places)


def _is_flat_struct(kind: Any) -> bool:
    """Whether a column takes as many bytes as are seen: lists of nothing may be billions long."""
    if pyarrow().types.is_struct(kind):
        return all(_is_flat_struct(kind.field(i).type) for i in range(kind.num_fields))
    return is_flat(kind)


@dataclass(frozen=True)
class ArrowEvents:
    """The rows of one record batch, and what must be known of each before it is counted.

    Attributes
    ----------
    rows : ArrowRows
    names : list of (model, version, type)
        What some rows are counted under; a version may be an integer, or empty.
    name_of : int64 array
        The place of each row's among `names`.
    times_ms : int64 array
        Rounded down; what no int64 holds is clipped. Of a row without a time, 0.
    faults : uint8 array
        0 where a row is an event; `fault` says what it is otherwise.
    n_bytes : int
        What they take in memory, an even share of their record's.
    """

    rows: ArrowRows
    names: list[tuple[str, str | int, str]]
    name_of: NDArray[np.int64]
    times_ms: NDArray[np.int64]
    faults: NDArray[np.uint8]
    n_bytes: int
    _first_number: int
    _batch: Any = field(repr=False)

    def fault(self, place: int) -> DataError:
        """What is wrong with a row that is no event."""
        reason = _FAULTS[self.faults[place]]
        kind = EventTimeError if reason == "time_missing" else SchemaError
        detail = repr(self.names[self.name_of[place]][2])[:100] if reason == "type_unknown" else ""
        return kind(reason, detail)

    def number(self, place: int) -> int:
        """The number of a row in its record, from 1."""
        return self._first_number + place

    def shown(self, place: int) -> bytes:
        """The beginning of a row as JSON: plain values, and the types of the others."""
        room = [_SHOWN_VALUES]
        names, arrays = self._batch.schema.names, self._batch.columns
        return msgspec.json.encode(dict(_cells(names, arrays, place, room)))


def decode(value: bytes, max_bytes: int = MAX_RECORD_BYTES) -> list[ArrowEvents]:
    """Return the events of a record that is an Arrow IPC stream, one item a record batch.

    Raises
    ------
    DataError
        With the reason of the dead letter, where none of its rows can be read. A row that is
        no event is no error here: see `ArrowEvents.faults`.
    MissingExtra
        Without pyarrow.

    Examples
    --------
    >>> from driftline.arrow import encode_events
    >>> from driftline.events import Event
    >>> [events] = decode(encode_events([Event("label", "m", 1360318500000, id="a", label=1)]))
    >>> events.names, events.times_ms.tolist()
    ([('m', '', 'label')], [1360318500000])
    """
    if not value:
        raise DecodeError("empty")
    if len(value) > max_bytes:
        raise DecodeError("oversized", f"{len(value)} bytes, {max_bytes} are allowed")
    found = []
    number = 1
    try:
        stream = read(value, max_bytes)
        n_bytes = stream.n_bytes // len(stream.batches)
        for batch in stream.batches:
            columns = _columns(batch, stream.schema)
            found.append(_events(batch, stream.schema, n_bytes, number, columns))
            number += batch.num_rows
    except UnicodeDecodeError as error:
        raise DecodeError("bad_arrow", f"a name is no UTF-8: {error}") from None
    return found


def _events(
    batch: Any, schema: bytes, n_bytes: int, first_number: int, columns: Mapping[str, Any]
) -> ArrowEvents:
    n = batch.num_rows
    common = _common(batch.schema.metadata)
    kept = {name: array for name, array in columns.items() if name in _COUNTED}
    (types, type_of), (models, model_of), (versions, version_of) = (
        _texts(name, columns.get(name), common.get(name), n) for name in _NAMING
    )
    times_ms, no_time = _times(columns.get("time"), n)
    if not columns.keys() & set(_NAMING) and types == ["prediction"] and models[0] and versions[0]:
        # The usual: what all rows have in common is right, and only their times may be missing.
        faults = no_time * np.uint8(_FAULTS.index("time_missing"))
        names = [(models[0], versions[0], "prediction")]
        rows = ArrowRows(kept, n, None, schema)
        return ArrowEvents(rows, names, type_of, times_ms, faults, n_bytes, first_number, batch)
    type_rank = _ranks(types, ("prediction", "label"))[type_of]
    is_label = type_rank == 1
    no_model = (_is(models, None) | _is(models, ""))[model_of]
    no_version = _is(versions, None)[version_of]
    faults = np.select(
        [
            (_is(types, None) | _is(types, ""))[type_of],
            type_rank < 0,
            no_model,
            no_time,
            is_label & _without_id(columns.get("id"), is_label),
            is_label if "label" not in columns else np.zeros(n, np.bool_),
            ~is_label & (no_version | _is(versions, "")[version_of]),
        ],
        list(range(1, len(_FAULTS))),
        0,
    ).astype(np.uint8)
    names, name_of = _names((types, type_of), (models, model_of), (versions, version_of))
    rows = ArrowRows(kept, n, None, schema)
    return ArrowEvents(rows, names, name_of, times_ms, faults, n_bytes, first_number, batch)


# Schemas whose columns were checked, and which of them mean something.
_CHECKED: Final[dict[bytes, dict[str, int]]] = {}


def _columns(batch: Any, schema: bytes) -> dict[str, Any]:
    """The columns that mean something; one of no values at all is none of features or tags."""
    if schema in _CHECKED:
        return {name: batch.column(i) for name, i in _CHECKED[schema].items()}
    types = pyarrow().types
    names = batch.schema.names
    _refuse_twins([name for name in names if name in _KNOWN], "column")
    found = {name: batch.column(i) for i, name in enumerate(names) if name in _KNOWN}
    features = found.get("features")
    if features is not None and types.is_null(features.type):
        del found["features"]
    elif features is not None and not types.is_struct(features.type):
        raise SchemaError("features_invalid", f"features is of type {_named(features)}")
    for name, array in found.items():
        # Of a prediction, the scores of each class are read, too.
        _check(array, name, {"prediction": 2, "features": 1, "tags": 1}.get(name, 0))
    if not any(_has_views(array.type) for array in found.values()):
        # Of views the values are checked, of anything else the type.
        remember(_CHECKED, schema, {name: names.index(name) for name in found})
    return found


def _has_views(kind: Any) -> bool:
    if family(kind) == "dictionary":
        return _has_views(kind.value_type)
    return family(kind) == "view" or any(
        _has_views(kind.field(i).type) for i in range(kind.num_fields)
    )


def _check(array: Any, name: str, levels: int) -> None:
    """Refuse a column, or one inside of it that is read, that cannot be."""
    check(array, name)
    if levels:
        for child_name, child in _children(array).items():
            _check(child, f"{name}.{child_name}", levels - 1)


def _children(array: Any) -> dict[str, Any]:
    """The children of a struct by name; of anything else, none."""
    kind = array.type
    if not pyarrow().types.is_struct(kind):
        return {}
    names = [kind.field(i).name for i in range(kind.num_fields)]
    _refuse_twins(names, "field")
    return {name: array.field(i) for i, name in enumerate(names)}


def _refuse_twins(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        name, times = Counter(names).most_common(1)[0]
        raise SchemaError("column_invalid", f"{times} {what}s are named {name[:100]!r}")


def _named(array: Any) -> str:
    return str(array.type)[:100]


def _common(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """What the schema says of all rows."""
    found = {}
    for name in _NAMING:
        said = (metadata or {}).get((METADATA_PREFIX + name).encode())
        if said is not None:
            found[name] = said.decode()
    return found


_Texts = tuple[list[Any], NDArray[np.int64]]


def _texts(name: str, array: Any, common: str | None, n: int) -> _Texts:
    """Distinct texts (None = null or not said), and which of them each row has."""
    if array is None:
        return [common], np.zeros(n, np.int64)
    types = pyarrow().types
    kind = array.type
    if types.is_null(kind):
        return [None], np.zeros(n, np.int64)
    of = kind.value_type if types.is_dictionary(kind) else kind
    if not (is_text(of) or (name == "version" and types.is_integer(of))):
        raise SchemaError("column_invalid", f"{name} is of type {_named(array)}, it must be text")
    return text_codes(array)


def _is(texts: Sequence[Any], text: str | None) -> NDArray[np.bool_]:
    return np.array([found == text for found in texts], np.bool_)


def _ranks(texts: Sequence[Any], order: Sequence[str]) -> NDArray[np.int64]:
    return np.array([order.index(text) if text in order else -1 for text in texts], np.int64)


def _names(
    types: _Texts, models: _Texts, versions: _Texts
) -> tuple[list[tuple[str, str | int, str]], NDArray[np.int64]]:
    """What rows are counted under, each once."""
    n = len(types[1])
    if len(types[0]) == len(models[0]) == len(versions[0]) == 1:
        made, name_of = np.zeros(1, np.int64), np.zeros(n, np.int64)
    else:
        codes = (models[1] * len(versions[0]) + versions[1]) * len(types[0]) + types[1]
        made, name_of = np.unique(codes, return_inverse=True)
    names = []
    for code in made.tolist():
        rest, kind = divmod(code, len(types[0]))
        model, version = divmod(rest, len(versions[0]))
        said = versions[0][version]
        names.append((models[0][model] or "", "" if said is None else said, types[0][kind] or ""))
    return names, name_of


def _times(array: Any, n: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Epoch ms, rounded down, and which rows have none."""
    pa = pyarrow()
    if array is None or pa.types.is_null(array.type):
        return np.zeros(n, np.int64), np.ones(n, np.bool_)
    kind = array.type
    is_null = nulls(array)
    no_time = np.zeros(n, np.bool_) if is_null is None else is_null
    if pa.types.is_integer(kind):
        unit = "ms"
    elif pa.types.is_timestamp(kind):
        if kind.tz is None:
            raise EventTimeError(
                "time_no_offset", f"time is of type {_named(array)}, without a zone"
            )
        unit = kind.unit
    else:
        raise EventTimeError(
            "time_invalid", f"time is of type {_named(array)}: a timestamp with a zone, or int64 ms"
        )
    said = raw(array, np.int64 if pa.types.is_timestamp(kind) else None)
    if said.dtype == np.uint64:
        said = np.minimum(said, np.uint64(_FAR_MS))
    ticks: NDArray[np.int64] = said.astype(np.int64, copy=False)
    if is_null is not None:
        ticks = np.where(is_null, 0, ticks)
    if unit == "ms":
        return ticks, no_time
    if unit == "s":
        far = _FAR_MS // 1_000
        return np.clip(ticks, -far, far) * 1_000, no_time
    return ticks // {"us": 1_000, "ns": 1_000_000}[unit], no_time


def _without_id(array: Any, is_label: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which rows have no id; looked at only where there are labels."""
    none = np.zeros(len(is_label), np.bool_)
    if array is None:
        return ~none
    if not is_label.any():
        return none
    is_null = nulls(array)
    missing = none if is_null is None else is_null
    kind = array.type
    of = kind.value_type if pyarrow().types.is_dictionary(kind) else kind
    if is_text(of):
        texts, codes = text_codes(array)
        missing = missing | _is(texts, "")[codes]
    return missing


def _cells(
    names: Sequence[str], arrays: Sequence[Any], place: int, room: list[int]
) -> Iterator[tuple[str, Any]]:
    types = pyarrow().types
    for name, array in zip(names, arrays, strict=True):
        if not room[0]:
            return
        room[0] -= 1
        kind = array.type
        if types.is_struct(kind) and array.is_valid()[place].as_py():
            fields = range(kind.num_fields)
            inner = [kind.field(i).name for i in fields]
            yield name, dict(_cells(inner, [array.field(i) for i in fields], place, room))
        else:
            yield name, _cell(array, place)


def _cell(array: Any, place: int) -> Any:
    types = pyarrow().types
    kind = array.type
    if types.is_dictionary(kind):
        index = array.indices[place].as_py()
        return None if index is None else _cell(array.dictionary, index)
    if types.is_timestamp(kind):
        ticks = array.cast(pyarrow().int64())[place].as_py()
        return None if ticks is None else f"{ticks} {kind.unit}"
    if types.is_null(kind) or types.is_boolean(kind) or types.is_integer(kind):
        return array[place].as_py()
    if types.is_floating(kind):
        return array[place].as_py()
    if is_text(kind):
        text = array[place].as_py()
        return None if text is None else text[:_SHOWN_TEXT]
    return f"<{_named(array)}>"
