"""Arrow streams as producers write them, good and bad, and the same events as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
from fake_source import KAFKA_MS, START_MS, Entry

from driftline.arrow import MEDIA_TYPE

HEADERS = (("content-type", MEDIA_TYPE.encode()),)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def stream(
    columns: Mapping[str, Any],
    *,
    cuts: Sequence[int] = (),
    options: pa.ipc.IpcWriteOptions | None = None,
    **common: str | None,
) -> bytes:
    """Return an Arrow IPC stream; `common` is what the schema says of all rows.

    `cuts` are the rows where another record batch begins.
    """
    metadata = {f"driftline.{name}": text for name, text in common.items() if text is not None}
    arrays = [v if isinstance(v, pa.Array) else pa.array(v) for v in columns.values()]
    fields = [pa.field(name, array.type) for name, array in zip(columns, arrays, strict=True)]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=metadata))
    return written(batch, cuts=cuts, options=options)


def written(
    batch: pa.RecordBatch,
    *,
    cuts: Sequence[int] = (),
    options: pa.ipc.IpcWriteOptions | None = None,
) -> bytes:
    """Return a record batch as a stream."""
    sink = pa.BufferOutputStream()
    edges = [0, *sorted(cuts), batch.num_rows]
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        for start, stop in pairwise(edges):
            writer.write_batch(batch.slice(start, stop - start))
    value: bytes = sink.getvalue().to_pybytes()
    return value


def entry(value: bytes, offset: int = 0) -> Entry:
    """Return a record that says that it is Arrow."""
    return Entry(offset, KAFKA_MS, value, HEADERS)


def predictions(n: int, **changes: Any) -> bytes:
    """Return `n` predictions of the features of `fake_source.prediction` in one stream."""
    columns: dict[str, Any] = {
        "time": pa.array([START_MS + i * 600_000 for i in range(n)]),
        "features": pa.StructArray.from_arrays(
            [
                pa.array([float(i % 7) for i in range(n)]),
                pa.array(["abc"[i % 3] for i in range(n)]),
                pa.array(["north" if i % 2 else "south" for i in range(n)]),
            ],
            names=["x", "kind", "site"],
        ),
        "prediction": pa.array(
            [{"class": "yes" if i % 5 else "no", "score": (i % 10) / 10} for i in range(n)]
        ),
    }
    common = {"type": "prediction", "model": "m", "version": "1"}
    for name in changes.keys() & common.keys():
        if not isinstance(changes[name], str | None):
            del common[name]
    columns |= {k: v for k, v in changes.items() if k not in common}
    common |= {k: v for k, v in changes.items() if k in common}
    return stream({k: v for k, v in columns.items() if v is not None}, **common)


@dataclass(frozen=True)
class Table:
    """The same events twice: as columns of Arrow, and as objects of JSON."""

    columns: dict[str, pa.Array]
    common: dict[str, str]
    rows: list[dict[str, Any]] = field(repr=False)

    def arrow(self, start: int = 0, stop: int | None = None, cuts: Sequence[int] = ()) -> bytes:
        """Some rows as one stream."""
        stop = len(self.rows) if stop is None else stop
        columns = {name: array[start:stop] for name, array in self.columns.items()}
        return stream(columns, cuts=cuts, **self.common)

    def lines(self) -> list[bytes]:
        """One JSON object a row."""
        return [json.dumps(row).encode() for row in self.rows]


def instant(ticks: int, unit: str) -> str:
    """Return a timestamp as RFC 3339, rounded down to microseconds."""
    us = ticks * 1_000_000 // {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    return (_EPOCH + timedelta(microseconds=us)).isoformat()
