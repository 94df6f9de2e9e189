"""A checkpoint costs what it touches: few statements, whatever it and the database hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fake_source import HOUR_MS, START_MS, small_reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Connection, Engine

from driftline.stats.profile import Profile
from driftline.stats.reference import Reference
from monitor.storage import checkpoint, many, registry
from monitor.storage import schema as t
from monitor.storage.checkpoint import Claim, Move
from monitor.storage.delta import (
    CounterKey,
    Deficit,
    Delta,
    Letter,
    PaneKey,
    Seen,
    UnseenKey,
)
from monitor.storage.engine import transaction

pytestmark = pytest.mark.both_databases

KEYS = ("version_id", "gridset", "start_ms", "segment", "stream_id", "partition")
VALUES = ("rev", "rows", "body")


@pytest.fixture(scope="module")
def small() -> Reference:
    return small_reference()


def _key(i: int) -> tuple[Any, ...]:
    return i // 5, "g\0" if i % 2 else "é\"'%s", 2**40 + i, f"site=\0{i % 5}", 1, i % 3


def _rows(conn: Connection, table: sa.Table) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in conn.execute(sa.select(table)))


@contextmanager
def watched(engine: Engine) -> Iterator[tuple[Counter[str], Counter[str]]]:
    """Statements, and the rows that they wrote, by verb and table."""
    statements: Counter[str] = Counter()
    written: Counter[str] = Counter()

    def note(_conn: Any, cursor: Any, statement: str, *_: Any) -> None:
        words = statement.replace('"', "").split()
        verb = words[0]
        statements[verb] += 1
        if verb in ("INSERT", "UPDATE"):
            written[f"{verb} {words[2 if verb == 'INSERT' else 1]}"] += cursor.rowcount

    sa.event.listen(engine, "after_cursor_execute", note)
    yield statements, written
    sa.event.remove(engine, "after_cursor_execute", note)


# -- many rows -------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 4, 5, 23])
def test_rows_are_read_written_and_added_up_in_pieces_as_one_by_one(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    monkeypatch.setattr(many, "AT_ONCE", 4)
    with transaction(engine) as conn:
        stored = [(*_key(i), i, 2**62, bytes([0, 255, i])) for i in range(30)]
        many.insert(conn, t.pane, (*KEYS, *VALUES), stored)
        assert _rows(conn, t.pane) == sorted(stored)

        sought = [_key(i) for i in range(25, 25 + n)]
        found = sorted(many.select(conn, t.pane, KEYS, ("rev", "body"), sought))
        there = stored[25 : min(30, 25 + n)]
        assert found == sorted((*row[:7], row[8]) for row in there)

        many.update(conn, t.pane, VALUES, KEYS, [(7, -1, b"", *_key(i)) for i in range(n)])
        changed = [(*row[:6], 7, -1, b"") for row in stored[:n]] + stored[n:]
        assert _rows(conn, t.pane) == sorted(changed)

        names = (*t.counter.primary_key.columns.keys(), "count")
        for count in (1, 2**40):
            added = [(1, 0, "m\0", str(i), "late", count) for i in range(n)]
            many.add_up(conn, t.counter, names, added)
        assert _rows(conn, t.counter) == sorted((*row[:-1], 1 + 2**40) for row in added)


def test_what_is_null_stays_null(engine: Engine) -> None:
    names = tuple(t.dead_letter.c.keys())
    rows = [
        (1, 0, i, 0, "bad_json", "", 3, payload, "", ms, 5, form, None, None, None)
        for i, (payload, ms, form) in enumerate([(None, None, "json"), (b"", -(2**63), None)])
    ]
    for some in (rows, [(2, *row[1:]) for row in rows[:1]]):
        with transaction(engine) as conn:
            many.insert(conn, t.dead_letter, names, some)
    with transaction(engine) as conn:
        assert _rows(conn, t.dead_letter) == [*rows, (2, *rows[0][1:])]


def test_panes_that_are_sought_are_looked_up_one_by_one(engine: Engine) -> None:
    """No more of the table is read, however much of it there is."""
    with transaction(engine) as conn:
        stored = [(*_key(i), i, 1, b"x" * 500) for i in range(3_000)]
        many.insert(conn, t.pane, (*KEYS, *VALUES), stored)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.exec_driver_sql("ANALYZE")
        plans = []

        def explained(_conn: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> Any:
            plans.append((statement, given))

        sa.event.listen(conn, "before_cursor_execute", explained)
        assert len(list(many.select(conn, t.pane, KEYS, VALUES, [_key(i) for i in (1, 7)]))) == 2
        sa.event.remove(conn, "before_cursor_execute", explained)
        [(statement, given)] = plans
        how = "EXPLAIN QUERY PLAN" if engine.dialect.name == "sqlite" else "EXPLAIN"
        plan = [str(row) for row in conn.exec_driver_sql(f"{how} {statement}", given)]
    assert not [line for line in plan if "Seq Scan" in line or "SCAN pane" in line], plan
    assert not [line for line in plan if "Filter" in line], plan
    whole = ("pk_pane", "ix_pane_segment", "PRIMARY KEY (version_id=?")
    assert [line for line in plan if any(key in line for key in whole)], plan


# -- a checkpoint ----------------------------------------------------------------------------------


def _delta(reference: Reference, versions: range, n: int) -> Delta:
    """`n` panes, and as much of everything else, of some versions."""
    gridset = reference.gridset
    delta = Delta(gridsets={gridset.digest: gridset})
    for i in range(n):
        version = versions[i % len(versions)]
        name = (f"model {version}", f"{i}")
        profile = Profile.empty(gridset)
        profile.counts[0] = 1
        pane = PaneKey(version, gridset.digest, START_MS + i * HOUR_MS, f"site={i % 3}")
        delta.panes[pane] = profile
        delta.letters.append(Letter(i, 0, "bad_json", "", 1, b"{", "", None))
        delta.counters[CounterKey(*name, "prediction")] += 1
        delta.deficits[name] = Deficit(i, i + 1, 1, START_MS, START_MS)
        delta.strangers[name] = i
        delta.unseen[UnseenKey(version, gridset.digest, f"f{i}", "new")] = Seen(1, 0, 0)
    return delta


def _claimed(engine: Engine, partition: int) -> Claim:
    with transaction(engine) as conn:
        stream = checkpoint.open_stream(
            conn, cluster_id="c", topic="t", topic_id="i", start_policy="earliest", group_id="g",
            bounds={0: (0, 0), 1: (0, 0)}, now_ms=1,
        )  # fmt: skip
        return checkpoint.claim(
            conn, stream_id=stream.id, partition=partition, owner="me", group_id="g"
        )


def _commit(engine: Engine, held: Claim, delta: Delta) -> Claim:
    with transaction(engine) as conn:
        move = Move(held.next_offset + 100_000, registry.revision(conn), START_MS, None, None)
        return checkpoint.commit(conn, held, move, delta, 1)


def test_a_checkpoint_takes_as_many_statements_for_many_panes_as_for_few(
    engine: Engine, small: Reference
) -> None:
    versions = range(1, 40)
    # What is stored already, of this partition and of another one.
    other = _claimed(engine, 1)
    _commit(engine, other, _delta(small, versions, 200))
    held = _claimed(engine, 0)
    held = _commit(engine, held, _delta(small, versions, 200))

    made, changed = [], []
    for n in (2, 60, 500):
        delta = _delta(small, versions, n)
        is_old = [key for key in delta.panes if (key.start_ms - START_MS) // HOUR_MS < 200]
        # Letters are of offsets, and there is one of each.
        delta.letters = [
            Letter(held.next_offset + i, *(getattr(letter, name) for name in letter.__slots__[1:]))
            for i, letter in enumerate(delta.letters)
        ]
        with watched(engine) as (statements, written):
            held = _commit(engine, held, delta)
        (made if n > 200 else changed).append(sum(statements.values()))
        assert written["UPDATE pane"] == len(is_old)
        assert max(0, written["INSERT pane"]) == n - len(is_old)
    assert changed[0] == changed[1]
    # Panes, deficits and unseen values are made beside those that are changed.
    assert made[0] <= changed[0] + 3
    with transaction(engine) as conn:
        revs = Counter(
            dict(conn.execute(sa.select(t.pane.c.rev, sa.func.count()).group_by("rev")).all())
        )
        totals = sorted(
            int(Profile.from_bytes(small.gridset, body).counts[0])
            for (body,) in conn.execute(sa.select(t.pane.c.body).where(t.pane.c.partition == 0))
        )
    # Of 500: 2 were written four times, 58 three times, 140 twice, 300 once; 200 of the other.
    assert revs == {4: 2, 3: 58, 2: 140, 1: 300 + 200}
    assert totals == sorted(np.repeat([4, 3, 2, 1], [2, 58, 140, 300]).tolist())


# -- columns ---------------------------------------------------------------------------------------

words = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=9))
findings = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
        st.integers(-(2**63), 2**63 - 1),
        st.booleans(),
        words,
    ),
    max_size=9,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(findings)
def test_columns_are_inserted_as_rows_are(
    engine: Engine, rows: list[tuple[float | None, int, bool, str | None]]
) -> None:
    """Nulls, the ends of what a number can be, any character, pieces, and no row at all."""
    n = len(rows)
    number, whole, truth, text = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns: dict[str, many.Column] = {
        "version_id": np.full(n, 7, np.int64), "length": ["hour"] * n,
        "start_ms": np.arange(n), "segment": ["site=\0\"{,}'"] * n, "feature": ["x"] * n,
        "rows": np.array(whole, np.int64), "n": np.zeros(n, np.int64),
        "psi": np.array([np.nan if value is None else value for value in number]),
        "evidence": text, "verdict": ["ok"] * n, "marks": [""] * n, "exceeds": [""] * n,
        "is_alarming": np.array(truth, np.bool_),
    }  # fmt: skip
    f = t.finding.c
    with transaction(engine) as conn, pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "AT_ONCE", 4)
        conn.execute(sa.delete(t.finding))
        many.insert_columns(conn, t.finding, columns)
        query = sa.select(f.psi, f.rows, f.is_alarming, f.evidence, f.segment)
        found = conn.execute(query.order_by(f.start_ms)).all()
        conn.execute(sa.delete(t.finding))
    assert [tuple(row) for row in found] == [(*row, "site=\0\"{,}'") for row in rows]


def test_columns_of_many_rows_are_one_statement(engine: Engine) -> None:
    n = 300
    with watched(engine) as (statements, written), transaction(engine) as conn:
        many.insert_columns(
            conn, t.finding,
            {
                "version_id": np.full(n, 1, np.int64), "length": ["hour"] * n,
                "start_ms": np.arange(n), "segment": ["all"] * n, "feature": ["x"] * n,
                "rows": np.arange(n), "n": np.arange(n), "verdict": ["ok"] * n,
                "marks": [""] * n, "exceeds": [""] * n, "is_alarming": np.zeros(n, np.bool_),
                "chi_square_df": np.where(np.arange(n) % 2, 3.0, np.nan),
            },
        )  # fmt: skip
        found = [df for (df,) in conn.execute(sa.select(t.finding.c.chi_square_df))]
    assert sorted(found, key=str) == [3] * 150 + [None] * 150
    assert {type(value) for value in found} == {int, type(None)}
    assert (statements["INSERT"], written["INSERT finding"]) == (1, n)
