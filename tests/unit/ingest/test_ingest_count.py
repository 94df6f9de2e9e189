"""What events are counted under, what is shown of them, and that none is taken twice."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, prediction, small_reference

from consumers.admit import LETTERS_OF_RECORD, Rules, admit
from consumers.count import count
from consumers.ledger import Ledger
from driftline.errors import StreamError
from driftline.rows import columns
from driftline.stats.grid import numeric_grid
from driftline.stats.gridset import FeatureGrid, Gridset
from driftline.stats.profile import COUNTERS, canonical_category
from monitor.storage.checkpoint import Claim
from monitor.storage.delta import CounterKey, Delta
from monitor.storage.registry import BoundVersion, Registry

REFERENCE = small_reference()
REGISTRY = Registry(
    1,
    frozenset({"m"}),
    {("m", "1"): BoundVersion(1, "m", "1", "UTC", HOUR_MS, ((0, REFERENCE.digest),))},
    {REFERENCE.digest: REFERENCE},
)


def _log(*values: bytes) -> list[Entry]:
    return [Entry(i, KAFKA_MS, value) for i, value in enumerate(values)]


def _counted(*values: bytes) -> Delta:
    return count(admit(_log(*values), Rules()), REGISTRY)


def _label(model: str, **changes: Any) -> bytes:
    label = {"type": "label", "model": model, "id": "a", "time": START_MS, "label": 1}
    return json.dumps(label | changes).encode()


def _kind(value: Any) -> bytes:
    return prediction(0, features={"x": 1.0, "kind": value, "site": "north"})


def test_every_bad_line_is_counted_and_the_first_of_them_are_kept() -> None:
    late = prediction(1, time=10**15)
    lines = [b"{}", late] * LETTERS_OF_RECORD + [b"{}"] * 300 + [prediction(2)]
    log = _log(b"\n".join(lines), b"no")
    admitted = admit(log, Rules())
    assert [(x.offset, x.line) for x in admitted.letters] == [
        *((0, n) for n in range(1, LETTERS_OF_RECORD + 1)),
        (1, 0),
    ]
    assert {x.reason for x in admitted.letters[1:100:2]} == {"time_out_of_range"}
    counters = count(admitted, REGISTRY).counters
    assert counters[CounterKey("", "", "dead:type_missing")] == LETTERS_OF_RECORD + 300
    assert counters[CounterKey("", "", "dead:time_out_of_range")] == LETTERS_OF_RECORD
    assert counters[CounterKey("", "", "dead:bad_json")] == 1
    assert counters[CounterKey("m", "1", "prediction")] == 1


def test_labels_are_counted_under_what_is_registered() -> None:
    delta = _counted(
        _label("m", version="1"),
        _label("m"),
        *(_label("m", version=f"v{i}") for i in range(5)),
        *(_label("nobody", version=f"v{i}") for i in range(5)),
    )
    assert dict(delta.counters) == {
        CounterKey("m", "1", "label"): 1,
        CounterKey("m", "", "label"): 6,
        CounterKey("nobody", "", "unmonitored"): 5,
    }
    assert delta.strangers == {("nobody", ""): 7}


def test_a_late_label_is_late_under_the_same_name() -> None:
    ledger = Ledger(Claim(1, 0, 1, 0, 1, None, None, 0), REGISTRY, Rules())
    ledger.take(_log(prediction(30), *(_label("m", version=f"v{i}") for i in range(5))), 6)
    assert ledger.delta.counters[CounterKey("m", "", "late")] == 5
    assert not any(key.version.startswith("v") for key in ledger.delta.counters)


def test_a_missing_value_is_not_shown_as_an_unseen_one() -> None:
    delta = _counted(_kind(""), *[_kind(None)] * 5, _kind("new"), _kind("new"), _kind("a"))
    shown = {(key.feature, key.value): seen.count for key, seen in delta.unseen.items()}
    assert shown == {("kind", ""): 1, ("kind", "new"): 2}


def test_an_unseen_value_is_stored_without_nul() -> None:
    delta = _counted(_kind("a\0b"), _kind("\0" * 500))
    kept = canonical_category("\0" * 500).replace("\0", "\u2400")
    assert len(kept) == 200
    assert sorted(key.value for key in delta.unseen) == sorted(["a\u2400b", kept])


def test_an_infinity_is_told_from_a_number_that_no_float_holds() -> None:
    grid = numeric_grid(np.arange(10.0))
    gridset = Gridset((FeatureGrid("f", "numeric", grid, np.zeros(grid.n_bins, np.int32)),))
    raw = ["1e400", "-1e400", "1.7976931348623159e308", "Infinity", "-Infinity"]
    raw += ["1" + "0" * 400, "-1" + "0" * 400, "9" * 5_000, "-" + "9" * 5_000]
    head = '{"type":"prediction","model":"m","version":"1","time":1360318500000,'
    admitted = admit(_log(*(f'{head}"features":{{"f":{x}}}}}'.encode() for x in raw)), Rules())
    found, _ = columns(admitted.parts, [("f", "numeric")])
    [profile] = gridset.count(found, len(raw))
    assert profile.counts[gridset.over[0]] == 4
    assert profile.counts[gridset.under[0]] == 3
    for name in ("pos_inf", "neg_inf"):
        assert profile.counts[gridset.counters[0, COUNTERS.index(name)]] == 1


def test_a_ledger_takes_no_record_twice() -> None:
    ledger = Ledger(Claim(1, 0, 1, 0, 1, None, None, 0), REGISTRY, Rules())
    log = _log(*(prediction(i) for i in range(6)))
    ledger.take(log[:3], 3)
    with pytest.raises(StreamError, match="records 2 to 5 came at position 3"):
        ledger.take(log[2:], 6)
    with pytest.raises(StreamError, match="reading goes on at 0"):
        ledger.take(log[3:], 0)
    ledger.take(log[4:], 6)  # compaction leaves holes
    assert (ledger.rows, ledger.position) == (5, 6)
