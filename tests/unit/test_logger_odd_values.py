"""A value that JSON cannot hold costs that value, not the event it is in."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from driftline import EventLogger
from driftline.lines import Lines, Refused
from driftline.plain import HUGE, is_plain
from driftline.sending import Sending
from driftline.wire import decode


def test_half_a_character_in_a_prediction_or_label_is_a_dropped_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Sending, "run", lambda _: None)
    logger = EventLogger("127.0.0.1:1", model="m", version="1", exit_timeout_s=0)
    part, found = {"class": "\ud800", "score": 0.5}, {"class": None, "score": 0.5}
    assert logger.log({"x": 1}, part)
    assert logger.log_label("i", part)
    taken = logger._buffer.take()
    assert taken is not None
    assert isinstance(taken[1], list)
    prediction, label = map(msgspec.json.decode, taken[1])
    assert prediction["features"] == {"x": 1}
    assert prediction["prediction"] == label["label"] == found
    counts = logger.counts()
    assert counts.values_dropped == 2
    assert not counts.dropped
    logger.close(0)


def test_a_number_too_long_to_print_is_a_very_large_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sending, "run", lambda _: None)
    logger = EventLogger("127.0.0.1:1", model="m", version="1", exit_timeout_s=0)
    long = 10**5_000
    assert logger.log({"x": long, "y": -long, "z": 10**20}, long, id="a")
    assert logger.log({"x": 1}, {"value": long}, id=long)
    taken = logger._buffer.take()
    assert taken is not None
    assert isinstance(taken[1], list)
    first, second = map(decode, taken[1])
    assert first.features == {"x": HUGE, "y": -HUGE, "z": 10**20}
    assert (first.prediction, first.id) == (HUGE, "a")
    assert (second.prediction, second.id) == ({"value": HUGE}, HUGE)
    assert not logger.counts().dropped
    logger.close(0)


class _Word(str):
    __slots__ = ()


ODD = [10**400, -(10**400), math.inf, -math.inf, math.nan, "\ud800", _Word("x"), b"x", 1j, [], {}]
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(ODD)


@given(found=st.lists(values, max_size=6))
def test_values_are_taken_as_they_are_where_json_holds_each_of_them(found: list[Any]) -> None:
    def is_held(value: Any) -> bool:
        kinds = (str, int, bool, float, type(None))
        return type(value) in kinds and value not in (math.inf, -math.inf)

    assert is_plain(dict(enumerate(found))) is all(map(is_held, found))


names = st.text(max_size=3) | st.sampled_from([1, None, True, "\ud800"])
plain_ones = st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3)
some = st.dictionaries(names, plain_ones | values, max_size=4) | st.dictionaries(
    st.sampled_from("abc"), plain_ones, max_size=4
)
times = st.none() | st.just(1_700_000_000_000) | st.sampled_from([0, 2**70, True, "2024-01-01"])


@settings(max_examples=300)
@given(
    features=some | st.sampled_from([None, [1.5], MappingProxyType({"x": 1})]),
    prediction=st.none() | plain_ones | values | some,
    id=plain_ones | values,
    time=times,
    tags=st.none() | some,
)
def test_the_usual_event_is_the_one_that_a_look_at_every_value_makes(
    features: Any, prediction: Any, id: Any, time: Any, tags: Any
) -> None:
    def said(lines: Lines) -> Any:
        try:
            return lines.prediction(features, prediction, id, time, tags)
        except Refused as refused:
            return refused.reason, refused.words
        except Exception as error:
            return repr(error)

    with mock.patch("driftline.lines.clock.time_ns", return_value=1_700_000_000_000_999_999):
        lines = Lines("m", "1", "UTC", lambda: None)
        usual = lines.usual(features, prediction, id, time, tags)
        event("usual" if usual is not None else "another")
        assert usual is None or said(lines) == (usual, [])
