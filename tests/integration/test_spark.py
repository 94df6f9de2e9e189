"""What Spark counts of a table equals what the stream counts of its predictions, to the bit."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry
from serving import served
from sqlalchemy.engine import Engine

import driftline
from consumers.admit import Rules, admit
from consumers.count import count
from driftline import Client, counting_tables, spark
from driftline.errors import ApiConflict, InvalidFrame
from driftline.stats.grid import CategoricalGrid
from driftline.stats.profile import COUNTERS, Profile
from driftline.stats.reference import Reference, build_reference
from monitor.clock import HeldClock
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.delta import Delta
from monitor.storage.engine import transaction
from monitor.storage.registry import BoundVersion, Registry

# Nothing here is pandas' to Spark.
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")

ROWS = 3_000


def _frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "y.z": rng.integers(-5, 50, rows),
            "kind": rng.choice(list("abc"), rows),
            "hour": rng.integers(0, 24, rows),
            "site": rng.choice(["north", "south"], rows),
            "class": rng.choice(["yes", "no"], rows),
            "p_yes": rng.random(rows),
            "p_no": rng.random(rows),
            "at": pd.date_range("2013-01-01", periods=rows, freq="15min", tz="UTC"),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(
        _frame(ROWS, 1), prediction="class", score="p_yes", scores={"yes": "p_yes", "no": "p_no"},
        timestamp="at", categorical=["hour"], segments=["site", "hour"],
    )  # fmt: skip


@pytest.fixture(scope="module")
def session() -> Iterator[Any]:
    """Spark in this process and on loopback alone; without Java the test is skipped."""
    if shutil.which("java") is None or not _has_spark():
        said = "Spark's tests need Java and driftline[spark]"
        pytest.fail(said) if os.environ.get("CI") else pytest.skip(said)
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    options = {
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "1g",
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "3",
        "spark.sql.session.timeZone": "America/New_York",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "700",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]").appName("driftline-tests")
    for name, value in options.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    yield made
    made.stop()


def _has_spark() -> bool:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(scope="module")
def table() -> pa.Table:
    """Predictions of five days in no order: with nulls, unseen words, other sites, odd types."""
    rng = np.random.default_rng(2)
    rows = 4_000

    def some(values: Any, share: float = 0.05) -> list[Any]:
        gone = rng.random(rows) < share
        return [None if is_gone else value for value, is_gone in zip(values, gone, strict=True)]

    at = START_MS + rng.integers(0, 5 * 24 * 60, rows) * 60_000
    return pa.table(
        {
            "x": pa.array(some((3 * rng.normal(size=rows)).tolist()), pa.float64()),
            "y.z": pa.array(some(rng.integers(-9, 70, rows).tolist()), pa.int64()),
            "kind": pa.array(some(rng.choice(list("abcde"), rows).tolist()), pa.string()),
            "hour": pa.array(some(rng.integers(0, 30, rows).tolist()), pa.int32()),
            "site": pa.array(some(rng.choice(["north", "south", "west"], rows).tolist())),
            "class": pa.array(some(rng.choice(["yes", "no", "maybe"], rows).tolist())),
            "p_yes": pa.array(some(rng.random(rows).tolist()), pa.float64()),
            "p_no": pa.array(rng.random(rows), pa.float32()),
            "at": pa.array(at * 1_000, pa.timestamp("us", "UTC")),
            "note": pa.array([[1, 2]] * rows, pa.list_(pa.int64())),
        }
    )


def _streamed(table: pa.Table, reference: Reference) -> Delta:
    """What a consumer counts of the same rows, each an event of JSON."""
    lines = []
    for row in table.drop_columns(["at", "note"]).to_pylist():
        scores = {"yes": row["p_yes"], "no": row["p_no"]}
        said = {"class": row.pop("class"), "score": row["p_yes"], "scores": scores}
        del row["p_yes"], row["p_no"]
        event = {"type": "prediction", "model": "m", "version": "1", "features": row}
        lines.append(event | {"prediction": said})
    times = table["at"].cast(pa.int64()).to_pylist()
    log = [
        Entry(i, KAFKA_MS, json.dumps(line | {"time": time // 1_000}).encode())
        for i, (line, time) in enumerate(zip(lines, times, strict=True))
    ]
    bound = BoundVersion(1, "m", "1", "UTC", HOUR_MS, ((0, reference.digest),))
    known = Registry(1, frozenset({"m"}), {("m", "1"): bound}, {reference.digest: reference})
    return count(admit(log, Rules()), known)


NAMED = {
    "prediction": "class", "score": "p_yes", "scores": {"yes": "p_yes", "no": "p_no"},
}  # fmt: skip


def _facts(profile: Profile) -> tuple[bytes, list[int], Any]:
    sums = None if profile.sums is None else profile.sums.tolist()
    return profile.to_bytes(), profile.counts.tolist(), sums


def test_a_table_counts_as_its_events_do(
    session: Any, table: pa.Table, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    streamed = {
        (key.start_ms, key.segment): _facts(profile)
        for key, profile in _streamed(table, reference).counted().items()
    }
    assert len(streamed) > 300
    df = session.createDataFrame(table).repartition(5)
    found = spark.profile(df, reference, timestamp="at", **NAMED)
    assert {key: _facts(profile) for key, profile in found.panes.items()} == streamed
    assert found.rows == table.num_rows
    assert not found.refused
    # As one pane, and by times that are integers.
    total = spark.profile(df, reference, **NAMED).panes[None, "all"]
    assert _facts(total) == _facts(found.total())  # type: ignore[arg-type]
    whole = df.withColumn("at", df["at"].cast("double").cast("bigint") * 1_000)
    by_integers = spark.profile(whole, reference, timestamp="at", **NAMED)
    assert by_integers.panes.keys() == found.panes.keys()


def test_it_is_told_how_many_tasks_are_done(
    session: Any, table: pa.Table, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark, "LOOK_S", 0.05)
    told: list[str] = []
    df = session.createDataFrame(table).repartition(5)
    group = session.sparkContext.getLocalProperty("spark.jobGroup.id")
    spark.profile(df, reference, timestamp="at", **NAMED, progress=told.append)
    done = [int(said.split()[1]) for said in told]
    assert done == sorted(done)
    last = told[-1].split()
    assert last[1] == last[3] and int(last[1]) >= 5
    assert session.sparkContext.getLocalProperty("spark.jobGroup.id") == group


def test_a_task_that_holds_too_much_gives_it_on(
    session: Any, table: pa.Table, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in this process: what a task yields adds up to the same, in however many pieces."""
    document = reference.to_document()
    plan = counting_tables.Plan(
        document, tuple(table.column_names), ("x", "site"), "at", (), (), HOUR_MS
    )

    def counted() -> tuple[int, dict[tuple[int, str], int]]:
        yielded = list(spark._counter(plan)(iter(table.to_batches(max_chunksize=500))))
        rows: dict[tuple[int, str], int] = {}
        for batch in yielded:
            for row in batch.to_pylist():
                key = row["start_ms"], row["segment"]
                rows[key] = rows.get(key, 0) + row["n_rows"]
        return len(yielded), rows

    n_whole, whole = counted()
    for module in (spark, counting_tables):
        monkeypatch.setattr(module, "HELD_BYTES", 3 * 16 * reference.gridset.size)
    n_pieces, pieces = counted()
    assert (n_whole, pieces) == (1, whole)
    assert n_pieces > 5


def test_a_file_counts_as_its_events_do(
    table: pa.Table, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Spark, in however many pieces."""
    streamed = {
        (key.start_ms, key.segment): _facts(profile)
        for key, profile in _streamed(table, reference).counted().items()
    }
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(counting_tables, "_ROWS", 900)
    for held_bytes in (counting_tables.HELD_BYTES, 3 * 16 * reference.gridset.size):
        monkeypatch.setattr(counting_tables, "HELD_BYTES", held_bytes)
        found = counting_tables.profile_table(
            table, reference, timestamp="at", **NAMED, progress=lambda *at: told.append(at)
        )
        assert {key: _facts(profile) for key, profile in found.panes.items()} == streamed
        assert (found.rows, found.pane_ms, found.refused) == (4_000, HOUR_MS, {})
    assert told[:5] == [(900, 4000), (1800, 4000), (2700, 4000), (3600, 4000), (4000, 4000)]
    timeless = counting_tables.profile_table(table, reference, **NAMED)
    total = found.total()
    assert total is not None
    assert _facts(timeless.panes[None, "all"]) == _facts(total)


def test_times_of_a_file_are_read_on_the_clock_that_is_named(reference: Reference) -> None:
    ms = 1_735_689_600_000  # 2025-01-01T00:00:00Z
    naive = pa.array([ms, None], pa.timestamp("ms"))
    aware = pa.array([ms * 1_000, None], pa.timestamp("us", "UTC"))
    forms = {
        "UTC": (naive, pa.array([ms, None]), aware, naive.cast(pa.date32())),
        "America/New_York": (pa.array([ms - 5 * HOUR_MS, None], pa.timestamp("ms")),),
    }
    for timezone, columns in forms.items():
        for at in columns:
            found = counting_tables.profile_table(
                pa.table({"x": [1.0, 2.0], "at": at}), reference, timestamp="at", timezone=timezone
            )
            assert [start for start, segment in found.panes if segment == "all"] == [ms]
            assert found.refused == {"time_missing": 1}
    with pytest.raises(InvalidFrame, match="RFC 3339"):
        counting_tables.profile_table(
            pa.table({"x": [1.0], "at": ["yesterday"]}), reference, timestamp="at"
        )
    with pytest.raises(InvalidFrame, match="no column 'when'"):
        counting_tables.profile_table(pa.table({"x": [1.0]}), reference, timestamp="when")


def test_rows_without_a_time_that_can_be_are_refused_and_counted(
    session: Any, reference: Reference
) -> None:
    df = session.createDataFrame(
        [(1.0, START_MS), (2.0, None), (3.0, 10**15), (4.0, -1)], "x double, at long"
    )
    found = spark.profile(df, reference, timestamp="at")
    assert found.refused == {"time_missing": 1, "time_out_of_range": 2}
    assert found.rows == 1
    empty = spark.profile(df.limit(0), reference, timestamp="at")
    assert (empty.panes, empty.rows, empty.total()) == ({}, 0, None)


@pytest.mark.parametrize(
    ("columns", "asked", "words"),
    [
        ("x double, at timestamp_ntz", {"timestamp": "at"}, "no instant"),
        ("x double, at string", {"timestamp": "at"}, "'at' is string"),
        ("x double", {"timestamp": "at"}, "there is no column 'at'"),
        ("x double", {"prediction": "said"}, "there is no column 'said'"),
        ("z double", {}, "no column is a feature of the reference"),
        ("x double, x double", {}, "two columns are named 'x'"),
        ("x double", {"pane_ms": 0}, "pane_ms"),
    ],
)
def test_what_cannot_be_counted_is_said(
    session: Any, reference: Reference, columns: str, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidFrame, match=words):
        spark.profile(session.createDataFrame([], columns), reference, **asked)


def test_the_docs_count_what_they_say(
    session: Any, table: pa.Table, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fake:
        """A server has the reference: tests/unit/api/test_reference_document.py asks a real one."""

        def __init__(self, url: str) -> None: ...

        def reference_document(self, digest: str) -> Reference:
            return reference

    monkeypatch.setattr(driftline, "Client", Fake)
    docs = (Path(__file__).parents[2] / "docs" / "spark.md").read_text()
    counting, *_ = re.findall(r"```python\n(.*?)```", docs, re.DOTALL)
    session.createDataFrame(table).createOrReplaceTempView("predictions")
    done: dict[str, Any] = {"session": session}
    exec(compile(counting, "docs/spark.md", "exec"), done)
    assert done["found"].rows == table.num_rows
    assert done["found"].total("site=north").rows > 1_000


def test_a_sample_becomes_a_reference(session: Any) -> None:
    df = session.createDataFrame(pa.Table.from_pandas(_frame(ROWS, 1)))
    whole = spark.sample(df)
    named: dict[str, Any] = {"prediction": "class", "timestamp": "at"}
    assert (
        build_reference(whole, **named).digest == build_reference(_frame(ROWS, 1), **named).digest
    )
    few = spark.sample(df, 500, seed=3)
    assert 400 < few.num_rows <= 500
    assert build_reference(few, **named).rows == few.num_rows
    with pytest.raises(InvalidFrame, match="rows"):
        spark.sample(df, 0)


def test_a_reference_counts_every_row_of_a_table(session: Any) -> None:
    frame = _frame(ROWS, 1)
    df = session.createDataFrame(pa.Table.from_pandas(frame, preserve_index=False))
    named: dict[str, Any] = {
        "prediction": "class", "score": "p_yes", "timestamp": "at", "segments": ["site"],
        "exclude_slices": ["2013-01-09"], "timezone": "America/New_York",
    }  # fmt: skip
    # All of it fits: it is read as it is.
    assert spark.reference(df, **named).digest == build_reference(frame, **named).digest
    told: list[str] = []
    found = spark.reference(df, rows=1_500, progress=told.append, **named)
    whole = build_reference(frame, **named)
    assert found.rows == whole.rows == ROWS - 96
    assert (found.first_ms, found.last_ms) == (whole.first_ms, whole.last_ms)
    assert found.excluded == whole.excluded
    assert found.dimensions == whole.dimensions
    assert found.gridset.digest != whole.gridset.digest
    for segment in ("all", "site=north"):
        mine, theirs = found.slices[segment]["day"], whole.slices[segment]["day"]
        assert mine.starts_ms.tolist() == theirs.starts_ms.tolist()
        assert mine.rows.tolist() == theirs.rows.tolist()
    # Its profile is what counting the rows on its bins gives.
    kept = frame[frame["at"].dt.tz_convert("America/New_York").dt.date.astype(str) != "2013-01-09"]
    again = spark.profile(
        session.createDataFrame(pa.Table.from_pandas(kept, preserve_index=False)), found,
        timestamp="at", prediction="class", score="p_yes",
    )  # fmt: skip
    assert found.profiles["all"] == again.total()
    assert any("random rows of 3,000" in note for note in found.warnings)
    assert [said for said in told if not said.startswith("counting: ")] == told[:2]
    assert Reference.from_document(found.to_document()).digest == found.digest


@pytest.mark.parametrize(
    ("column", "values", "counted"),
    [
        # What is counted of a numeric feature's column: values, nulls, type errors.
        ("decimal(10,3)", "1.500, 2.25, null", (2, 1, 0)),
        ("float", "cast('nan' as float), 1.0, null", (1, 1, 0)),
        ("boolean", "true, false, null", (0, 1, 2)),
        ("string", "'1.5', 'x', null", (0, 1, 2)),
        ("void", "null, null, null", (0, 3, 0)),
        ("date", "date'2013-01-01', date'2014-01-01', null", (0, 1, 2)),
        ("timestamp", "timestamp'2013-01-01', timestamp'2014-01-01', null", (0, 1, 2)),
        ("binary", "X'00', X'01', null", (0, 1, 2)),
        ("array<int>", "array(1), array(), null", (0, 1, 2)),
        ("map<string,int>", "map('a', 1), map(), null", (0, 1, 2)),
        ("struct<a:int>", "named_struct('a', 1), named_struct('a', 2), null", (0, 1, 2)),
        ("interval day", "interval '1' day, interval '2' day, null", (0, 1, 2)),
    ],
)
def test_columns_of_odd_types_are_counted_or_refused_by_name(
    session: Any, reference: Reference, column: str, values: str, counted: tuple[int, int, int]
) -> None:
    cast = "x" if column in ("void", "map<string,int>", "array<int>") else f"cast(x as {column})"
    df = session.sql(f"select {cast} as x, 'a' as kind from (select explode(array({values})) as x)")
    total = spark.profile(df, reference).total()
    assert total is not None
    grids = reference.gridset
    f = grids.names().index("x")
    states = dict(zip(COUNTERS, total.counts[grids.counters[f]].tolist(), strict=True))
    values_in_bins = int(total.counts[grids.bins[f]].sum())
    assert (values_in_bins, states["null"], states["type_error"]) == counted
    assert total.rows == 3


def test_categories_are_counted_whatever_their_type(session: Any, reference: Reference) -> None:
    """`hour` is a category of integers."""
    kinds = {
        "7": "in", "cast(7 as double)": "in", "cast(7 as decimal(5,2))": "in", "'7'": "in",
        "7.5": "odd", "true": "unseen", "'later'": "unseen", "date'2013-01-01'": "odd",
        "X'37'": "odd", "array(7)": "odd", "named_struct('a', 7)": "odd",
    }  # fmt: skip
    grids = reference.gridset
    f = grids.names().index("hour")
    grid = grids.features[f].grid
    assert isinstance(grid, CategoricalGrid)
    for value, must in kinds.items():
        total = spark.profile(session.sql(f"select {value} as hour"), reference).total()
        assert total is not None
        counts = dict(zip(COUNTERS, total.counts[grids.counters[f]].tolist(), strict=True))
        unseen = int(total.counts[grids.unseen[f]])
        in_bins = int(total.counts[grids.bins[f]].sum()) - unseen
        found = {"in": in_bins, "unseen": unseen, "odd": counts["type_error"]}
        assert found == {"in": 0, "unseen": 0, "odd": 0} | {must: 1}, value


def test_columns_that_differ_by_case_alone_are_refused_with_what_mends_it(
    session: Any, reference: Reference
) -> None:
    df = session.createDataFrame([(1.0, 2.0)], "x double, X double")
    for ask in (
        lambda: spark.profile(df, reference),
        lambda: spark.sample(df),
        lambda: spark.reference(df),
    ):
        with pytest.raises(InvalidFrame, match="'x' and 'X' differ by case alone"):
            ask()
    session.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert spark.profile(df, reference).rows == 1
    finally:
        session.conf.set("spark.sql.caseSensitive", "false")


def test_what_spark_counted_is_uploaded_and_judged_and_refused_where_it_was_streamed(
    session: Any, table: pa.Table, reference: Reference, engine: Engine
) -> None:
    with transaction(engine) as conn:
        registry.register_reference(conn, reference, model="churn", version="3", now_ms=1)
    found = spark.profile(session.createDataFrame(table), reference, timestamp="at", **NAMED)
    with served(engine, HeldClock(KAFKA_MS)) as url, Client(url) as client:
        done = client.upload_history("churn", "3", found)
        assert (done.rows, done.panes) == (table.num_rows, len(found.panes))
        with engine.connect() as conn:
            bodies = {
                (row.start_ms, row.segment): row.body for row in conn.execute(sa.select(t.pane))
            }
        streamed = _streamed(table, reference).counted()
        assert bodies == {
            (key.start_ms, key.segment): profile.to_bytes() for key, profile in streamed.items()
        }
        judged = Evaluator(engine, EvaluateSettings(""), now_ms=lambda: KAFKA_MS).step()
        assert judged > 100
        with pytest.raises(ApiConflict, match="has counted that time"):
            client.upload_history("churn", "3", found, upload="again")
