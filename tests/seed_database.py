"""A database as a year's demo might leave it, made without a broker: for pages and the API.

The numbers are invented but behave: calm noise below the limits, a blizzard of
missing values, one slow drift that turns critical, new categories that are
still firing. The same seed gives the same database.
"""
# Tables of literals read better in wide lines.
# ruff: noqa: E501, SIM905

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from driftline.stats.reference import build_reference
from monitor.storage import schema as t
from monitor.storage.engine import insert_rows, transaction

ZONE = ZoneInfo("America/New_York")
FIRST_DAY = date(2013, 2, 1)
DIGEST = "c0ffee" + "0" * 58
# The wall clock of every page made from this database.
NOW_MS = int(datetime(2025, 6, 2, 8, 0, 4, tzinfo=UTC).timestamp() * 1000)
FEATURES = (
    "prediction prediction.score dest temp pressure wind_speed visib precip plane_age plane_seats "
    "airport_delay airport_waiting airport_load sched_hour carrier distance origin block_minutes"
).split()
HOSTILE = (
    '<a href="https://evil.example">click</a>',
    "<img src=x onerror=alert(1)>",
    "x" * 200,
    "‮gnp.evil",
    "price/€ 100 % \"quoted\" 'single'",
    "</script><script>alert(1)</script>",
    "🛩️ altitude",
    "%{y} <b>bold</b> &amp;",
)


@dataclass(frozen=True)
class Episode:
    """A span of days on which one feature passed its limit by one statistic."""

    feature: str
    statistic: str
    kind: str
    severity: str
    first: date
    last: date
    ratio: tuple[float, float]  # at the first and at the last day
    state: str
    summary: str


EPISODES = (
    Episode("airport_delay", "missing", "missing", "critical", date(2013, 2, 8), date(2013, 2, 9),
            (6.0, 3.0), "resolved",
            "airport_delay: 61.2 % of rows are missing (at least 54.8 %, limit 3.1 %) on 8 February."),
    Episode("plane_seats", "missing", "missing", "critical", date(2013, 2, 8), date(2013, 2, 9),
            (4.4, 2.2), "resolved",
            "plane_seats: 58.9 % of rows are missing (at least 51.0 %, limit 21.4 %) in 2 of the last 3 days."),
    Episode("plane_age", "missing", "missing", "critical", date(2013, 2, 8), date(2013, 2, 9),
            (4.1, 2.0), "resolved",
            "plane_age: 60.1 % of rows are missing (at least 52.2 %, limit 22.0 %) in 2 of the last 3 days."),
    Episode("airport_waiting", "psi", "distribution", "warning", date(2013, 3, 6), date(2013, 3, 9),
            (1.9, 1.3), "resolved",
            "airport_waiting: 99.9 % sure that PSI is above 0.10 (0.61, limit 0.33) in 2 of the last 3 days."),
    Episode("temp", "out_of_range", "distribution", "critical", date(2013, 3, 17), date(2013, 4, 14),
            (1.2, 6.0), "resolved",
            "temp: 70.4 % of rows are outside the range of the reference (at least 65.0 %, limit 1.0 %)."),
    Episode("prediction.score", "psi", "distribution", "warning", date(2013, 4, 4), date(2013, 4, 13),
            (1.1, 1.6), "resolved",
            "prediction.score: 99.9 % sure that PSI is above 0.10 (0.31, limit 0.19) in 2 of the last 3 days."),
    Episode("airport_load", "psi", "distribution", "warning", date(2013, 4, 24), date(2013, 4, 26),
            (2.6, 1.4), "withdrawn",
            "airport_load: 99.9 % sure that PSI is above 0.10 (0.68, limit 0.26) in 2 of the last 3 days."),
    Episode("temp", "psi", "distribution", "warning", date(2013, 5, 10), date(2013, 5, 15),
            (1.1, 1.4), "firing",
            "temp: 99.9 % sure that PSI is above 0.10 (0.88, limit 0.64) in 2 of the last 3 days."),
    Episode("dest", "unseen", "unseen", "warning", date(2013, 5, 12), date(2013, 5, 15),
            (2.2, 2.1), "firing",
            "dest: 2.1 % of rows have values the reference never saw (at least 1.1 %, limit 0.5 %)."),
)  # fmt: skip


def start_ms(day: date) -> int:
    """Return the day's local midnight."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZONE).timestamp() * 1000)


def seed(
    engine: Engine,
    *,
    days: int = 104,
    model: str = "flight-delay",
    features: Sequence[str] = tuple(FEATURES),
    episodes: Sequence[Episode] = EPISODES,
    behind: bool = False,
) -> None:
    """Fill an upgraded, empty database."""
    draw = random.Random(20130201)
    last = FIRST_DAY + timedelta(days=days - 1)
    now = NOW_MS
    with transaction(engine) as conn:
        conn.execute(
            sa.insert(t.model).values(
                id=1,
                name=model,
                timezone=ZONE.key,
                owner="ops-ml",
                description="arrives more than 15 minutes late",
                created_ms=now - 9_000_000,
            )
        )
        conn.execute(
            sa.insert(t.model_version).values(
                id=1, model_id=1, name="1", created_ms=now - 9_000_000
            )
        )
        conn.execute(
            sa.insert(t.model).values(
                id=2,
                name="gate-hold",
                timezone="UTC",
                created_ms=now - 60_000,
                description="hold at gate, yes or no",
            )
        )
        conn.execute(
            sa.insert(t.model_version).values(id=2, model_id=2, name="7", created_ms=now - 60_000)
        )
        conn.execute(
            sa.insert(t.reference).values(
                digest=DIGEST,
                gridset="9" * 64,
                rows=27_004,
                first_ms=start_ms(date(2013, 1, 1)),
                last_ms=start_ms(FIRST_DAY) - 1,
                warnings=json.dumps(["precip: 93 % of rows are 0"]),
                body=_document(tuple(features)),
                created_ms=now - 9_000_000,
            )
        )
        for version_id in (1, 2):
            conn.execute(
                sa.insert(t.binding).values(
                    version_id=version_id,
                    reference_digest=DIGEST,
                    effective_from_ms=0,
                    registry_revision=1,
                    created_ms=now - 9_000_000,
                )
            )
        conn.execute(
            sa.insert(t.evaluator_cursor).values(
                version_id=1,
                epoch=3,
                watermark_ms=start_ms(last + timedelta(days=1)) + 4 * 3_600_000,
            )
        )
        windows, findings = _judged(draw, days, features, episodes)
        insert_rows(conn, t.window, windows)
        insert_rows(conn, t.finding, [row | _measure(row) for row in findings])
        insert_rows(conn, t.model_window, _verdicts(findings))
        _incidents(conn, episodes, last)
        _pipeline(conn, last, behind)
        conn.execute(sa.update(t.data_version).values(value=41))
        conn.execute(sa.update(t.registry).values(revision=2))


@cache
def _document(features: tuple[str, ...]) -> bytes:
    """A small reference with these features: what sentences call groups of values is in it."""
    draw = np.random.default_rng(20130101)
    outputs = {"prediction": "prediction", "prediction.score": "score"}
    columns = {outputs.get(name, name): draw.normal(50, 10, 1_200) for name in features}
    for name in {"dest", "carrier", "origin"} & set(columns):
        columns[name] = draw.choice(["JFK", "LGA", "EWR"], 1_200)
    made = build_reference(
        pd.DataFrame(columns),
        prediction="prediction" if "prediction" in features else None,
        score="score" if "prediction.score" in features else None,
    )
    return zlib.compress(made.to_document())


def _judged(
    draw: random.Random, days: int, features: Sequence[str], episodes: Sequence[Episode]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    windows: list[dict[str, Any]] = []
    findings: list[dict[str, Any]] = []
    limits = {name: draw.uniform(0.16, 0.5) for name in features}
    for index in range(days):
        day = FIRST_DAY + timedelta(days=index)
        rows = int((960 if day.weekday() < 5 else 760 if day.weekday() == 5 else 890)
                   * draw.uniform(0.96, 1.02))  # fmt: skip
        if day in (date(2013, 2, 8), date(2013, 2, 9)):
            rows //= 2
        begin, end = start_ms(day), start_ms(day + timedelta(days=1))
        lost = ["5,539 records were lost by retention (driftline.events 2)"]
        for length in ("day", *(("week",) if day.weekday() == 0 else ())):
            stop = end if length == "day" else start_ms(day + timedelta(days=7))
            windows.append({
                "version_id": 1, "length": length, "start_ms": begin, "segment": "all",
                "end_ms": stop, "rows": rows, "rev_sum": 1, "revision": 1,
                "closed_by": "watermark",
                "incomplete": json.dumps(lost) if day == date(2013, 3, 3) else None,
                "reference_digest": DIGEST, "monitor_revision": 1, "fold": "{}", "judged_ms": NOW_MS,
            })  # fmt: skip
            findings.extend(
                _finding(draw, day, length, name, rows, limits[name], episodes) for name in features
            )
        windows.append({**windows[-1], "length": "day", "segment": "origin=JFK", "rows": rows // 3})
    return windows, findings


def _finding(
    draw: random.Random, day: date, length: str, name: str, rows: int, limit: float,
    episodes: Sequence[Episode],
) -> dict[str, Any]:  # fmt: skip
    psi = abs(draw.gauss(0.0, 0.06)) * limit + 0.03 * limit
    if draw.random() < 0.02:
        psi = limit * draw.uniform(0.5, 1.3)
    row: dict[str, Any] = {
        "version_id": 1, "length": length, "start_ms": start_ms(day), "segment": "all",
        "feature": name, "rows": rows, "n": rows - 12, "psi": psi, "psi_limit": limit,
        "psi_critical": 1.8 * limit, "psi_lower": max(0.0, psi - limit + 0.1),
        "ks_low": 0.03, "ks_high": 0.034, "missing": 0.012, "missing_excess": -0.004,
        "missing_limit": 0.031, "type_error": 0.0, "type_error_excess": 0.0,
        "type_error_limit": 0.01, "unseen": None, "unseen_excess": None, "unseen_limit": None,
        "out_of_range": None, "out_of_range_excess": None, "out_of_range_limit": None,
        "ratio": psi / limit, "evidence": "psi", "verdict": "ok", "marks": "psi=cc", "exceeds": "",
        "is_alarming": False,
    }  # fmt: skip
    if name == "precip":
        row |= {"verdict": "blind", "psi_limit": None, "psi_critical": None, "ratio": None,
                "evidence": None, "psi": 0.4}  # fmt: skip
    for episode in episodes:
        if episode.feature != name or not episode.first <= day <= episode.last + timedelta(days=2):
            continue
        span = max(1, (episode.last - episode.first).days)
        share = min(1.0, (day - episode.first).days / span)
        ratio = episode.ratio[0] + share * (episode.ratio[1] - episode.ratio[0])
        row["is_alarming"] = day > episode.first
        if day > episode.last:
            row |= {"verdict": "ok"}
            continue
        row |= {"ratio": ratio, "evidence": episode.statistic, "exceeds": episode.statistic}
        row["verdict"] = episode.severity
        if episode.statistic == "psi":
            row |= {"psi": ratio * limit, "psi_lower": 0.1 * ratio}
        else:
            tolerance = row.get(f"{episode.statistic}_limit") or 0.005
            row[f"{episode.statistic}_limit"] = tolerance
            row[f"{episode.statistic}_excess"] = ratio * tolerance
            row[episode.statistic] = min(1.0, ratio * tolerance * 1.6 + 0.005)
    return row


def _measure(row: dict[str, Any]) -> dict[str, Any]:
    """The other distances of a finding, about as large as its PSI says."""
    psi, sigma = row["psi"], row["psi"] ** 0.5
    parts = [0.02] * 9 + [0.82]
    return {
        "psi_star": psi - 9 / row["n"], "psi_p": 0.02, "ks_p": 0.03, "w1_low": 9.8 * sigma,
        "w1_high": 10 * sigma, "w1_sigma": 0.98 * sigma, "w1_tail": 0.03, "js": 0.35 * sigma,
        "hellinger": 0.35 * sigma, "tv": 0.4 * sigma, "linf": 0.2 * sigma, "chi_square": None,
        "chi_square_df": None, "chi_square_p": None, "mean": 50 + 10 * sigma, "mean_shift": sigma,
        "sd_low": 9.9, "sd_high": 10.1, "sd_ratio": 1.0, "infinite": 0.0, "zero": 0.002,
        "negative": 0.0, "differs": None,
        "parts": json.dumps([round(psi * part / sum(parts), 6) for part in parts]),
    }  # fmt: skip


def _verdicts(findings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each window's verdict: how many of its features stand in an alarm."""
    windows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in findings:
        key = tuple(row[name] for name in ("version_id", "length", "start_ms", "segment"))
        if not row["feature"].startswith("prediction") and row["verdict"] != "blind":
            windows.setdefault(key, []).append(row)
    made = []
    for key, rows in windows.items():
        drifted = sum(row["is_alarming"] for row in rows)
        verdicts = {row["verdict"] for row in rows}
        made.append({
            **dict(zip(("version_id", "length", "start_ms", "segment"), key, strict=True)),
            "judged": len(rows), "drifted": drifted, "share": drifted / len(rows),
            "weighted": None,
            "verdict": next((v for v in ("critical", "warning") if v in verdicts), "ok"),
        })  # fmt: skip
    return made


def _incidents(conn: sa.Connection, episodes: Sequence[Episode], last: date) -> None:
    for number, episode in enumerate(episodes, start=12):
        opened = start_ms(min(episode.first + timedelta(days=2), last + timedelta(days=1)))
        resolved = None if episode.state == "firing" else start_ms(episode.last + timedelta(days=3))
        conn.execute(
            sa.insert(t.incident).values(
                number=number,
                version_id=1,
                segment="all",
                feature=episode.feature,
                kind=episode.kind,
                severity=episode.severity,
                state=episode.state,
                muted=False,
                first_window_ms=start_ms(episode.first),
                opened_ms=opened,
                told_ms=opened,
                resolved_ms=resolved,
                episodes=json.dumps(
                    [
                        [
                            opened,
                            start_ms(episode.first),
                            start_ms(episode.last + timedelta(days=1)),
                            resolved,
                        ]
                    ]
                ),
                summary=episode.summary,
                evidence="{}",
            )
        )
        conn.execute(
            sa.insert(t.incident_event).values(
                incident_number=number,
                event="opened",
                at_ms=opened,
                recorded_ms=NOW_MS,
                detail=episode.summary,
            )
        )
    conn.execute(
        sa.insert(t.incident).values(
            number=99,
            version_id=1,
            segment="all",
            feature="temp",
            kind="missing",
            severity="warning",
            state="pending",
            muted=False,
            first_window_ms=start_ms(last),
            opened_ms=start_ms(last),
            episodes="[]",
            summary="never shown: it waits for its second window",
            evidence="{}",
        )
    )


def _pipeline(conn: sa.Connection, last: date, behind: bool) -> None:
    conn.execute(
        sa.insert(t.stream).values(
            id=1,
            cluster_id="cluster",
            topic="driftline.events",
            topic_id="topic-1",
            start_policy="earliest",
            group_id="driftline",
            created_ms=NOW_MS - 9_000_000,
        )
    )
    for partition in range(4):
        end = 48_211 + 37 * partition
        conn.execute(
            sa.insert(t.stream_position).values(
                stream_id=1,
                partition=partition,
                start_offset=0,
                next_offset=end - (12_400 if behind and partition == 2 else 0),
                claim_epoch=3,
                owner="ingest-1",
                group_id="driftline",
                max_event_time_ms=start_ms(last + timedelta(days=1))
                + 4 * 3_600_000
                - 9_000 * partition,
                registry_revision=2,
                end_offset=end,
                fetched_ms=NOW_MS - 1_000,
                caught_up_for_ms=0 if behind else 4_000,
                last_counted_kafka_ms=NOW_MS - (95_000 if behind else 4_000),
                checkpointed_ms=NOW_MS - 1_000 - 500 * partition,
                checkpoints=212,
                fenced=0,
            )
        )
        for outcome, count in {"prediction": 24_480 + partition, "label": 23_700, "late": 18,
                               "dead:bad_json": 4 * partition, "dead:time_in_future": 9,
                               "dead:model_missing": 1}.items():  # fmt: skip
            conn.execute(
                sa.insert(t.counter).values(
                    stream_id=1,
                    partition=partition,
                    outcome=outcome,
                    count=count,
                    model="" if outcome.startswith("dead") else "flight-delay",
                    version="" if outcome.startswith("dead") else "1",
                )
            )
    conn.execute(
        sa.insert(t.dead_letter).values(
            stream_id=1,
            partition=1,
            offset=40,
            line=0,
            reason="bad_json",
            detail="expected a comma or } at byte 148",
            size_bytes=204,
            payload=b'{"type": <b>',
            payload_sha256="0" * 64,
            kafka_ms=NOW_MS - 60_000,
            created_ms=NOW_MS - 60_000,
        )
    )
    conn.execute(
        sa.insert(t.data_gap).values(
            stream_id=1,
            partition=2,
            kind="retention",
            from_offset=1_204,
            to_offset=6_743,
            from_ms=start_ms(date(2013, 3, 3)),
            to_ms=start_ms(date(2013, 3, 4)),
            created_ms=NOW_MS - 80_000,
        )
    )
    conn.execute(
        sa.insert(t.deficit).values(
            stream_id=1,
            partition=0,
            model="taxi-out",
            version="2",
            from_offset=10,
            to_offset=90,
            records=80,
            first_ms=start_ms(last),
            last_ms=start_ms(last) + 3_600_000,
        )
    )


def seed_hostile(engine: Engine) -> None:
    """Fill a database whose names try to be markup, templates and trouble."""
    features = ("prediction", *HOSTILE)
    episodes = [
        replace(EPISODES[7], feature=name, first=date(2013, 2, 5), last=date(2013, 2, 12),
                summary=f"{name}: {EPISODES[7].summary}")
        for name in HOSTILE
    ]  # fmt: skip
    seed(engine, days=14, model=HOSTILE[0], features=features, episodes=episodes)
