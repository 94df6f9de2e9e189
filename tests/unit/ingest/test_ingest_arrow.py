"""Arrow records: what of them is counted, what is refused and why, and that nothing breaks."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from arrow_records import HEADERS, entry, predictions, stream, written
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, prediction, small_reference

from consumers import admit as admission
from consumers.admit import LETTERS_OF_RECORD, Rules, admit
from consumers.count import count
from consumers.ledger import Ledger
from driftline import arrow_columns, arrow_stream, wire
from driftline.arrow_rows import ArrowRows, decode
from driftline.arrow_stream import MAX_FIELDS, MAX_ROWS, MAX_WORDS
from driftline.errors import DataError
from driftline.events import REASONS
from driftline.wire import MAX_RECORD_BYTES
from monitor.storage.checkpoint import Claim
from monitor.storage.delta import CounterKey
from monitor.storage.registry import BoundVersion, Registry

REFERENCE = small_reference()
REGISTRY = Registry(
    1,
    frozenset({"m"}),
    {("m", "1"): BoundVersion(1, "m", "1", "UTC", HOUR_MS, ((0, REFERENCE.digest),))},
    {REFERENCE.digest: REFERENCE},
)
PREDICTED = CounterKey("m", "1", "prediction")


def _refusal(value: bytes) -> tuple[str, str]:
    """Why the whole record is one dead letter."""
    admitted = admit([entry(value)], Rules())
    [letter] = admitted.letters
    assert letter.line == 0
    assert letter.payload == value[:2_048]
    assert len(admitted) == 0
    assert admitted.refused == {letter.reason: 1}
    assert letter.reason in REASONS
    return letter.reason, letter.detail


def _rows(value: bytes) -> list[tuple[int, str]]:
    """Which rows are dead letters, and why."""
    return [(x.line, x.reason) for x in admit([entry(value)], Rules()).letters]


def _feature(array: pa.Array) -> bytes:
    n = len(array)
    features = pa.StructArray.from_arrays([array], names=["x"])
    return stream(
        {"time": pa.array([START_MS] * n), "features": features},
        type="prediction", model="m", version="1",
    )  # fmt: skip


def test_a_record_is_arrow_when_its_header_says_so_and_never_by_its_looks() -> None:
    arrow, text = predictions(3), prediction(0)
    [letter] = admit([Entry(0, KAFKA_MS, arrow)], Rules()).letters
    assert (letter.reason, "content-type" in letter.detail) == ("bad_json", True)
    [letter] = admit([entry(text)], Rules()).letters
    assert letter.reason == "bad_arrow"
    assert len(admit([Entry(0, KAFKA_MS, text, [("content-type", b"text/plain")])], Rules())) == 1


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Type", b"Application/vnd.apache.arrow.stream; v=1")],
        [("trace", None), ("content-type", b"application/vnd.apache.arrow.stream")],
        [("content-type", b"text/plain"), *HEADERS],
    ],
)
def test_the_header_is_read_as_headers_are(headers: Sequence[tuple[str, bytes | None]]) -> None:
    assert len(admit([Entry(0, KAFKA_MS, predictions(3), headers)], Rules())) == 3


def test_arrow_and_json_of_one_poll_are_counted_together_in_the_order_of_the_log() -> None:
    log = [
        Entry(0, KAFKA_MS, prediction(0)),
        entry(predictions(5), 1),
        Entry(2, KAFKA_MS, prediction(5)),
        entry(predictions(2), 3),
    ]
    admitted = admit(log, Rules())
    assert admitted.offsets.tolist() == [0, 1, 1, 1, 1, 1, 2, 3, 3]
    assert ((admitted.times_ms - START_MS) // 600_000).tolist() == [0, 0, 1, 2, 3, 4, 5, 0, 1]
    assert count(admitted, REGISTRY).counters == {PREDICTED: 9}


def test_a_bad_row_is_a_letter_of_its_own_with_its_number_and_its_beginning_as_json() -> None:
    times = [START_MS, None, 10**15, START_MS]
    value = predictions(4, time=pa.array(times), id=pa.array(["a", "b", "c", "d"]))
    admitted = admit([entry(value, 8)], Rules())
    assert len(admitted) == 2
    assert [(x.offset, x.line, x.reason) for x in admitted.letters] == [
        (8, 2, "time_missing"),
        (8, 3, "time_out_of_range"),
    ]
    shown = json.loads(admitted.letters[1].payload or b"")
    assert shown["features"] == {"x": 2.0, "kind": "c", "site": "south"}
    assert (shown["id"], shown["time"]) == ("c", 10**15)
    assert shown["prediction"] == {"class": "yes", "score": 0.2}
    hidden = admit([entry(value, 8)], Rules(keep_payload=False)).letters
    assert [x.payload for x in hidden] == [None, None]
    assert hidden[0].payload_sha256 == admitted.letters[0].payload_sha256


def test_rows_are_numbered_through_all_batches_of_a_stream() -> None:
    times = pa.array([START_MS, START_MS, None, START_MS, None])
    features = pa.array([{"x": float(i)} for i in range(5)])
    value = stream(
        {"time": times, "features": features},
        cuts=[2, 4], type="prediction", model="m", version="1",
    )  # fmt: skip
    assert _rows(value) == [(3, "time_missing"), (5, "time_missing")]


def test_every_bad_row_is_counted_and_the_first_of_them_are_kept() -> None:
    value = predictions(1_000, time=pa.nulls(1_000, pa.int64()))
    admitted = admit([entry(value)], Rules())
    assert admitted.refused == {"time_missing": 1_000}
    assert [x.line for x in admitted.letters] == list(range(1, LETTERS_OF_RECORD + 1))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": None}, "type_missing"),
        ({"type": "guess"}, "type_unknown"),
        ({"model": None}, "model_missing"),
        ({"model": pa.array(["", ""]), "version": pa.array(["", "1"])}, "model_missing"),
        ({"model": "a\nb"}, "model_invalid"),
        ({"model": pa.array(["x" * 201, "x" * 201])}, "model_invalid"),
        ({"version": None}, "version_missing"),
        ({"version": pa.array(["", None])}, "version_missing"),
        ({"version": "\x07"}, "version_invalid"),
        ({"time": None}, "time_missing"),
        ({"time": pa.array([2**62, -(2**63)])}, "time_out_of_range"),
        ({"time": pa.array([2**64 - 1] * 2, pa.uint64())}, "time_out_of_range"),
        ({"time": pa.array([2**60] * 2, pa.timestamp("s", "UTC"))}, "time_out_of_range"),
        ({"time": pa.array([KAFKA_MS + 300_001] * 2)}, "time_in_future"),
        ({"type": "label", "label": pa.array([1, 1])}, "id_missing"),
        ({"type": "label", "label": pa.array([1, 1]), "id": pa.array(["", None])}, "id_missing"),
        ({"type": "label", "id": pa.array(["a", "b"])}, "label_missing"),
    ],
)
def test_a_row_that_is_no_event_says_why(changes: dict[str, Any], reason: str) -> None:
    assert _rows(predictions(2, **changes)) == [(1, reason), (2, reason)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"time": pa.array([START_MS] * 2, pa.timestamp("ms"))}, "time_no_offset"),
        ({"time": pa.array(["2013-02-08T10:15:00Z"] * 2)}, "time_invalid"),
        ({"time": pa.array([1.5, 2.5])}, "time_invalid"),
        ({"model": pa.array([1, 2])}, "column_invalid"),
        ({"type": pa.array([True, True])}, "column_invalid"),
        ({"version": pa.array([1.0, 2.0])}, "column_invalid"),
        ({"features": pa.array([[1], [2]])}, "features_invalid"),
        ({"features": pa.array([[("x", 1)]] * 2, pa.map_(pa.string(), pa.int64()))},
         "features_invalid"),
        ({"prediction": pa.UnionArray.from_dense(
            pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()), [pa.array([1, 2])])},
         "column_invalid"),
    ],
)  # fmt: skip
def test_a_column_of_a_wrong_type_makes_the_record_one_letter(
    changes: dict[str, Any], reason: str
) -> None:
    found, detail = _refusal(predictions(2, **changes))
    assert found == reason
    assert "type" in detail


def test_a_feature_that_cannot_be_read_is_named_in_the_letter() -> None:
    encoded = pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int16()), pa.array([1.5]))
    reason, detail = _refusal(_feature(encoded))
    assert reason == "column_invalid"
    assert detail.startswith("features.x is of type run_end_encoded")


def test_a_name_that_comes_twice_is_refused() -> None:
    time = pa.array([START_MS])
    batch = pa.RecordBatch.from_arrays([time, time], names=["time", "time"])
    assert _refusal(written(batch)) == ("column_invalid", "2 columns are named 'time'")
    twins = pa.StructArray.from_arrays([pa.array([1.5]), pa.array([2.5])], names=["x", "x"])
    assert _refusal(predictions(1, features=twins)) == ("column_invalid", "2 fields are named 'x'")


def test_columns_that_mean_nothing_here_are_ignored() -> None:
    odd = pa.array([[1], [2]], pa.list_(pa.int64()))
    assert _rows(predictions(2, surprise=odd, tags=pa.array(["eu", "us"]))) == []


def test_what_is_empty_or_too_large_is_refused_before_it_is_read() -> None:
    assert _refusal(b"") == ("empty", "")
    assert _refusal(predictions(0))[0] == "empty"
    assert _refusal(written(pa.RecordBatch.from_arrays([], names=[])))[0] == "empty"
    assert _refusal(b"\xff" * (MAX_RECORD_BYTES + 1))[0] == "oversized"


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_stream_is_read_and_one_that_expands_too_far_is_not(codec: str) -> None:
    options = pa.ipc.IpcWriteOptions(compression=codec)
    n = 1_000
    small = {"time": pa.array([START_MS] * n), "features": pa.array([{"x": 1.5}] * n)}
    common = {"type": "prediction", "model": "m", "version": "1"}
    value = stream(small, options=options, **common)
    assert count(admit([entry(value)], Rules()), REGISTRY).counters == {PREDICTED: n}
    zeros = pa.array([0.0] * 40_000)
    wide = pa.StructArray.from_arrays([zeros] * 60, names=[f"x{i}" for i in range(60)])
    bomb = stream(
        {"time": pa.array([START_MS] * 40_000), "features": wide}, options=options, **common
    )
    assert len(bomb) < MAX_RECORD_BYTES
    assert _refusal(bomb)[0] == "oversized"


def test_a_size_that_a_buffer_lies_about_is_never_allocated() -> None:
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    n = 5_000
    value = stream(
        {"time": pa.array([START_MS] * n)},
        options=options,
        type="prediction",
        model="m",
        version="1",
    )
    said = struct.pack("<q", 8 * n)
    assert value.count(said) == 1
    for lie in (1 << 40, (1 << 63) - 1, 8 * n + 8, 8 * n - 8, 0):
        reason, _ = _refusal(value.replace(said, struct.pack("<q", lie)))
        assert reason == ("oversized" if lie > 1 << 30 else "bad_arrow")


def test_rows_and_words_that_take_no_bytes_are_bounded() -> None:
    batch = pa.RecordBatch.from_arrays([pa.nulls(10**9)], names=["time"])
    assert _refusal(written(batch))[0] == "oversized"
    words = pa.DictionaryArray.from_arrays(pa.array([0], pa.int8()), pa.nulls(MAX_WORDS + 1))
    assert _refusal(_feature(words))[0] == "oversized"
    assert _refusal(predictions(MAX_ROWS + 1, features=None, prediction=None))[0] == "oversized"
    endless = pa.FixedSizeListArray.from_arrays(pa.nulls(2**31 - 1), 2**31 - 1)
    assert count(admit([entry(_feature(endless))], Rules()), REGISTRY).counters[PREDICTED] == 1
    features = pa.StructArray.from_arrays([endless], names=["x"])
    shown = admit([entry(predictions(1, time=pa.array([0]), features=features))], Rules())
    assert b"fixed_size_list" in (shown.letters[0].payload or b"")


def _views(n: int, text: bytes) -> pa.Array:
    """The same text in every row, held once."""
    view = struct.pack("<i4sii", len(text), text[:4], 0, 0)
    buffers = [None, pa.py_buffer(view * n), pa.py_buffer(text)]
    try:
        return pa.Array.from_buffers(pa.string_view(), n, buffers)
    except ValueError:
        pytest.skip("pyarrow 17 reads views and cannot make them of buffers")


def test_a_long_text_that_every_row_views_is_not_copied_for_each() -> None:
    value = _feature(_views(100, b"x" * 1_000))
    assert count(admit([entry(value)], Rules()), REGISTRY).counters == {PREDICTED: 100}
    assert _refusal(_feature(_views(40_000, b"x" * 100_000)))[0] == "oversized"
    scores = pa.StructArray.from_arrays([_views(40_000, b"x" * 100_000)], names=["yes"])
    output = pa.StructArray.from_arrays([scores], names=["scores"])
    assert _refusal(predictions(40_000, features=None, prediction=output))[0] == "oversized"
    models = predictions(40_000, features=None, prediction=None, model=_views(40_000, b"m" * 9_999))
    assert _refusal(models)[0] == "oversized"


def test_an_index_outside_of_its_dictionary_is_refused() -> None:
    indices = pa.array([0, 5, 1], pa.int8())
    bad = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    assert _refusal(_feature(bad))[0] == "bad_arrow"


def test_text_that_is_no_utf8_is_refused() -> None:
    raw = pa.array([b"\xff\xfe"]).view(pa.string())
    assert _refusal(_feature(raw))[0] == "bad_arrow"
    value = predictions(1, model="mmmm")
    assert _refusal(value.replace(b"mmmm", b"mm\xff\xfe"))[0] == "bad_arrow"
    named = predictions(1, features=pa.array([{"ffff": 1.5}]))
    assert _refusal(named.replace(b"ffff", b"ff\xff\xfe"))[0] == "bad_arrow"


def test_no_code_of_an_extension_type_runs() -> None:
    ran = []

    class Trap(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.float64(), "driftline.trap")

        def __arrow_ext_serialize__(self) -> bytes:
            return b"x"

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Any:
            ran.append(serialized)
            return cls()

    pa.register_extension_type(Trap())
    try:
        value = _feature(pa.ExtensionArray.from_storage(Trap(), pa.array([1.5])))
        ran.clear()
        reason, detail = _refusal(value)
    finally:
        pa.unregister_extension_type("driftline.trap")
    assert (reason, "extension" in detail, ran) == ("bad_arrow", True, [])
    # The same without the type: what is admitted does not depend on what is registered.
    assert _refusal(value) == (reason, detail)


@pytest.mark.parametrize("levels", [10, 60, 500])
def test_types_that_are_nested_deep_are_read_or_refused(levels: int) -> None:
    kind = pa.int64()
    for _ in range(levels):
        kind = pa.struct({"a": kind})
    try:
        value = _feature(pa.nulls(1, kind))
    except pa.ArrowInvalid:  # Arrow itself writes no deeper ones
        assert levels > 60
        return
    admitted = admit([entry(value)], Rules())
    assert len(admitted) + len(admitted.letters) == 1


def test_a_schema_of_too_many_fields_is_refused() -> None:
    n = MAX_FIELDS + 1
    features = pa.StructArray.from_arrays(
        [pa.nulls(1)] * n, names=[format(i, "x") for i in range(n)]
    )
    value = stream({"time": pa.array([START_MS]), "features": features}, type="prediction")
    rules = Rules(max_record_bytes=10_000_000)
    assert [x.reason for x in admit([entry(value)], rules).letters] == ["oversized"]


def test_a_stream_that_is_cut_is_refused_wherever_it_is_cut() -> None:
    value = predictions(3)
    end = len(value) - 8
    for cut in range(1, len(value)):
        if cut == end:  # closing a stream without saying so is allowed
            assert len(admit([entry(value[:cut])], Rules())) == 3
            continue
        with pytest.raises(DataError) as caught:
            decode(value[:cut])
        assert caught.value.reason in ("bad_arrow", "empty")
    assert _refusal(value + value)[0] == "bad_arrow"


def test_a_stream_whose_dictionaries_were_met_before_is_refused_where_it_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = pa.array(["a", "b", "a"]).dictionary_encode()
    features = pa.StructArray.from_arrays([words], ["c"])
    value = stream({"time": pa.array([START_MS] * 3), "features": features}, type="prediction")
    decode(value)
    assert arrow_stream._HEADERS  # what its dictionary's header says is known from now on
    for end in range(len(value) - 8):  # the end of a stream may be left out
        with pytest.raises(DataError):
            decode(value[:end])
    # What is known of a header is no more than what is read of it.
    known = dict(arrow_stream._HEADERS)
    monkeypatch.setattr(arrow_stream, "_HEADERS", {})
    decode(value)
    assert all(known[header] == said for header, said in arrow_stream._HEADERS.items())


def test_words_of_a_dictionary_that_was_met_before_count_like_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = pa.array([str(i) for i in range(40)]).dictionary_encode()
    tags = pa.StructArray.from_arrays([words], ["w"])
    value = stream({"time": pa.array([START_MS] * 40), "tags": tags}, type="prediction")
    decode(value)
    monkeypatch.setattr(arrow_stream, "MAX_WORDS", 39)
    assert _refusal(value) == ("oversized", "40 words, 39 are allowed")


@pytest.mark.parametrize(("first", "last"), [(0, 3), (2, 7), (5, 9), (4, 5)])
def test_rows_that_follow_each_other_are_the_same_as_those_that_are_picked(
    first: int, last: int
) -> None:
    features = pa.StructArray.from_arrays(
        [
            pa.array([1.5, None, 3.0, 4.0, None, 6.0, 7.0, 8.0, 9.0]),
            pa.array(["a", "b", None, "a", "c", "c", "b", "a", None]).dictionary_encode(),
        ],
        ["x", "c"],
        mask=pa.array([False, False, False, True, False, False, True, False, False]),
    )
    rows = ArrowRows({"features": features}, 9)
    kinds = [("x", "numeric"), ("c", "categorical"), ("gone", "numeric")]
    run = rows.take(np.arange(first, last))
    picked = ArrowRows({"features": features}, 9, np.arange(first, last))
    assert run.places is None and len(run) == len(picked) == last - first

    def told(found: ArrowRows) -> list[Any]:
        columns, others = found.columns(kinds)
        said: list[Any] = [others, found.segments("c", {"a": 0, "b": 1}).tolist()]
        for column in columns.values():
            state = [0] * len(found) if column.state is None else column.state.tolist()
            values = [] if column.values is None else list(column.values)
            kept = [v for v, is_odd in zip(values, state, strict=False) if not is_odd]
            said.append((state, kept))
        return said

    assert told(run) == told(picked)
    again = run.take(np.array([0])), picked.take(np.array([0]))
    assert told(again[0]) == told(again[1])


@pytest.mark.parametrize(
    "kind", ["int8", "uint16", "int32", "uint64", "float16", "float32", "float64", "bool"]
)
@pytest.mark.parametrize(("first", "last"), [(0, 20), (3, 19), (8, 17), (9, 10), (5, 5)])
def test_values_are_read_where_they_lie(kind: str, first: int, last: int) -> None:
    """Wherever a slice begins, within a byte of the bits that say what is null, too."""
    plain = [None if i % 7 == 3 else i % 3 == 0 if kind == "bool" else i for i in range(20)]
    array = pa.array(plain, pa.bool_() if kind == "bool" else getattr(pa, kind)())
    found = arrow_columns.column(array.slice(first, last - first), "categorical")
    state = np.zeros(last - first, np.uint8) if found.state is None else found.state
    said = [None if odd else word for word, odd in zip(found.values, state, strict=True)]
    assert said == wire.categories(plain[first:last])
    numbers = arrow_columns.column(array.slice(first, last - first), "numeric")
    state = np.zeros(last - first, np.uint8) if numbers.state is None else numbers.state
    assert (state == [2 if v is None else 3 * (kind == "bool") for v in plain[first:last]]).all()
    if kind != "bool":
        kept = numbers.values[state == 0].tolist()
        assert kept == [v for v in plain[first:last] if v is not None]


def test_reading_arrow_does_not_import_pandas() -> None:
    """pyarrow does for an array of numpy: a quarter of a second, and 40 MB of a consumer."""
    program = """
import sys
from driftline.arrow_rows import decode
[events] = decode(sys.stdin.buffer.read())
for kind in ("numeric", "categorical", "presence"):
    found, _ = events.rows.columns([(name, kind) for name in ("x", "c", "t", "b", "i")])
    assert all(column.state.any() for column in found.values())
assert "pandas" not in sys.modules
"""
    columns = {
        "x": pa.array([1.5, None]),
        "c": pa.array(["a", None]).dictionary_encode(),
        "t": pa.array([None, "b"]),
        "b": pa.array([True, None]),
        "i": pa.array([None, 3]),
    }
    features = pa.StructArray.from_arrays(list(columns.values()), list(columns))
    value = predictions(2, features=features, prediction=None)
    subprocess.run([sys.executable, "-c", program], input=value, check=True, timeout=60)


@pytest.mark.parametrize("pair", [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2)])
def test_records_of_two_schemas_in_one_poll_are_counted_as_each_alone(pair: Sequence[int]) -> None:
    """Columns of records that are alike are joined, and only of those."""
    other = pa.StructArray.from_arrays(
        [pa.array([1, 2, 3], pa.int32()), pa.array(["a", "z", None])], names=["x", "kind"]
    )
    records = [predictions(3), predictions(3, features=other), predictions(3, prediction=None)]
    records = [records[place] for place in pair]
    at_once = count(admit([entry(value, i) for i, value in enumerate(records)], Rules()), REGISTRY)
    alone = [count(admit([entry(value)], Rules()), REGISTRY) for value in records]
    for key, pane in at_once.panes.items():
        parts = [one.panes[key] for one in alone if key in one.panes]
        assert pane == sum(parts[1:], start=parts[0])
    assert {key for one in alone for key in one.panes} == set(at_once.panes)


def test_what_one_poll_brings_is_counted_in_pieces_that_fit_into_memory() -> None:
    n = MAX_ROWS // 2 + 1
    value = predictions(n, features=None, prediction=None)
    log = [entry(value, i) for i in range(5)] + [Entry(5, KAFKA_MS, b"no")]
    admitted = admit(log, Rules())
    assert (admitted.n_records, len(admitted), admitted.n_bytes) == (2, 2 * n, 2 * len(value))
    ledger = Ledger(Claim(1, 0, 1, 0, 1, None, None, 0), REGISTRY, Rules())
    ledger.take(log, 9)
    assert (ledger.position, ledger.rows) == (9, 5 * n)
    assert ledger.delta.counters[PREDICTED] == 5 * n
    assert [x.offset for x in ledger.delta.letters] == [5]


def test_as_many_names_as_rows_cost_no_more_than_rows() -> None:
    n = 40_000
    models = pa.array([format(i, "x") for i in range(n)])
    value = predictions(n, features=None, prediction=None, model=models)
    admitted = admit([entry(value)], Rules())
    began = time.process_time()
    counters = count(admitted, REGISTRY).counters
    assert time.process_time() - began < 5
    assert len(counters) == n


def test_records_that_expand_are_counted_in_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BYTES_AT_ONCE", 1_000)
    log = [entry(predictions(50), i) for i in range(3)]
    assert admit(log, Rules()).n_records == 1


def test_a_fault_of_our_own_in_one_record_costs_that_record_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(value: bytes, max_bytes: int) -> Any:
        if value == b"trap":
            raise RuntimeError("a bug")
        return decode(value, max_bytes)

    monkeypatch.setattr(admission.arrow_rows, "decode", broken)
    ledger = Ledger(Claim(1, 0, 1, 0, 1, None, None, 0), REGISTRY, Rules())
    ledger.take([entry(predictions(3), 0), entry(b"trap", 1), entry(predictions(2), 2)], 3)
    assert ledger.delta.counters[PREDICTED] == 5
    assert [(x.offset, x.reason) for x in ledger.delta.letters] == [(1, "internal_error")]
