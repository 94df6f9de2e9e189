"""However records are cut into batches and partitions interleave, the counts are the same."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, small_reference
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.admit import Rules
from consumers.ledger import Ledger
from consumers.watermark import AGREEING, Progress, advance
from driftline.stats.reference import Reference
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
