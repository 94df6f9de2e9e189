"""A database of the size that pages must bear, made in SQL: for `bench_web.py`.

One model with 100 features and ten segments, and nineteen with twenty features, each
judged by the hour, the day and the week for a year that ends today. The numbers are
invented but behave: calm below the limits, a drift that stands, a day of missing values.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from monitor.storage import engine as storage
from monitor.storage import registry, rollup
from monitor.storage import schema as t
from monitor.windows.calendar import Window, window_of
from monitor.windows.panes import HOUR_MS

ZONE = "America/New_York"
MODEL = "parcel-price"
DAY_MS = 24 * HOUR_MS
ROWS_AN_HOUR = 40
SEED = 20250601
# The last days of the year on which some features drift, and the day on which values go missing.
DRIFT_DAYS = 40
BLIZZARD_DAYS_AGO = 120
PARTITIONS = 8
# The columns of a finding but its other distances and what it could have shown.
_FOUND = tuple(c.name for c in t.finding.c if c.name not in (*t.DISTANCES, "visible"))


@dataclass(frozen=True)
class Size:
    """How much to make; the default is what the budget speaks of."""

    features: int = 100
    segments: int = 10
    days: int = 365
    others: int = 19
    other_features: int = 20


def build(path: Path, size: Size, told: Callable[[str], None] = lambda _: None) -> None:
    """Make the database; an unfinished one is left under another name."""
    part = path.with_suffix(".part")
    for old in (part, Path(f"{part}-wal"), Path(f"{part}-shm")):
        old.unlink(missing_ok=True)
    engine = storage.create(f"sqlite:///{part}")
    storage.upgrade(engine)
    today = datetime.now(ZoneInfo(ZONE)).replace(hour=0, minute=0, second=0, microsecond=0)
    end_ms = int(today.timestamp()) * 1000
    first_ms = window_of(end_ms - size.days * DAY_MS + HOUR_MS, "day", ZONE).start_ms
    big = _reference(size.features, size.segments, first_ms)
    small = _reference(size.other_features, 0, first_ms)
    names = [MODEL, *(f"model-{n:02}" for n in range(1, size.others + 1))]
    with storage.transaction(engine) as conn:
        for name in names:
            registry.register_reference(
                conn, big if name == MODEL else small, model=name, version="1", now_ms=first_ms,
                owner="prices" if name == MODEL else f"team {int(name[-2:]) % 4}",
            )  # fmt: skip
    engine.dispose()
    told("references registered")

    segments = ["all", *sorted(set(big.profiles) - {"all"})]
    db = sqlite3.connect(part, isolation_level=None)
    for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "BEGIN"):
        db.execute(statement)
    spans = {length: list(_windows(first_ms, end_ms, length)) for length in ("hour", "day", "week")}
    for version_id, name in enumerate(names, start=1):
        reference = big if name == MODEL else small
        for length, windows in spans.items():
            _judged(db, version_id, length, windows, segments if name == MODEL else ["all"],
                    reference, end_ms)  # fmt: skip
        _incidents(db, version_id, reference.gridset.names(), end_ms, size.days)
        told(f"{name} judged")
    _panes(db, big, [window.start_ms for window in spans["hour"]], segments, end_ms)
    _pipeline(db, names, end_ms)
    db.execute("COMMIT")
    db.close()
    told("panes and positions")

    engine = storage.create(f"sqlite:///{part}")
    starts = [window.start_ms for window in spans["day"]]
    for version_id, name in enumerate(names, start=1):
        with storage.transaction(engine) as conn:
            days = dict.fromkeys(segments if name == MODEL else ["all"], starts)
            rollup.refresh(conn, version_id, ZONE, days)
    with engine.connect() as conn:
        conn.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    engine.dispose()
    told("days added up")
    part.rename(path)


def _reference(features: int, segments: int, end_ms: int) -> Reference:
    hours = 28 * 24
    rows = _rows(features, segments, hours, SEED)
    times = end_ms - (hours * HOUR_MS) + np.arange(len(rows)) * (HOUR_MS // ROWS_AN_HOUR)
    rows["at"] = pd.to_datetime(times, unit="ms", utc=True)
    return build_reference(
        rows, timestamp="at", timezone=ZONE, prediction="prediction",
        categorical=[name for name in rows if name.startswith("kind")],
        segments=["site"] if segments else [],
    )  # fmt: skip


def _rows(features: int, segments: int, hours: int, seed: int) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    n = hours * ROWS_AN_HOUR
    data: dict[str, object] = {"prediction": draw.normal(size=n)}
    for number in range(features - bool(segments) - 1):
        if number % 5 == 4:
            data[f"kind_{number:03}"] = draw.choice(["a", "b", "c", "d"], n, p=[0.4, 0.3, 0.2, 0.1])
        else:
            data[f"value_{number:03}"] = draw.normal(10.0 * number, 1.0 + number / 10, n)
    if segments:
        data["site"] = draw.choice([f"s{number:02}" for number in range(segments)], n)
    return pd.DataFrame(data)


def _windows(first_ms: int, end_ms: int, length: str) -> Iterator[Window]:
    window = window_of(first_ms, length, ZONE)
    while window.end_ms <= end_ms:
        yield window
        window = window_of(window.end_ms, length, ZONE)


# A number from 0 to 1 that hangs on the window, the segment and the feature.
_DRAW = (
    "((w.n * 7919 + s.n * 1299709 + f.n * 104729 + ((w.n + 13) * (f.n + 7)) % 9973 * 31)"
    " % 1000 / 1000.0)"
)


def _judged(
    db: sqlite3.Connection,
    version_id: int,
    length: str,
    windows: list[Window],
    segments: list[str],
    reference: Reference,
    end_ms: int,
) -> None:
    names = sorted(reference.gridset.names())
    for table, rest in (("w", "start_ms, end_ms"), ("s", "name"), ("f", "name")):
        db.execute(f"DROP TABLE IF EXISTS temp.{table}")
        db.execute(f"CREATE TEMP TABLE {table} (n INTEGER PRIMARY KEY, {rest})")
    db.executemany("INSERT INTO w VALUES (?, ?, ?)", [(n, *w) for n, w in enumerate(windows)])
    db.executemany("INSERT INTO s VALUES (?, ?)", list(enumerate(segments)))
    db.executemany("INSERT INTO f VALUES (?, ?)", list(enumerate(names)))
    values = {
        "version": version_id, "length": length, "digest": reference.digest, "now": end_ms,
        "rows": ROWS_AN_HOUR * {"hour": 1, "day": 24, "week": 168}[length],
        "drift": end_ms - DRIFT_DAYS * DAY_MS, "bad": end_ms - BLIZZARD_DAYS_AGO * DAY_MS,
        "bad_end": end_ms - (BLIZZARD_DAYS_AGO - 2) * DAY_MS, "parts": json.dumps([0.00123] * 10),
    }  # fmt: skip
    db.execute(
        'INSERT INTO "window" SELECT :version, :length, w.start_ms, s.name, w.end_ms,'
        " CASE s.n WHEN 0 THEN :rows ELSE :rows / 10 END + w.n % 7, 1, 1 + (w.n % 40 = 0),"
        " 'watermark', CASE WHEN w.n % 97 = 0 THEN :lost END, :digest, 1, '{}', :now"
        " FROM w CROSS JOIN s",
        {**values, "lost": json.dumps(["retention: partition 2"])},
    )
    # The order of the loops is the order of the key: nothing has to be sorted.
    db.execute(
        f"""
        INSERT INTO finding ({", ".join(_FOUND)}, {", ".join(t.DISTANCES)})
        SELECT :version, :length, start_ms, segment, feature, :rows, :rows,
               CASE bad WHEN 0 THEN ratio * 0.2 ELSE 0.04 END, 0.2, 0.4,
               CASE WHEN bad = 0 AND ratio > 1 THEN 0.12 ELSE 0.0 END, 0.03, 0.034,
               CASE bad WHEN 0 THEN 0.01 ELSE 0.4 END,
               CASE bad WHEN 0 THEN 0.0 ELSE ratio * 0.05 END, 0.05,
               0.0, 0.0, 0.01, NULL, NULL, NULL, NULL, NULL, NULL,
               ratio, CASE bad WHEN 0 THEN 'psi' ELSE 'missing' END,
               CASE WHEN ratio > 2 THEN 'critical' WHEN ratio > 1 THEN 'warning' ELSE 'ok' END,
               CASE WHEN ratio > 1 THEN 'psi=e- missing=cc' ELSE 'psi=cc missing=cc' END,
               CASE WHEN ratio > 1 THEN 'psi' ELSE '' END, ratio > 1,
               {", ".join(["ratio * 0.1"] * (len(t.DISTANCES) - 1))}, :parts
        FROM (
            SELECT w.start_ms AS start_ms, s.name AS segment, f.name AS feature,
                   w.start_ms >= :bad AND w.start_ms < :bad_end AND f.n % 3 = 0 AS bad,
                   CASE WHEN w.start_ms >= :bad AND w.start_ms < :bad_end AND f.n % 3 = 0
                        THEN 3.0 + 3 * {_DRAW}
                        WHEN w.start_ms >= :drift AND f.n % 17 = 5 THEN 1.2 + 2 * {_DRAW}
                        ELSE 0.05 + 0.6 * {_DRAW} END AS ratio
            FROM w CROSS JOIN s CROSS JOIN f
        )
        """,
        values,
    )


def _incidents(
    db: sqlite3.Connection, version_id: int, names: tuple[str, ...], end_ms: int, days: int
) -> None:
    """Drift that stands, the blizzard, and one feature a week through the year."""
    names = tuple(sorted(names))
    found = []
    for n, name in enumerate(names):
        if n % 17 == 5:
            found.append((name, "distribution", "warning", end_ms - DRIFT_DAYS * DAY_MS, None))
        if n % 3 == 0:
            bad_ms = end_ms - BLIZZARD_DAYS_AGO * DAY_MS
            found.append((name, "missing", "critical", bad_ms, bad_ms + 4 * DAY_MS))
    for week in range(8, max(8, days // 7)):
        begin_ms = end_ms - week * 7 * DAY_MS
        name = names[(week * 7 + version_id) % len(names)]
        found.append((name, "distribution", "warning", begin_ms, begin_ms + 3 * DAY_MS))
    for feature, kind, severity, begin_ms, over_ms in sorted(found, key=lambda row: row[3]):
        opened_ms = begin_ms + 2 * DAY_MS
        summary = f"{feature}: 99.9 % sure that PSI is above 0.10 (0.31, limit 0.20)."
        (number,) = db.execute(
            "INSERT INTO incident (version_id, segment, feature, kind, severity, state, muted,"
            " first_window_ms, opened_ms, told_ms, resolved_ms, episodes, summary, evidence)"
            " VALUES (?, 'all', ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, '{}') RETURNING number",
            (version_id, feature, kind, severity, "resolved" if over_ms else "firing", begin_ms,
             opened_ms, opened_ms, over_ms,
             json.dumps([[opened_ms, begin_ms, over_ms or end_ms, over_ms]]), summary),
        ).fetchone()  # fmt: skip
        db.executemany(
            "INSERT INTO incident_event (incident_number, event, at_ms, recorded_ms, detail)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (number, event, at_ms, at_ms, summary)
                for event, at_ms in (("opened", opened_ms), ("resolved", over_ms))
                if at_ms is not None
            ],
        )


def _panes(
    db: sqlite3.Connection, reference: Reference, hours: list[int], segments: list[str], end_ms: int
) -> None:
    """The panes of segment all for the year, of the others for the last week, and today's."""
    grids = reference.gridset
    kept = 24
    rows = _rows(len(grids.names()), max(1, len(segments) - 1), kept, SEED + 1)
    columns = {
        name: Column(rows[name].tolist() if rows[name].dtype == object else rows[name].to_numpy())
        for name in grids.names()
    }
    pane = np.repeat(np.arange(kept), ROWS_AN_HOUR)
    bodies = [profile.to_bytes() for profile in grids.count(columns, len(rows), pane, kept)]
    todays = [end_ms + n * HOUR_MS for n in range(5)]
    for segment in segments:
        starts = [*(hours if segment == "all" else hours[-7 * 24 :]), *todays]
        db.executemany(
            "INSERT INTO pane VALUES (1, ?, ?, ?, 1, ?, 1, ?, ?)",
            [
                (grids.digest, start_ms, segment, n % PARTITIONS, ROWS_AN_HOUR, bodies[n % kept])
                for n, start_ms in enumerate(starts)
            ],
        )


def _pipeline(db: sqlite3.Connection, names: list[str], end_ms: int) -> None:
    now_ms = int(time.time() * 1000)
    db.execute(
        "INSERT INTO stream (id, cluster_id, topic, topic_id, start_policy, group_id, created_ms)"
        " VALUES (1, 'c', 'driftline.events', 't', 'earliest', 'driftline', ?)",
        (now_ms,),
    )
    for partition in range(PARTITIONS):
        db.execute(
            "INSERT INTO stream_position (stream_id, partition, start_offset, next_offset,"
            " claim_epoch, owner, group_id, max_event_time_ms, registry_revision, end_offset,"
            " fetched_ms, checkpointed_ms, checkpoints, last_counted_kafka_ms)"
            " VALUES (1, ?, 0, 5000000, 1, 'ingest-1', 'driftline', ?, 21, 5000000, ?, ?, 9000, ?)",
            (partition, end_ms + 5 * HOUR_MS, now_ms, now_ms, now_ms),
        )
        for name in names:
            db.execute(
                "INSERT INTO counter VALUES (1, ?, ?, '1', 'prediction', 43800)", (partition, name)
            )
    db.executemany(
        'INSERT INTO dead_letter (stream_id, "partition", "offset", line, reason, detail,'
        " size_bytes, payload, payload_sha256, kafka_ms, created_ms) VALUES"
        " (1, ?, ?, 0, ?, 'expected a comma at byte 12', 40, ?, ?, ?, ?)",
        [
            (n % PARTITIONS, n, "bad_json" if n % 3 else "time_missing", b'{"type" 1}', "0" * 64,
             end_ms - n * HOUR_MS, end_ms - n * HOUR_MS)
            for n in range(500)
        ],
    )  # fmt: skip
    db.executemany(
        "INSERT INTO evaluator_cursor (version_id, epoch, watermark_ms) VALUES (?, 9, ?)",
        [(n, end_ms + 4 * HOUR_MS) for n in range(1, len(names) + 1)],
    )
    db.execute("UPDATE data_version SET value = 1000")
