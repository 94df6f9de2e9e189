"""Spark DataFrames counted as the stream counts: history that no consumer has to read again.

Each task counts its rows into profiles by pane and segment, on the bins of a reference; profiles
add, so Spark adds them up like any sum. A table counted here gives the counts that the same
predictions give when they come through Kafka, to the last bit, in whatever partitions they lie.

    from driftline import Client, spark

    client = Client("http://127.0.0.1:8050")
    reference = client.reference_document("3f1c9a")
    found = spark.profile(
        session.table("predictions"), reference, timestamp="at", prediction="class", score="score"
    )
    found.panes[1357002000000, "site=north"].counts

What Spark reads (Parquet, Delta, Hudi, Iceberg, a query) is a DataFrame, so all of it is counted
alike. Executors need the package that the driver has: `driftline[spark]` there, too.
"""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from threading import Event, Thread
from typing import Any, Final

from driftline.arrow import pyarrow
from driftline.counting_tables import HELD_BYTES, TIMELESS, Plan, Totals, no_column, planned
from driftline.errors import InvalidFrame, MissingExtra
from driftline.events import MAX_TIME_MS, MIN_TIME_MS
from driftline.history import Packed, Panes, Profiles
from driftline.stats.panes import pane_ms_of
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference, build_reference
from driftline.stats.whole import count_whole

# As many rows as make a good reference, and as fit into the driver.
SAMPLE_ROWS: Final = 1_000_000

# How often it is asked how far Spark is.
LOOK_S: Final = 1.0

_GROUP: Final = "spark.jobGroup.id"
_SCHEMA: Final = "start_ms long, segment string, reason string, n_rows long, body binary"
_KEYS: Final = ("start_ms", "segment", "reason")


def profile(
    df: Any,
    reference: Reference,
    *,
    timestamp: str | None = None,
    prediction: str | None = None,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    pane_ms: int | None = None,
    progress: Callable[[str], None] | None = None,
) -> Profiles:
    """Count a DataFrame on the bins of a reference, by pane and segment.

    Every column that a reference calls a feature or a dimension of segments is counted, whatever
    its type: a text in a numeric feature is a type error, as in the stream. A feature without a
    column is absent in every row; other columns are not read.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
    reference
        See `Client.reference_document` and `driftline.stats.reference.build_reference`.
    timestamp
        Column of event times: TIMESTAMP, or integer epoch milliseconds. Without it all rows are
        one pane.
    prediction, score, scores
        Columns of what the model said, as in `Client.register_reference`; `scores` by class.
    pane_ms
        Width of a pane; that of the stream by default, which the reference's time zone says: an
        hour, or a quarter of it where a zone is off by a part of an hour.
    progress
        Told in a sentence, about once a second and from another thread, how many of Spark's tasks
        are done; Spark Connect does not say it.

    Raises
    ------
    InvalidFrame
        A column that is named is not there, times are of another type or without a zone, or none
        of the reference's features is a column.
    MissingExtra
        Without pyspark or pyarrow.
    """
    functions = _pyspark()
    if pane_ms is None:
        pane_ms = pane_ms_of(reference.timezone)
    _check_columns(df)
    plan = planned(df.columns, reference, timestamp, prediction, score, scores or {}, pane_ms)
    if timestamp is not None:
        _check_times(df, timestamp)
    # By place: what PySpark asks for by name must have no dot in it.
    chosen = [functions.col(_quoted(c)).alias(f"c{i}") for i, c in enumerate(plan.columns)]
    counted = df.select(*chosen).mapInArrow(_counter(plan), _SCHEMA)
    added = counted.groupBy(*_KEYS).applyInArrow(_adder(plan.document), _SCHEMA)
    panes = Panes(reference.gridset)
    refused: Counter[str] = Counter()
    with _watched(df, progress):
        rows = list(added.toLocalIterator())
    for row in sorted(rows, key=lambda row: (row.start_ms, row.segment)):
        if row.reason:
            refused[row.reason] += row.n_rows
        else:
            start = None if row.start_ms == TIMELESS else row.start_ms
            panes.put((start, row.segment), Packed(row.n_rows, bytes(row.body)))
    return Profiles(panes, pane_ms, refused)


def sample(df: Any, rows: int = SAMPLE_ROWS, seed: int = 0) -> Any:
    """Return so many random rows of a DataFrame as a pyarrow Table, all of it where it has fewer.

    A reference is made of it, here in the driver: ``client.register_reference(model, version,
    spark.sample(df), ...)``. Its bins hold what a million rows can tell apart.

    Parameters
    ----------
    seed
        The same rows again, as long as Spark lays the data out alike.
    """
    _pyspark()
    _check_columns(df)
    return _sampled(df, rows, seed)[1]


def _sampled(df: Any, rows: int, seed: int) -> tuple[int, Any]:
    """How many rows there are, and so many of them."""
    if rows < 1:
        raise InvalidFrame(f"rows must be 1 or more, not {rows}")
    n = df.count()
    if n > rows:
        # A sample of a share is a little smaller or larger: a hundredth more, then cut.
        df = df.sample(fraction=min(1.0, 1.01 * rows / n), seed=seed).limit(rows)
    return n, df.toArrow()


def reference(
    df: Any,
    *,
    rows: int = SAMPLE_ROWS,
    seed: int = 0,
    timestamp: str | None = None,
    timezone: str = "UTC",
    prediction: str | None = None,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    progress: Callable[[str], None] | None = None,
    **more: Any,
) -> Reference:
    """Make a reference of a table whose every row is counted, however many there are.

    Two passes: bins are made of `rows` random rows here in the driver, and then all rows are
    counted on them where they lie. A table of no more rows is read here as a whole.

    ``client.register_reference(model, version, spark.reference(df, ...))`` registers it.

    Parameters
    ----------
    rows, seed
        As in `sample`.
    timestamp, timezone, prediction, score, scores, **more
        As in `Client.register_reference`: also label, features, exclude, categorical, segments,
        importance and exclude_slices. `timestamp` is a column as `profile` takes it.
    progress
        Told in a sentence what is being done.

    Raises
    ------
    InvalidReference
        The sample cannot become a reference; says why.
    InvalidFrame, MissingExtra
        As `profile`.
    """
    functions = _pyspark()
    say = progress or (lambda _: None)
    _check_columns(df)
    if timestamp is not None:
        if timestamp not in df.columns:
            raise InvalidFrame(no_column(timestamp, df.columns))
        _check_times(df, timestamp)
    say(f"taking {rows:,} random rows")
    n, taken = _sampled(df, rows, seed)
    made = build_reference(
        taken, timestamp=timestamp, timezone=timezone, prediction=prediction, score=score,
        scores=scores, **more,
    )  # fmt: skip
    if n <= rows:
        return made
    del taken
    span = None
    if timestamp is not None:
        at = functions.col(_quoted(timestamp))
        if df.schema[timestamp].dataType.typeName() == "timestamp":
            at = functions.unix_millis(at)
        for start_ms, end_ms in made.excluded:
            df = df.where(at.isNull() | (at < start_ms) | (at >= end_ms))
        possible = at.between(MIN_TIME_MS, MAX_TIME_MS - 1)
        found = df.where(possible).agg(functions.min(at), functions.max(at)).first()
        if found[0] is None:
            raise InvalidFrame(f"no row has a time in {timestamp!r}")
        span = int(found[0]), int(found[1])
    say(f"counting {n:,} rows on bins of {made.rows:,} of them")
    counted = profile(
        df, made, timestamp=timestamp, prediction=prediction, score=score, scores=scores,
        progress=progress,
    )  # fmt: skip
    notes = [f"its bins are of {made.rows:,} random rows of {n:,}; all are counted"]
    if refused := counted.refused.total():
        notes.append(f"{refused:,} rows have no time that can be, and are not counted")
    return count_whole(made, counted.panes, span, notes)


def _check_columns(df: Any) -> None:
    """Refuse names that Spark cannot tell apart."""
    there: list[str] = df.columns
    if len(set(there)) < len(there):
        twice = next(name for name, n in Counter(there).items() if n > 1)
        raise InvalidFrame(f"two columns are named {twice!r}: rename one of them")
    if df.sparkSession.conf.get("spark.sql.caseSensitive") == "true":
        return
    known: dict[str, str] = {}
    for name in there:
        other = known.setdefault(name.lower(), name)
        if other != name:
            raise InvalidFrame(
                f"the columns {other!r} and {name!r} differ by case alone, and Spark takes them "
                "for one: rename one of them, or set spark.sql.caseSensitive to true"
            )


def _check_times(df: Any, timestamp: str) -> None:
    kind = df.schema[timestamp].dataType.typeName()
    if kind == "timestamp_ntz":
        raise InvalidFrame(
            f"{timestamp!r} is TIMESTAMP_NTZ, which is no instant: convert it with "
            "to_utc_timestamp, or cast it to TIMESTAMP in the session's zone"
        )
    if kind not in ("timestamp", "long"):
        raise InvalidFrame(f"{timestamp!r} is {kind}: TIMESTAMP, or BIGINT of epoch milliseconds")


def _counter(plan: Plan) -> Callable[[Iterator[Any]], Iterator[Any]]:
    """What a task does with its rows."""

    def count(batches: Iterator[Any]) -> Iterator[Any]:
        reference = _reference(plan.document)
        totals = Totals(reference)
        for batch in batches:
            if batch.num_rows:
                totals.add(batch, plan)
            if totals.held_bytes > HELD_BYTES:
                yield _taken(totals)
        yield _taken(totals)

    return count


def _taken(totals: Totals) -> Any:
    """What was counted since the last time, as rows of `_SCHEMA`."""
    profiles, refused = totals.taken()
    starts = [TIMELESS if start is None else start for start, _ in profiles]
    return _batch(
        [*starts, *(TIMELESS for _ in refused)],
        [*(segment for _, segment in profiles), *("" for _ in refused)],
        [*("" for _ in profiles), *refused],
        [*(p.rows for p in profiles.values()), *refused.values()],
        [*(p.to_bytes() for p in profiles.values()), *(b"" for _ in refused)],
    )


def _adder(document: bytes) -> Callable[[Any], Any]:
    """What adds up the rows of one pane and segment, or of one reason."""

    def add(table: Any) -> Any:
        pa = pyarrow()
        start, segment, reason = (table.column(name)[0].as_py() for name in _KEYS)
        n_rows, body = sum(table.column("n_rows").to_pylist()), b""
        if not reason:
            gridset = _reference(document).gridset
            bodies = table.column("body").to_pylist()
            total = Profile.from_bytes(gridset, bodies[0])
            for other in bodies[1:]:
                total = total.with_bytes(gridset, other)
            body = total.to_bytes()
        return pa.Table.from_batches([_batch([start], [segment], [reason], [n_rows], [body])])

    return add


@lru_cache(maxsize=4)
def _reference(document: bytes) -> Reference:
    """Read once a process: one of a hundred features takes a few milliseconds."""
    return Reference.from_document(document)


def _batch(
    starts: Sequence[int],
    segments: Sequence[str],
    reasons: Sequence[str],
    n_rows: Sequence[int],
    bodies: Sequence[bytes],
) -> Any:
    pa = pyarrow()
    kinds = (pa.int64(), pa.string(), pa.string(), pa.int64(), pa.binary())
    arrays = map(pa.array, (starts, segments, reasons, n_rows, bodies), kinds)
    return pa.RecordBatch.from_arrays(list(arrays), names=[*_KEYS, "n_rows", "body"])


@contextlib.contextmanager
def _watched(df: Any, say: Callable[[str], None] | None) -> Iterator[None]:
    """Tell how many tasks are done of the jobs that begin meanwhile in this thread."""
    try:
        context = None if say is None else df.sparkSession.sparkContext
    except Exception:  # noqa: BLE001 - Spark Connect has none, and says so by its own errors
        context = None
    if say is None or context is None:
        yield
        return
    tracker, group, over = context.statusTracker(), f"driftline-{uuid.uuid4().hex}", Event()

    def look(before: str) -> str:
        jobs = [tracker.getJobInfo(job) for job in tracker.getJobIdsForGroup(group)]
        stages = {stage for job in jobs if job is not None for stage in job.stageIds}
        infos = [tracker.getStageInfo(stage) for stage in stages]
        # A stage whose outcome is there already has tasks, too, and none of them ever begins.
        begun = [i for i in infos if i is not None and (i.numCompletedTasks or i.numActiveTasks)]
        done, n = sum(i.numCompletedTasks for i in begun), sum(i.numTasks for i in begun)
        said = f"counting: {done:,} of {n:,} tasks are done"
        if n and said != before:
            say(said)
        return said

    def watch() -> None:
        said = ""
        while not over.wait(LOOK_S):
            said = look(said)
        look(said)

    before = context.getLocalProperty(_GROUP)
    context.setLocalProperty(_GROUP, group)
    watcher = Thread(target=watch, name="driftline-spark-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        context.setLocalProperty(_GROUP, before)
        over.set()
        watcher.join()


def _quoted(name: str) -> str:
    """A column's name as it is, whatever dots it has."""
    escaped = name.replace("`", "``")
    return f"`{escaped}`"


def _pyspark() -> Any:
    """What makes columns."""
    try:
        from pyspark.sql import functions
    except ImportError:
        raise MissingExtra("driftline.spark", "Spark", "spark") from None
    pyarrow("counting Spark's rows")
    return functions
