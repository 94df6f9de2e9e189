"""However records are cut into batches and partitions interleave, the counts are the same."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
from arrow_records import entry, predictions
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, small_reference
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers import count as counting
from consumers.admit import Rules, admit
from consumers.ledger import Ledger
from consumers.watermark import AGREEING, Progress, advance
from driftline.stats.reference import Reference, build_reference
from monitor.storage.checkpoint import Claim
from monitor.storage.delta import Delta
from monitor.storage.registry import BoundVersion, Registry

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
)
features = st.fixed_dictionaries(
    {}, optional={"x": values, "kind": values, "site": values, "other": values}
)
times = st.one_of(
    st.integers(0, 300).map(lambda i: START_MS + i * HOUR_MS // 4),
    st.sampled_from([0, KAFKA_MS + 300_001, "2013-02-04T10:00:00", "2013-02-04T10:00:00Z"]),
)
events = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["prediction", "prediction", "prediction", "label", "nonsense"]),
        "model": st.sampled_from(["m", "m", "m", "stranger", ""]),
        "version": st.sampled_from(["1", "1", "2", 1]),
        "time": times,
        "id": st.just("a"),
        "features": features,
        "prediction": st.one_of(values, st.fixed_dictionaries({"class": values, "score": values})),
        "label": st.just(1),
    }
)
records = st.lists(
    st.one_of(events.map(json.dumps).map(str.encode), st.binary(max_size=6)),
    min_size=1,
    max_size=40,
)


@cache
def _reference() -> Reference:
    return small_reference()


@cache
def _registry() -> Registry:
    reference = _reference()
    bound = BoundVersion(1, "m", "1", "UTC", HOUR_MS, ((0, reference.digest),))
    return Registry(1, frozenset({"m"}), {("m", "1"): bound}, {reference.digest: reference})


def _ledger(partition: int = 0) -> Ledger:
    return Ledger(Claim(1, partition, 1, 0, 1, None, None, 0), _registry(), Rules())


def _facts(delta: Delta) -> Any:
    panes = {
        key: (p.counts.tolist(), None if p.sums is None else p.sums.tolist(), p.to_bytes())
        for key, p in delta.panes.items()
    }
    deficits = {key: vars_of(deficit) for key, deficit in delta.deficits.items()}
    return panes, delta.counters, delta.letters, deficits


def vars_of(row: Any) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in type(row).__slots__)


@settings(max_examples=150, deadline=None)
@given(values=records, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_the_split_into_batches_changes_nothing(values: list[bytes], cuts: list[int]) -> None:
    log = [Entry(i, KAFKA_MS, value) for i, value in enumerate(values)]
    whole, parts = _ledger(), _ledger()
    whole.take(log, len(log))
    edges = sorted({0, len(log), *(min(c, len(log)) for c in cuts)})
    for first, last in pairwise(edges):
        parts.take(log[first:last], last)
    assert _facts(parts.delta) == _facts(whole.delta)
    assert parts.move(None) == whole.move(None)


@settings(max_examples=150, deadline=None)
@given(
    events=st.lists(events, min_size=1, max_size=30),
    is_arrow=st.booleans(),
    step_ms=st.sampled_from([1, HOUR_MS // 4]),
    segments=st.sampled_from([(), ("kind",)]),
)
def test_rows_of_one_pane_may_be_counted_feature_by_feature(
    events: list[dict[str, Any]], is_arrow: bool, step_ms: int, segments: tuple[str, ...]
) -> None:
    """As very many of them are; what is counted, and shown of unseen values, is the same."""
    reference = build_reference(
        pd.DataFrame({"x": [0.5, 1.5, 2.5] * 9, "kind": ["a", "b", "c"] * 9, "none": [None] * 27}),
        features=["x", "kind", "none"],
        segments=segments,
    )
    bound = BoundVersion(1, "m", "1", "UTC", HOUR_MS, ((0, reference.digest),))
    known = Registry(1, frozenset({"m"}), {("m", "1"): bound}, {reference.digest: reference})
    log = [
        Entry(i, KAFKA_MS, json.dumps(event | {"time": START_MS + i * step_ms}).encode())
        for i, event in enumerate(events)
    ]
    if is_arrow:
        numbers = [e["features"].get("x") for e in events]
        column = [float(v) if type(v) in (int, float) and abs(v) < 1e300 else None for v in numbers]
        words = [str(e["features"].get("kind")) for e in events]
        features = pa.StructArray.from_arrays([pa.array(column), pa.array(words)], ["x", "kind"])
        times = pa.array([START_MS + i * step_ms for i in range(len(events))])
        log = [entry(predictions(len(events), features=features, time=times))]
    admitted = admit(log, Rules())
    found = []
    for by_feature in (1, 1_000_000):
        with patch.object(counting, "BY_FEATURE", by_feature):
            delta = counting.count(admitted, known)
        unseen = {key: vars_of(seen) for key, seen in delta.unseen.items()}
        found.append((_facts(delta), unseen, delta.gridsets.keys()))
    assert found[0] == found[1]


@settings(max_examples=60, deadline=None)
@given(values=records, order=st.randoms(use_true_random=False), data=st.data())
def test_partitions_and_their_interleaving_change_no_sum(
    values: list[bytes], order: Any, data: st.DataObject
) -> None:
    placed = data.draw(
        st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values)), label="partitions"
    )
    logs: list[list[Entry]] = [[], [], []]
    for value, partition in zip(values, placed, strict=True):
        logs[partition].append(Entry(len(logs[partition]), KAFKA_MS, value))
    ledgers = [_ledger(p) for p in range(3)]
    waiting = [p for p, log in enumerate(logs) for _ in log]
    order.shuffle(waiting)
    for partition in waiting:
        ledger = ledgers[partition]
        entry = logs[partition][ledger.position]
        ledger.take([entry], entry.offset + 1)
    total, alone = Delta(), _ledger()
    for ledger in ledgers:
        total.add(ledger.delta)
    alone.take([Entry(i, KAFKA_MS, value) for i, value in enumerate(values)], len(values))
    assert _facts(total)[0] == _facts(alone.delta)[0]
    late = {key for key in total.counters | alone.delta.counters if key.outcome == "late"}
    # What is late is said against the partition's own newest event.
    assert {k: n for k, n in total.counters.items() if k not in late} == {
        k: n for k, n in alone.delta.counters.items() if k not in late
    }


@settings(max_examples=200, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(-30, 80), st.integers(1, AGREEING + 10)), min_size=1, max_size=8
    ),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_the_watermark_depends_on_the_order_and_not_on_batches(
    steps: list[tuple[int, int]], cuts: list[int]
) -> None:
    hours = [hour for hour, times in steps for _ in range(times)]
    log = np.array([START_MS + hour * HOUR_MS + i for i, hour in enumerate(hours)], dtype=np.int64)
    whole, late = advance(Progress(), log)
    parts, lates = Progress(), []
    edges = sorted({0, len(log), *(min(c, len(log)) for c in cuts)})
    for first, last in pairwise(edges):
        parts, some = advance(Progress.restore(parts.max_ms, parts.pending()), log[first:last])
        lates.append(some)
    assert parts == whole
    assert np.array_equal(np.concatenate(lates), late)
