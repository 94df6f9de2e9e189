"""Half a character somewhere in an event costs that value, not the event."""

from __future__ import annotations

import msgspec
import pytest

from driftline import EventLogger
from driftline.sending import Sending


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
