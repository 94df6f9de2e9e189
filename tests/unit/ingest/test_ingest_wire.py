"""Bytes to events and columns."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import jsonschema
import numpy as np
import pytest
from msgspec import UNSET

from driftline import wire
from driftline.errors import DataError
from driftline.events import JSON_SCHEMA, REASONS, Event
from driftline.stats.profile import State
from driftline.wire import MAX_LINES, columns, decode, decode_lines, depth, encode, times_ms

GOOD = {
    "type": "prediction",
    "id": "2013-02-08-UA-1545-EWR-IAH-529",
    "model": "flight-delay",
    "version": "3",
    "time": "2013-02-08T10:15:00Z",
    "features": {"distance": 1400.0, "carrier": "UA", "temp": None},
    "prediction": {"class": "late", "score": 0.73},
    "tags": {"region": "eu"},
}
LABEL = {
    "type": "label",
    "id": "2013-02-08-UA-1545-EWR-IAH-529",
    "model": "flight-delay",
    "time": "2013-02-08T13:40:00Z",
    "label": 1,
}


def _bytes(**changes: Any) -> bytes:
    event = {k: v for k, v in (GOOD | changes).items() if v is not ...}
    return json.dumps(event).encode()


def test_the_documented_events_are_read() -> None:
    event = decode(_bytes())
    assert (event.model, event.version) == ("flight-delay", "3")
    assert event.features == {"distance": 1400.0, "carrier": "UA", "temp": None}
    assert decode(json.dumps(LABEL).encode()).label == 1


def test_the_documented_events_fit_the_schema() -> None:
    for event in (GOOD, LABEL):
        jsonschema.validate(event, JSON_SCHEMA)


@pytest.mark.parametrize("missing", ["type", "model", "time", "version"])
def test_the_schema_refuses_what_would_be_a_dead_letter(missing: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({k: v for k, v in GOOD.items() if k != missing}, JSON_SCHEMA)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "empty"),
        (b"{", "bad_json"),
        (b'{"a": 1} x', "bad_json"),
        (b'{"a": "\xff"}', "bad_json"),
        (b'{"type":"prediction","model":"\\ud800","time":1}', "bad_json"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"x" * 1_000_001, "oversized"),
        (b"null", "not_an_object"),
        (b"[1, 2]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (_bytes(type=...), "type_missing"),
        (_bytes(type="guess"), "type_unknown"),
        (_bytes(type=["prediction"]), "type_unknown"),
        (_bytes(model=...), "model_missing"),
        (_bytes(model=None), "model_missing"),
        # Whatever else is wrong, at the first look and at the second.
        (_bytes(model="", version=""), "model_missing"),
        (_bytes(model="", version="").replace(b"{", b'{"x": Infinity, ', 1), "model_missing"),
        (_bytes(model=7), "model_invalid"),
        (_bytes(version=...), "version_missing"),
        (_bytes(version=None), "version_missing"),
        (_bytes(version=""), "version_missing"),
        (_bytes(version=True), "version_invalid"),
        (_bytes(version=1.5), "version_invalid"),
        (_bytes(time=...), "time_missing"),
        (_bytes(time=None), "time_missing"),
        (_bytes(time="2013-02-08T10:15:00"), "time_no_offset"),
        (_bytes(time="2013-02-08"), "time_no_offset"),
        (_bytes(time="yesterday"), "time_invalid"),
        (_bytes(time="2013-02-30T10:15:00Z"), "time_invalid"),
        (_bytes(time=1.5), "time_invalid"),
        (_bytes(time=True), "time_invalid"),
        (_bytes(time=[1]), "time_invalid"),
        (_bytes(features=[1]), "features_invalid"),
        (json.dumps(LABEL | {"id": None}).encode(), "id_missing"),
        (json.dumps({k: v for k, v in LABEL.items() if k != "label"}).encode(), "label_missing"),
    ],
)
def test_a_refused_record_names_its_reason(value: bytes, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        decode(value)
    assert caught.value.reason == reason
    assert reason in REASONS


def test_brackets_inside_strings_are_no_depth() -> None:
    assert decode(_bytes(tags={"note": "[" * 500})).model == "flight-delay"
    assert depth(b'{"a\\"[[": ["{{{"]}') == 2


def test_a_string_without_an_end_is_passed_over_once() -> None:
    assert depth(b'[{"[[[') == 2
    assert depth(b'[{"[[\\') == 2
    started = time.monotonic()
    assert depth(b"[" * 65 + b'"' + b'\\"' * 30_000) == 65
    assert time.monotonic() - started < 5


def test_a_number_beyond_every_float_is_a_very_large_one() -> None:
    event = decode(_bytes(features={"a": 0}).replace(b'"a": 0', b'"a": 1e999, "b": -1e400'))
    assert event.features is not None
    assert 1e300 < event.features["a"] < math.inf
    assert -math.inf < event.features["b"] < -1e300


def test_depth_is_judged_by_the_bytes_and_not_by_the_stack() -> None:
    nested: Any = 1
    for _ in range(62):
        nested = [nested]
    value = _bytes(features={"x": nested})

    def deeper(n: int) -> Event:
        return decode(value) if n == 0 else deeper(n - 1)

    assert deeper(0) == deeper(300)
    with pytest.raises(DataError, match="too_deep"):
        decode(_bytes(features={"x": [nested]}))


def test_what_python_writes_for_nan_and_infinity_is_read() -> None:
    event = decode(
        b'{"type":"prediction","model":"m","version":"1","time":1360318500000,'
        b'"features":{"a":NaN,"b":-Infinity,"c":Infinity}}'
    )
    assert event.features is not None
    assert math.isnan(event.features["a"])
    assert event.features["b"] == -math.inf
    assert event.features["c"] == math.inf


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b"\xef\xbb\xbf" + _bytes()).version == "3"


def test_unknown_top_level_keys_are_ignored() -> None:
    assert decode(_bytes(surprise={"a": 1})).version == "3"


def test_equal_instants_are_equal_however_they_are_written() -> None:
    written = [
        "2013-02-08T10:15:00.123Z",
        "2013-02-08T11:15:00.123+01:00",
        "2013-02-08 10:15:00.123999Z",
        1_360_318_500_123,
        1_360_318_500_123.0,
    ]
    assert (
        times_ms([decode(_bytes(time=time)) for time in written]).tolist()
        == [1_360_318_500_123] * 5
    )
    assert (
        times_ms([decode(_bytes(time=time)) for time in written[:3]]).tolist()
        == [1_360_318_500_123] * 3
    )


def test_an_instant_beyond_all_integers_is_clipped() -> None:
    assert times_ms([decode(_bytes(time=10**40)), decode(_bytes(time=1))])[0] > 4e18


def test_lines_are_told_from_one_broken_record() -> None:
    assert decode_lines(_bytes() + b"\n\n" + b"oops") == [(1, _bytes()), (3, b"oops")]
    assert decode_lines(b'{\n "type": "prediction",\n') is None
    assert decode_lines(b"one\ntwo") is None


def test_lines_that_python_wrote_with_nan_are_lines() -> None:
    line = _bytes(features={"a": math.nan})
    assert decode_lines(line + b"\n" + line) == [(1, line), (2, line)]


def test_encode_and_decode_are_inverse() -> None:
    event = decode(_bytes())
    assert decode(encode(event)) == event


def _predictions(*features: dict[str, Any] | None, prediction: Any = None) -> list[Event]:
    return [Event("prediction", "m", 0, "1", features=f, prediction=prediction) for f in features]


def _one(values: list[Any], kind: str) -> Any:
    found, _ = columns(_predictions(*({"f": v} for v in values)), [("f", kind)])
    return found["f"]


def test_numbers_become_an_array_without_states() -> None:
    column = _one([1, 2.5, -0.0], "numeric")
    assert column.values.tolist() == [1.0, 2.5, 0.0]
    assert column.state is None


def test_null_and_absent_are_told_apart() -> None:
    found, unknown = columns(_predictions({"f": 1.0}, {"f": None}, {}, None), [("f", "numeric")])
    assert found["f"].state.tolist() == [State.VALUE, State.NULL, State.ABSENT, State.ABSENT]
    assert unknown == 0


def test_booleans_and_numeric_strings_in_a_numeric_feature_are_type_errors() -> None:
    column = _one([1.0, True, "2", [1], None], "numeric")
    assert column.state.tolist() == [0, 3, 3, 3, 2]


def test_an_integer_beyond_float_is_a_very_large_number() -> None:
    column = _one([10**400, -(10**400), 1], "numeric")
    assert column.values[0] > 1e300
    assert column.values[1] < -1e300
    assert column.state.tolist() == [0, 0, 0]


def test_categories_are_written_in_one_way() -> None:
    column = _one(["UA", 3, 3.0, True, None, math.nan, 2.5, {"a": 1}], "categorical")
    assert column.values[:4] == ["UA", "3", "3", "true"]
    assert column.state.tolist() == [0, 0, 0, 0, State.NULL, State.NULL, 3, 3]


def test_a_long_category_is_cut() -> None:
    assert len(_one(["x" * 500], "categorical").values[0]) == 200


def test_presence_sees_lists_and_objects() -> None:
    assert _one([[1], {"a": 1}, None], "presence").state.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("prediction", "value", "score"),
    [
        ({"class": "late", "score": 0.7}, "late", 0.7),
        ({"value": "late"}, "late", None),
        ("late", "late", None),
    ],
)
def test_a_prediction_is_profiled_in_all_its_forms(
    prediction: Any, value: str, score: float | None
) -> None:
    found, unknown = columns(
        _predictions({"prediction": "a feature of that name"}, prediction=prediction),
        [("prediction", "categorical"), ("prediction.score", "numeric")],
    )
    assert list(found["prediction"].values) == [value]
    if score is None:
        assert found["prediction.score"].state.tolist() == [State.ABSENT]
    else:
        assert found["prediction.score"].values.tolist() == [score]
    assert unknown == 1


def test_class_scores_are_found_by_name() -> None:
    found, _ = columns(
        _predictions({}, prediction={"class": "a", "scores": {"a": 0.9}}),
        [("prediction.scores.a", "numeric"), ("prediction.scores.b", "numeric")],
    )
    assert found["prediction.scores.a"].values.tolist() == [0.9]
    assert found["prediction.scores.b"].state.tolist() == [State.ABSENT]


def test_unknown_features_are_counted() -> None:
    _, unknown = columns(_predictions({"f": 1, "g": 2}, {"g": None, "h": 1}), [("f", "numeric")])
    assert unknown == 3


def test_all_nulls_are_a_column_without_values() -> None:
    column = _one([None, None], "numeric")
    assert np.isnan(column.values).all()
    assert column.state.tolist() == [2, 2]


def test_a_record_of_too_many_lines_is_one_fault_and_none_of_them_is_looked_at() -> None:
    """Wrong were: half a million faults of a record of a megabyte, and five seconds for each."""
    lines = b"{}\n" * MAX_LINES
    assert len(decode_lines(lines) or ()) == MAX_LINES
    with pytest.raises(DataError) as fault:
        decode_lines(lines + b"\n")
    assert fault.value.reason == "oversized"
    assert "50001 line breaks" in fault.value.detail


def test_features_that_no_event_has_cost_nothing_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong were: to look for each of 5,000 in each of a thousand empty events."""
    made = []
    as_column = wire.as_column

    def counted(values: Any, kind: str) -> Any:
        made.append(kind)
        return as_column(values, kind)

    monkeypatch.setattr(wire, "as_column", counted)
    wanted = [(f"x{i}", "numeric") for i in range(50)] + [
        (f"w{i}", "categorical") for i in range(9)
    ]
    events = [decode(_bytes(features={})), decode(_bytes(features={"x7": 1.5, "other": 1}))]
    found, unknown = columns(events, wanted)
    assert sorted(made) == ["categorical", "numeric", "numeric"]
    assert unknown == 1
    for name, kind in wanted:
        alone, _ = as_column([(e.features or {}).get(name, UNSET) for e in events], kind)
        state = found[name].state
        assert state is not None
        assert state.tolist() == np.asarray(alone.state).tolist(), name
    assert found["x7"].values is not None
    assert float(found["x7"].values[1]) == 1.5
