"""In whatever form events are written, the same is counted: JSON, NDJSON and Arrow."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from arrow_records import HEADERS, Table, entry, instant
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, small_reference
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from consumers.admit import Rules, admit
from consumers.ledger import Ledger
from driftline import wire
from driftline.arrow import encode_events
from driftline.arrow_rows import decode
from driftline.errors import DataError
from driftline.events import Event
from driftline.stats.profile import State
from monitor.storage.checkpoint import Claim
from monitor.storage.registry import BoundVersion, Registry

words = st.one_of(
    st.sampled_from(["a", "b", "north", "south", "yes", "no", ""]), st.text(max_size=4)
)
floats = st.one_of(st.floats(), st.integers(-3, 9).map(float))
SCALARS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 9)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int8": (pa.int8(), st.integers(-128, 127)),
    "float64": (pa.float64(), floats),
    "float32": (pa.float32(), st.floats(width=32) | st.integers(-3, 9).map(float)),
    "float16": (pa.float16(), st.floats(width=16)),
    "bool": (pa.bool_(), st.booleans()),
    "utf8": (pa.string(), words),
    "large_utf8": (pa.large_string(), words),
    "utf8_view": (pa.string_view(), words | st.text(min_size=190, max_size=210)),
    "words": (pa.dictionary(pa.int8(), pa.string()), words),
    "numbers": (pa.dictionary(pa.int16(), pa.float64()), floats),
    "null": (pa.null(), st.none()),
    "list": (pa.list_(pa.int64()), st.lists(st.integers(0, 9), max_size=2)),
    "struct": (pa.struct({"a": pa.int64()}), st.fixed_dictionaries({"a": st.integers(0, 9)})),
}


@st.composite
def columns(
    draw: st.DrawFn, n: int, kinds: tuple[str, ...] = tuple(SCALARS)
) -> tuple[pa.Array, list[Any]]:
    """A column as Arrow has it, and its values as JSON has them."""
    kind = draw(st.sampled_from(kinds))
    type_, values = SCALARS[kind]
    drawn = draw(st.lists(st.none() | values | values, min_size=n, max_size=n))
    if pa.types.is_dictionary(type_):
        array = pa.array(drawn, type_.value_type).dictionary_encode()
        array = array.cast(pa.dictionary(type_.index_type, type_.value_type))
    elif kind == "float16":
        array = pa.array([None if v is None else np.float16(v) for v in drawn], type_)
    else:
        array = pa.array(drawn, type_)
    return array, drawn


@st.composite
def structs(
    draw: st.DrawFn, n: int, names: tuple[str, ...], *, kinds: tuple[str, ...] = tuple(SCALARS)
) -> tuple[pa.Array, list[Any]]:
    """A struct of some of the names, with rows that are null."""
    chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    children = {}
    for name in chosen:
        inner = ("yes", "no", "b")
        children[name] = draw(structs(n, inner) if name == "scores" else columns(n, kinds))
    return _struct(draw, n, children)


def _struct(draw: st.DrawFn, n: int, children: dict[str, Any]) -> tuple[pa.Array, list[Any]]:
    nulls = draw(st.lists(st.sampled_from([False] * 4 + [True]), min_size=n, max_size=n))
    array = pa.StructArray.from_arrays(
        [child for child, _ in children.values()], names=list(children), mask=pa.array(nulls)
    )
    rows = [
        None if nulls[i] else {name: values[i] for name, (_, values) in children.items()}
        for i in range(n)
    ]
    return array, rows


@st.composite
def times(draw: st.DrawFn, n: int) -> tuple[pa.Array, list[Any]]:
    unit = draw(st.sampled_from(["int", "s", "ms", "us", "ns"]))
    ms = st.integers(0, 300).map(lambda i: START_MS + i * HOUR_MS // 4)
    if unit == "int":
        odd = st.sampled_from([0, -1, KAFKA_MS + 300_000, KAFKA_MS + 300_001, 2**62, -(2**63)])
        drawn = draw(st.lists(st.none() | ms | ms | ms | odd, min_size=n, max_size=n))
        return pa.array(drawn, pa.int64()), drawn
    scale = {"s": (1, 1_000), "ms": (1, 1), "us": (1_000, 1), "ns": (1_000_000, 1)}[unit]
    jitter = st.integers(-3, 3) if unit in ("us", "ns") else st.just(0)
    ticks = st.builds(lambda t, j: t * scale[0] // scale[1] + j, ms, jitter)
    drawn = draw(st.lists(st.none() | ticks | ticks | ticks, min_size=n, max_size=n))
    zone = draw(st.sampled_from(["UTC", "America/New_York", "+02:00"]))
    return (
        pa.array(drawn, pa.timestamp(unit, zone)),
        [None if t is None else instant(t, unit) for t in drawn],
    )


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Predictions and labels of every shape, some of which are no events."""
    n = draw(st.integers(1, 12))
    made: dict[str, tuple[pa.Array, list[Any]]] = {}
    common = {}
    for name, good, bad in (
        ("type", ["prediction", "prediction", "prediction", "label"], [None, "", "nonsense"]),
        ("model", ["m", "m", "m", "stranger"], [None, "", "a\nb", "x" * 201]),
        ("version", ["1", "1", "2", "7"], [None, "", "\x07"]),
    ):
        if draw(st.booleans()):
            common[name] = draw(st.sampled_from(good))
            continue
        some = st.sampled_from(good * 4 + bad)
        drawn = draw(st.lists(some, min_size=n, max_size=n))
        array = pa.array(drawn, pa.string())
        if name == "version" and draw(st.booleans()):
            drawn = draw(st.lists(st.sampled_from([1, 1, 2, None]), min_size=n, max_size=n))
            array = pa.array(drawn, pa.int32())
        made[name] = (array.dictionary_encode() if draw(st.booleans()) else array, drawn)
    if draw(st.sampled_from([True] * 9 + [False])):
        made["time"] = draw(times(n))
    if draw(st.booleans()):
        made["id"] = draw(columns(n, ("utf8", "words", "int64", "null")))
    if draw(st.sampled_from([True, True, True, False])):
        made["features"] = draw(structs(n, ("x", "kind", "site", "other", "prediction")))
    shape = draw(st.sampled_from(["none", "scalar", "struct", "struct"]))
    if shape == "scalar":
        made["prediction"] = draw(columns(n))
    elif shape == "struct":
        made["prediction"] = draw(structs(n, ("value", "class", "score", "scores", "note")))
    if draw(st.booleans()):
        made["label"] = draw(columns(n))
    if draw(st.booleans()):
        made["tags"] = draw(structs(n, ("site", "region")) if draw(st.booleans()) else columns(n))
    rows: list[dict[str, Any]] = [
        common | {name: values[i] for name, (_, values) in made.items()} for i in range(n)
    ]
    return Table({name: array for name, (array, _) in made.items()}, common, rows)


@cache
def _registry() -> Registry:
    one, other = small_reference(), small_reference(seed=2)
    versions = {
        ("m", v): BoundVersion(i, "m", v, "UTC", HOUR_MS, ((0, reference.digest),))
        for i, (v, reference) in enumerate((("1", one), ("7", other)))
    }
    return Registry(1, frozenset({"m"}), versions, {r.digest: r for r in (one, other)})


def _facts(log: list[Entry], cuts: list[int] | None = None) -> Any:
    """What a log adds, but for the places in the log."""
    ledger = Ledger(Claim(1, 0, 1, 0, 1, None, None, 0), _registry(), Rules())
    edges = sorted({0, len(log), *(min(cut, len(log)) for cut in cuts or ())})
    for first, last in pairwise(edges):
        ledger.take(log[first:last], last)
    delta, move = ledger.delta, ledger.move(None)
    panes = {
        key: (p.counts.tolist(), None if p.sums is None else p.sums.tolist(), p.to_bytes())
        for key, p in delta.counted().items()
    }
    deficits = {k: (d.records, d.first_ms, d.last_ms) for k, d in delta.deficits.items()}
    unseen = {k: (s.count, s.first_ms, s.last_ms) for k, s in delta.unseen.items()}
    reasons = Counter(letter.reason for letter in delta.letters)
    progress = (move.max_event_time_ms, move.pending_advance, move.last_counted_kafka_ms)
    return (
        panes, delta.counters, deficits, unseen, reasons, progress,
        set(delta.strangers), ledger.rows,
    )  # fmt: skip


def _log(values: list[bytes]) -> list[Entry]:
    return [Entry(i, KAFKA_MS, value) for i, value in enumerate(values)]


@settings(max_examples=100, deadline=None)
@given(table=tables(), cuts=st.lists(st.integers(0, 12), max_size=3), data=st.data())
def test_json_ndjson_and_arrow_count_the_same(
    table: Table, cuts: list[int], data: st.DataObject
) -> None:
    n = len(table.rows)
    one_by_one = _facts(_log(table.lines()))
    assert _facts(_log([b"\n".join(table.lines())])) == one_by_one
    batches = [cut for cut in cuts if cut <= n]
    assert _facts([entry(table.arrow(cuts=batches))]) == one_by_one
    # Cut into records, some of them JSON, and these into batches of the loop.
    log: list[Entry] = []
    for start, stop in pairwise(sorted({0, n, *batches})):
        if data.draw(st.booleans()):
            log.append(entry(table.arrow(start, stop), len(log)))
        else:
            log.append(Entry(len(log), KAFKA_MS, b"\n".join(table.lines()[start:stop])))
    assert _facts(log) == one_by_one
    polls = data.draw(st.lists(st.integers(0, len(log)), max_size=3))
    assert _facts(log, polls) == one_by_one


@settings(max_examples=100, deadline=None)
@given(
    table=tables(),
    kinds=st.lists(st.sampled_from(["numeric", "categorical", "presence"]), min_size=8, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_a_column_is_the_same_whatever_it_was_written_in(
    table: Table, kinds: list[str], order: Any
) -> None:
    admitted = admit(_log(table.lines()), Rules())
    arrow = admit([entry(table.arrow())], Rules())
    assert len(arrow) == len(admitted)
    assume(len(admitted))
    names = ["x", "kind", "site", "nowhere", "prediction", "prediction.score"]
    names += ["prediction.scores.yes", "prediction.scores.no"]
    places = np.array(sorted(order.sample(range(len(admitted)), order.randint(1, len(admitted)))))
    [objects], [rows] = admitted.rows(places), arrow.rows(places)
    wanted = list(zip(names, kinds, strict=True))
    (found, unknown), (expected, also) = rows.columns(wanted), objects.columns(wanted)
    assert unknown == also
    for name, kind in wanted:
        states = [
            [0] * len(places) if c.state is None else c.state.tolist()
            for c in (found[name], expected[name])
        ]
        assert states[0] == states[1], (name, kind)
        is_value = np.array(states[0]) == State.VALUE
        if kind != "presence" and is_value.any():
            left, right = (
                [c.values[i] for i in np.flatnonzero(is_value).tolist()]
                for c in (found[name], expected[name])
            )
            assert repr(left) == repr(right), (name, kind)
    for dimension in ("site", "region", "x", "nowhere"):
        allowed = {"north": 0, "a": 1, "3": 2, "true": 3}
        said = rows.segments(dimension, allowed).tolist()
        assert said == objects.segments(dimension, allowed).tolist()


plain = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), words)
logged = st.builds(
    Event,
    type=st.sampled_from(["prediction", "prediction", "label"]),
    model=st.sampled_from(["m", "stranger"]),
    time=st.integers(0, 300).map(lambda i: START_MS + i * HOUR_MS // 4)
    | st.datetimes(timezones=st.timezones()),
    version=st.sampled_from(["1", "7", 1, ""]),
    id=st.none() | words | st.integers(0, 9),
    features=st.none()
    | st.fixed_dictionaries({"x": floats | st.none(), "kind": words | st.none()})
    | st.dictionaries(st.sampled_from(["x", "kind", "site", "y"]), plain),
    prediction=plain | st.fixed_dictionaries({"class": words, "score": floats}),
    label=plain,
    tags=st.none() | st.fixed_dictionaries({"site": words}),
)


@settings(max_examples=100, deadline=None)
@given(events=st.lists(logged, min_size=1, max_size=4), copies=st.integers(1, 3))
def test_what_the_sdk_writes_as_arrow_counts_as_its_json(events: list[Event], copies: int) -> None:
    value = encode_events(events * copies)
    event("expressible" if value else "JSON only")
    assume(value is not None)
    assert value is not None
    assert _facts([entry(value)]) == _facts(_log([wire.encode(e) for e in events * copies]))


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.none() | st.floats(width=32), min_size=1, max_size=8),
    width=st.sampled_from([pa.float32(), pa.float64()]),
)
def test_a_float32_counts_as_the_json_of_it_in_either_spelling(
    values: list[float | None], width: pa.DataType
) -> None:
    exact = [None if v is None else float(np.float32(v)) for v in values]
    short = [None if v is None else float(str(np.float32(v))) for v in values]
    features = pa.StructArray.from_arrays([pa.array(exact, width)], names=["x"])
    array = {"time": pa.array([START_MS] * len(values)), "features": features}
    common = {"type": "prediction", "model": "m", "version": "1"}
    rows = [
        [common | {"time": START_MS, "features": {"x": v}} for v in spelled]
        for spelled in (exact, short)
    ]
    as_arrow = _facts([entry(Table(array, common, rows[0]).arrow())])
    for spelled in rows:
        assert _facts(_log([json.dumps(row).encode() for row in spelled])) == as_arrow


@cache
def _streams() -> list[bytes]:
    """Valid streams of everything that is read, plain and compressed."""
    texts = pa.array(["north", None, "south"])
    features = pa.StructArray.from_arrays(
        [
            pa.array([1.5, None, 3.0]),
            texts.dictionary_encode(),
            pa.array(["a", "b", None], pa.string_view()),
            pa.array([[1], None, []]),
        ],
        names=["x", "site", "kind", "other"],
    )
    columns = {
        "time": pa.array([START_MS] * 3, pa.timestamp("us", "UTC")),
        "model": pa.array(["m"] * 3).dictionary_encode(),
        "id": pa.array(["a", "b", "c"]),
        "features": features,
        "prediction": pa.array([{"class": "yes", "score": 0.5, "scores": {"yes": 0.5}}] * 3),
        "tags": pa.array([{"region": "eu"}] * 3),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    batch = batch.replace_schema_metadata(
        {"driftline.type": "prediction", "driftline.version": "1"}
    )
    found = []
    for compression in (None, "lz4", "zstd"):
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
            writer.write_batch(batch)
        found.append(sink.getvalue().to_pybytes())
    return found


@settings(max_examples=500, deadline=None)
@example(which=0, flips=[(1784, 49)], cut=None)  # views that are not whole
@given(
    which=st.integers(0, 2),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    cut=st.none() | st.integers(0, 10_000),
)
def test_a_stream_with_flipped_bytes_is_counted_or_refused_and_nothing_else(
    which: int, flips: list[tuple[int, int]], cut: int | None
) -> None:
    value = bytearray(_streams()[which])
    for place, byte in flips:
        value[place % len(value)] = byte
    raw = bytes(value[:cut])
    refused = None
    try:
        found = decode(raw)
    except DataError as error:
        refused = error.reason
        found = []
    event(refused or "read")
    facts = _facts([Entry(0, KAFKA_MS, raw, HEADERS)])
    counters: Counter[Any] = facts[1]
    assert not counters[("", "", "dead:internal_error")]
    assert facts[-1] + sum(facts[4].values()) == max(1, sum(len(e.rows) for e in found))
