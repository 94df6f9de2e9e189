"""Events and frames to Arrow streams: exactly what the JSON would say, or nothing."""

from __future__ import annotations

import builtins
import sys
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fake_source import START_MS
from msgspec import UNSET

from driftline import arrow
from driftline.arrow import encode_events, encode_frame, shape
from driftline.arrow_columns import column
from driftline.arrow_rows import decode
from driftline.errors import InvalidFrame, MissingExtra
from driftline.events import Event
from driftline.stats.profile import State

NEW_YORK = ZoneInfo("America/New_York")
WORDS = ["UA", "AA", None, "UA", "UA", "AA"]


def _table(value: bytes) -> pa.Table:
    with pa.ipc.open_stream(value) as reader:
        return reader.read_all()


def _event(**changes: Any) -> Event:
    given: dict[str, Any] = {"type": "prediction", "model": "m", "time": START_MS, "version": "1"}
    return Event(**(given | changes))


def _features(*rows: dict[str, Any] | None) -> bytes | None:
    return encode_events([_event(features=row) for row in rows])


def test_what_all_events_have_in_common_is_said_once() -> None:
    value = encode_events([_event(version=3, id=f"e{i}") for i in range(3)])
    assert value is not None
    table = _table(value)
    assert table.schema.metadata == {
        b"driftline.type": b"prediction", b"driftline.model": b"m", b"driftline.version": b"3",
    }  # fmt: skip
    assert table.column_names == ["time", "id"]
    mixed = encode_events([_event(), _event(version="2"), _event(type="label", id=1, label=1)])
    assert mixed is not None
    assert _table(mixed).column("type").to_pylist() == ["prediction", "prediction", "label"]
    two = encode_events([_event(), _event(version="2")])
    assert two is not None
    assert _table(two).column("version").to_pylist() == ["1", "2"]


def test_events_come_back_as_they_were_sent() -> None:
    value = encode_events(
        [
            _event(
                time=datetime(2013, 2, 8, 10, 15, tzinfo=UTC),
                id=i,
                features={"x": x, "n": 1 - i, "late": bool(i), "carrier": "UA"},
                prediction={"class": "late", "score": 0.5, "scores": {"late": 0.5, "on time": 0.5}},
                tags={"region": "eu"},
            )
            for i, x in enumerate([1.5, None, 3])
        ]
    )
    assert value is not None
    rows = _table(value).to_pylist()
    assert [row["features"]["x"] for row in rows] == [1.5, None, 3.0]
    assert rows[0] == {
        "time": datetime(2013, 2, 8, 10, 15, tzinfo=UTC),
        "id": 0,
        "features": {"x": 1.5, "n": 1, "late": False, "carrier": "UA"},
        "prediction": {"class": "late", "score": 0.5, "scores": {"late": 0.5, "on time": 0.5}},
        "tags": {"region": "eu"},
    }


@pytest.mark.parametrize(
    "rows",
    [
        [{"x": 1}, {"x": "1"}],
        [{"x": 1}, {"x": True}],
        [{"x": 0.5}, {"x": 2**53 + 1}],
        [{"x": 2**64}],
        [{"x": [1]}],
        [{"x": 1}, {"y": 1}],
        [{"x": None}, {"x": None, "y": None}],
        [{"x": "\ud800"}],
        [{"\ud800": 1}],
        [{"x": {"a": 1}}, {"x": {"b": 1}}],
        [{"x": {}}],
        [{"x": Decimal("1.5")}],
    ],
)
def test_what_arrow_cannot_say_exactly_is_left_to_json(rows: list[dict[str, Any]]) -> None:
    assert _features(*rows) is None


@pytest.mark.parametrize(
    "rows",
    [
        [{"x": 1}, {"x": 0.5}, {"x": None}],
        [{"x": -(2**63)}],
        [{"x": None}],
        [{"x": 1, "y": "a"}, {"y": None, "x": None}],
        [{"x": 1}, None, {}],
        [None],
        [{"x": {"a": 1}}, {"x": None}],
        [{"x": float("nan")}, {"x": float("-inf")}],
    ],
)
def test_what_it_can_say_is_said(rows: list[dict[str, Any] | None]) -> None:
    assert _features(*rows) is not None


def test_events_without_a_version_or_with_one_that_is_none_are_no_surprise() -> None:
    [events] = decode(encode_events([_event(type="label", version="", id="a", label=0)]) or b"")
    assert events.names == [("m", "", "label")]
    assert encode_events([_event(version=10**38)]) is None
    assert encode_events([_event(model="a\0b")]) is not None


def test_a_label_has_a_label_and_a_prediction_need_not_have_one() -> None:
    label = _event(type="label", id="a", label=1)
    both = encode_events([_event(id="a", prediction=1), label])
    assert both is not None
    assert _table(both).column("label").to_pylist() == [None, 1]
    assert encode_events([label, _event(type="label", id="b")]) is None


def test_equal_shapes_share_a_record() -> None:
    a = _event(features={"x": 1, "y": "a"}, prediction={"class": "b", "score": 0.5})
    b = _event(features={"y": None, "x": 2.5}, prediction={"score": None, "class": "c"})
    assert shape(a) == shape(b)
    assert encode_events([a, b]) is not None
    for other in (
        _event(features={"x": 1}, prediction=a.prediction),
        _event(features=a.features, prediction="b"),
        _event(features=a.features),
        _event(features=a.features, prediction=a.prediction, tags={"region": "eu"}),
    ):
        assert shape(other) != shape(a)


def _names(part: Any) -> Any:
    """What of a part makes its event's shape, in so many words."""
    if isinstance(part, Mapping):
        return {name: _names(value) for name, value in part.items()}
    return "absent" if part is UNSET else "a value"


def test_events_have_one_shape_where_all_their_names_are_the_same() -> None:
    flat = [{}, {"a": 1}, {"b": "x"}, {"a": None, "b": [1]}, MappingProxyType({"a": 2})]
    values = [None, UNSET, 1.5, [{"a": 1}], *flat]
    parts: list[Any] = [*values, *({"b": v, "a": w} for v in values for w in values)]
    parts += [{"a": value} for value in values] + [{"a": {"a": value}} for value in values]
    parts += [MappingProxyType(part) for part in parts if type(part) is dict]
    for first, second in product(parts, parts):
        is_same = _names(first) == _names(second)
        assert (shape(_event(features=first)) == shape(_event(features=second))) is is_same
        assert (shape(_event(tags=first)) == shape(_event(tags=second))) is is_same


# -- columns -----------------------------------------------------------------------------------

V, N, E = (int(state) for state in (State.VALUE, State.NULL, State.TYPE_ERROR))


def _decimals(bits: int) -> Any:
    make = getattr(pa, f"decimal{bits}", pa.decimal128)
    return pa.array([Decimal("1.5"), None, Decimal("2.0")], make(4, 1))


@pytest.mark.parametrize(
    ("array", "numeric", "categorical", "numbers", "words"),
    [
        *(
            (_decimals(bits), [V, N, V], [E, N, V], [1.5, None, 2.0], [None, None, "2"])
            for bits in (32, 64, 128, 256)
        ),
        (pa.array([True, None]), [E, N], [V, N], None, ["true", None]),
        (pa.array(["1", None]), [E, N], [V, N], None, ["1", None]),
        (pa.array([b"1", None]), [E, N], [E, N], None, None),
        (pa.array([datetime(2013, 2, 8), None]), [E, N], [E, N], None, None),
        (pa.array([[1.5], None]), [E, N], [E, N], None, None),
        (pa.array([{"a": 1}, None]), [E, N], [E, N], None, None),
        (pa.array([None, None]), [N, N], [N, N], None, None),
        (pa.array([2**64 - 1], pa.uint64()), [V], [V], [float(2**64)], [str(2**64 - 1)]),
        (
            pa.DictionaryArray.from_arrays(
                pa.array([0, 1, None, 2], pa.int8()), pa.array([1.5, 2.0, None])
            ),
            [V, V, N, N], [E, V, N, N], [1.5, 2.0, None, None], [None, "2", None, None],
        ),
        (
            pa.DictionaryArray.from_arrays(
                pa.array([0, 1, None], pa.uint8()), pa.array([[1], None], pa.list_(pa.int8()))
            ),
            [E, N, N], [E, N, N], None, None,
        ),
    ],
)  # fmt: skip
def test_a_column_is_what_its_type_makes_of_it(
    array: Any, numeric: list[int], categorical: list[int], numbers: Any, words: Any
) -> None:
    for kind, states, values in (
        ("numeric", numeric, numbers),
        ("categorical", categorical, words),
        ("presence", [N if state == N else V for state in numeric], None),
    ):
        places = np.arange(len(array))[::-1]
        for found, wanted in ((column(array, kind), 1), (column(array, kind, places), -1)):
            state = [V] * len(array) if found.state is None else found.state.tolist()
            assert state[::wanted] == states, kind
            assert values is not None or found.values is None
            if values is not None:
                seen = [v if s == V else None for v, s in zip(found.values, state, strict=True)]
                assert seen[::wanted] == values, kind


# -- frames ------------------------------------------------------------------------------------


def _columns() -> dict[str, Any]:
    return {
        "x": [0.5, 1.5, None, 2.5, 3.5, 4.5],
        "carrier": WORDS,
        "ok": [True, False, True, True, False, False],
        "y": ["yes", "no", "yes", "yes", "no", "no"],
        "p": [0.5, 0.25, 0.5, 0.5, 0.75, 0.0],
        "row": ["a", "b", "c", "d", "e", "f"],
        "at": [datetime(2013, 2, 8, 10 + i, 15, tzinfo=NEW_YORK) for i in range(6)],
        "region": ["eu"] * 6,
        "late": [0, None, 1, 1, None, 0],
    }


def _frames() -> list[Any]:
    frame = pd.DataFrame(_columns()).astype({"carrier": "category"})
    table = pa.table(_columns())
    return [frame, pl.from_arrow(table), table, {n: table[n] for n in table.column_names}]


def _encoded(frame: Any, **changes: Any) -> list[tuple[bytes, int]]:
    given: dict[str, Any] = {
        "model": "m", "version": 1, "prediction": "y", "timestamp": "at", "max_bytes": 100_000,
    }  # fmt: skip
    return list(encode_frame(frame, **(given | changes)))


@pytest.mark.parametrize("which", range(4), ids=["pandas", "polars", "pyarrow", "mapping"])
def test_a_frame_of_every_library_becomes_the_same_events(which: int) -> None:
    [(value, n)] = _encoded(
        _frames()[which], score="p", id="row", tags=["region"], features=["x", "carrier", "ok"]
    )
    table = _table(value)
    assert n == 6
    assert table.schema.metadata[b"driftline.type"] == b"prediction"
    assert table.slice(2, 1).to_pylist() == [
        {
            "time": datetime(2013, 2, 8, 17, 15, tzinfo=UTC),
            "id": "c",
            "features": {"x": None, "carrier": None, "ok": True},
            "prediction": {"class": "yes", "score": 0.5},
            "tags": {"region": "eu"},
        }
    ]
    [events] = decode(value)
    assert not events.faults.any()
    assert events.times_ms[0] == 1_360_336_500_000


@pytest.mark.parametrize("which", range(4), ids=["pandas", "polars", "pyarrow", "mapping"])
def test_the_score_of_each_class_goes_with_the_prediction_and_is_no_feature(which: int) -> None:
    by_class = {"yes": "p", "no": "x"}
    [(value, _)] = _encoded(_frames()[which], scores=by_class, tags=["region"])
    row = _table(value).slice(0, 1).to_pylist()[0]
    assert row["prediction"]["scores"] == {"yes": _columns()["p"][0], "no": _columns()["x"][0]}
    assert not {"p", "x"} & set(row["features"])
    with pytest.raises(InvalidFrame, match=r"scores: there is no column 'q'"):
        _encoded(_frames()[which], scores={"yes": "q"})


def test_without_a_list_every_other_column_is_a_feature() -> None:
    [(value, _)] = _encoded(_frames()[0], score="p", id="row", tags=["region"])
    features = _table(value).schema.field("features").type
    assert [features.field(i).name for i in range(features.num_fields)] == [
        "x", "carrier", "ok", "late",
    ]  # fmt: skip


def test_rows_with_an_outcome_become_labels_too() -> None:
    records = _encoded(_frames()[0], id="row", label="late")
    assert [n for _, n in records] == [6, 4]
    table = _table(records[1][0])
    assert table.schema.metadata[b"driftline.type"] == b"label"
    assert table.column("id").to_pylist() == ["a", "c", "d", "f"]
    assert table.column("label").to_pylist() == [0, 1, 1, 0]
    with pytest.raises(InvalidFrame, match="label needs id"):
        _encoded(_frames()[0], label="late")


def test_records_hold_no_more_rows_and_bytes_than_they_may() -> None:
    n = 5_000
    frame = pd.DataFrame(
        {"x": np.arange(n) / 7, "word": [f"word {i}" for i in range(n)], "y": 1, "at": START_MS}
    )
    records = _encoded(frame, max_rows=1_000)
    assert [rows for _, rows in records] == [1_000] * 5
    small = _encoded(frame, max_rows=1_000, max_bytes=5_000)
    assert max(len(value) for value, _ in small) <= 5_000
    assert sum(rows for _, rows in small) == n
    values = [x for value, _ in small for x in _table(value)["features"].to_pylist()]
    assert [row["x"] for row in values] == (np.arange(n) / 7).tolist()


def test_a_slice_does_not_carry_the_dictionary_of_the_whole_frame() -> None:
    n = 20_000
    words = pd.Series([f"category {i // 10}" for i in range(n)]).astype("category")
    records = _encoded(pd.DataFrame({"x": words, "y": 1, "at": START_MS}), max_bytes=1_000_000)
    assert max(len(value) for value, _ in records) < 25_000


def test_a_row_that_no_record_can_hold_is_named() -> None:
    frame = pd.DataFrame({"x": ["a", "b" * 9_000], "y": 1, "at": START_MS})
    with pytest.raises(InvalidFrame, match=r"row 1 takes .* bytes, a record may hold 5,000"):
        _encoded(frame, max_bytes=5_000)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prediction": "yy"}, "no column 'yy', did you mean 'y'"),
        ({"features": ["carier"]}, "did you mean 'carrier'"),
        ({"tags": ["nowhere"]}, "tags: there is no column 'nowhere'"),
        ({"timestamp": "carrier"}, "time column 'carrier'"),
        ({"timezone": "Mars/Olympus"}, "Mars/Olympus"),
    ],
)
def test_what_the_frame_lacks_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidFrame, match=said):
        _encoded(_frames()[0], **changes)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (
            pd.DataFrame({"x": [1, "a"], "y": 1, "at": START_MS}),
            "column 'x' holds no values of one",
        ),
        (pd.DataFrame({"x": 1, "y": [1, 2], "at": [START_MS, None]}), "1 rows have no time"),
        (pd.DataFrame([[1, 2, 3]], columns=["x", "x", "at"]), "each once, not 'x'"),
        ([1, 2], "not list"),
        ({"x": 1}, "make no table"),
    ],
)
def test_what_is_no_frame_of_events_is_refused(frame: Any, said: str) -> None:
    with pytest.raises(InvalidFrame, match=said):
        _encoded(frame)


def test_naive_times_are_read_in_the_named_zone_or_in_utc_with_a_warning() -> None:
    frame = pd.DataFrame({"x": [1], "y": [1], "at": pd.to_datetime(["2013-02-08T10:15:00"])})
    with pytest.warns(UserWarning, match="read as UTC"):
        [(value, _)] = _encoded(frame)
    assert decode(value)[0].times_ms.tolist() == [1_360_318_500_000]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [(value, _)] = _encoded(frame, timezone="America/New_York")
    assert decode(value)[0].times_ms.tolist() == [1_360_336_500_000]


def test_an_empty_frame_is_no_record() -> None:
    assert _encoded(pd.DataFrame(_columns()).head(0)) == []


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def absent(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyarrow":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    arrow.pyarrow.cache_clear()
    try:
        for call in (lambda: encode_events([_event()]), lambda: _encoded({"x": [1]})):
            with pytest.raises(MissingExtra, match=r"pip install 'driftline\[arrow\]'"):
                call()
    finally:
        arrow.pyarrow.cache_clear()
