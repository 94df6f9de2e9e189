"""`make bench`: how fast the parts are, as medians and as ratios to a peer in the same run.

Nothing here needs a broker: it measures what Driftline adds to one. Machines
are shared and noisy, so every figure is the median of some rounds, and stands
beside what the standard library or scipy takes for the nearest thing on the
same data.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from scipy import stats

from consumers.admit import Rules
from consumers.ledger import Ledger
from consumers.source import Record
from driftline.stats.calibration import from_reference
from driftline.stats.evidence import Judge
from driftline.stats.profile import Column
from driftline.stats.reference import Reference, build_reference
from monitor.storage import engine as storage
from monitor.storage import registry as registry_store
from monitor.storage.checkpoint import Claim

FLOATS, STRINGS = 20, 5
EVENTS, SLICE = 40_000, 2_000
START_MS = 1_704_067_200_000


@dataclass(frozen=True)
class Figure:
    """One measured thing: its median rate, and how many times a peer's time it takes."""

    what: str
    rate: float
    unit: str
    peer: str
    times_peer: float


def median_s(run: Callable[[], Any], rounds: int) -> float:
    """Return the median time of `run` over some rounds after one that does not count."""
    run()
    taken = []
    for _ in range(rounds):
        before = time.perf_counter()
        run()
        taken.append(time.perf_counter() - before)
    return statistics.median(taken)


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Twenty floats, five strings, and a time a second apart."""
    draw = np.random.default_rng(seed)
    data: dict[str, Any] = {f"x{i}": draw.normal(size=rows).round(6) for i in range(FLOATS)}
    levels = [f"level-{i}" for i in range(12)]
    data |= {f"s{i}": draw.choice(levels, rows) for i in range(STRINGS)}
    times = START_MS + np.arange(rows, dtype=np.int64) * 1_000
    return pd.DataFrame(data | {"at": pd.to_datetime(times, unit="ms", utc=True)})


def records(data: pd.DataFrame) -> list[Record]:
    """The frame as a service would log it, one JSON object a record (about 700 bytes)."""
    features = [name for name in data.columns if name != "at"]
    out = []
    for i, row in enumerate(data[features].to_dict("records")):
        at_ms = START_MS + i * 1_000
        event = {
            "type": "prediction",
            "id": f"event-{i}",
            "model": "bench",
            "version": "1",
            "time": pd.Timestamp(at_ms, unit="ms", tz="UTC").isoformat().replace("+00:00", "Z"),
            "features": row,
        }
        out.append(_Record(i, at_ms, msgspec.json.encode(event)))
    return out  # type: ignore[return-value]


@dataclass(frozen=True)
class _Record:
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: tuple[Any, ...] = ()


def ingest(reference: Reference, data: pd.DataFrame, rounds: int) -> Figure:
    """Bytes to counts, as the consumer does between two polls."""
    batch = records(data)
    with tempfile.TemporaryDirectory() as folder:
        engine = storage.create(f"sqlite:///{Path(folder) / 'bench.db'}")
        storage.upgrade(engine)
        with storage.transaction(engine) as conn:
            registry_store.register_reference(
                conn, reference, model="bench", version="1", now_ms=0
            )
        registry = registry_store.load(engine)

        def run() -> None:
            claim = Claim(1, 0, 1, 0, registry.revision, None, None, 0)
            ledger = Ledger(claim, registry, Rules(1_000_000, True))
            for first in range(0, len(batch), SLICE):
                ledger.take(batch[first : first + SLICE], first + SLICE)

        ours = median_s(run, rounds)
        engine.dispose()
    peer = median_s(lambda: [json.loads(record.value) for record in batch], rounds)
    return Figure("JSON bytes to counts", len(batch) / ours, "events/s", "json.loads", ours / peer)


def counting(reference: Reference, data: pd.DataFrame, rounds: int) -> Figure:
    """Columns to counts."""
    columns = {
        name: Column(data[name].to_numpy() if name.startswith("x") else data[name].tolist())
        for name in data.columns
        if name != "at"
    }
    ours = median_s(lambda: reference.gridset.count(columns, len(data)), rounds)
    numeric = [data[f"x{i}"].to_numpy() for i in range(FLOATS)]
    peer = median_s(lambda: [np.histogram(values, 256) for values in numeric], rounds)
    values = len(data) * (FLOATS + STRINGS)
    return Figure("columns to counts", values / ours, "values/s", "np.histogram, equal bins", ours / peer)


def building(data: pd.DataFrame, rounds: int) -> Figure:
    """A frame to a reference with its slices."""
    ours = median_s(lambda: build_reference(data, timestamp="at"), rounds)
    numeric = [data[f"x{i}"].to_numpy() for i in range(FLOATS)]
    peer = median_s(lambda: [np.sort(values) for values in numeric], rounds)
    return Figure("frame to reference", len(data) / ours, "rows/s", "np.sort of the floats", ours / peer)


def judging(reference: Reference, data: pd.DataFrame, rounds: int) -> Figure:
    """Windows to findings, the rule alone; one window is every feature of one segment."""
    columns = {
        name: Column(data[name].to_numpy() if name.startswith("x") else data[name].tolist())
        for name in data.columns
        if name != "at"
    }
    hours = len(data) // 3_600
    pane = np.minimum(np.arange(len(data)) // 3_600, hours - 1)
    profiles = reference.gridset.count(columns, len(data), pane, hours)
    counts = np.stack([profile.counts for profile in profiles])
    judge = Judge(reference, "all", "hour", from_reference(reference, "all", "hour"))
    ours = median_s(lambda: judge.judge(counts, np.zeros(hours, dtype=bool)), rounds)
    whole = [data[f"x{i}"].to_numpy() for i in range(FLOATS)]

    def ks() -> None:
        for hour in range(hours):
            for values in whole:
                stats.ks_2samp(values, values[pane == hour], method="asymp")

    peer = median_s(ks, 1)
    return Figure("windows judged", hours / ours, "windows/s", "scipy ks_2samp alone", ours / peer)


def main() -> int:
    """Measure, and write one Markdown table and one JSON file."""
    parser = argparse.ArgumentParser(description="Measure Driftline's parts on this machine.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds a figure (default 5)")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    asked = parser.parse_args()
    data = frame(EVENTS, 1)
    reference = build_reference(data, timestamp="at")
    figures = [
        ingest(reference, data, asked.rounds),
        counting(reference, data, asked.rounds),
        building(data, asked.rounds),
        judging(reference, data, asked.rounds),
    ]
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}, "
          f"median of {asked.rounds}\n")  # fmt: skip
    print("| what | rate | time against the peer | peer in the same run |\n|---|---|---|---|")
    for figure in figures:
        print(f"| {figure.what} | {figure.rate:,.0f} {figure.unit} | {figure.times_peer:.2f}x | "
              f"{figure.peer} |")  # fmt: skip
    if asked.json:
        asked.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
