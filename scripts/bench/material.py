"""What is read: models' references, and their events as records of Kafka.

An event has floats as they come out of a program (up to 18 digits), words, and a class with its
score: about 700 bytes of JSON with 20 floats and 5 words.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import pandas as pd

import driftline.stats.frame
from driftline.arrow import MEDIA_TYPE, encode_frame
from driftline.stats.grid import BINS, grid_of_counts
from driftline.stats.reference import Reference, build_reference

HOUR_MS: Final = 3_600_000
LEVELS: Final = 12
TRAINED: Final = 5_000
TRAINED_FROM_MS: Final = 1_700_006_400_000  # a midnight
# So many different events; a log of more repeats them, each with a time of its own.
DISTINCT: Final = 20_000
ARROW_HEADERS: Final = [("content-type", MEDIA_TYPE.encode())]


@dataclass(frozen=True)
class Shape:
    """What events look like.

    Attributes
    ----------
    segments
        Values of the dimension ``site``; 0 = no dimension.
    models
        Their names are m0, m1 ...; events take turns.
    bins
        K, of numeric features.
    hours
        Over which the reference's rows are spread; 0 = it has no times.
    trained
        Rows that the reference has of each segment; of a thousand on it has its own counts.
    """

    floats: int = 20
    words: int = 5
    segments: int = 0
    models: int = 1
    bins: int = BINS
    hours: int = 0
    trained: int = 1_100

    @property
    def features(self) -> int:
        """How many there are."""
        return self.floats + self.words + bool(self.segments)

    def frame(self, rows: int, seed: int = 1) -> pd.DataFrame:
        """Rows without drift; ``class`` and ``score`` are the prediction."""
        rng = np.random.default_rng(seed)
        words = np.array([f"level {i}" for i in range(LEVELS)])
        columns: dict[str, Any] = {f"x{i}": rng.normal(size=rows) for i in range(self.floats)}
        columns |= {
            f"word{i}": words[rng.integers(0, LEVELS, rows)].astype(object)
            for i in range(self.words)
        }
        if self.segments:
            # Each as often, and of any model.
            site = rng.permutation(np.arange(rows) % self.segments)
            columns["site"] = [f"s{i}" for i in site.tolist()]
        columns["class"] = np.where(rng.random(rows) < 0.2, "late", "on time").astype(object)
        columns["score"] = rng.random(rows)
        return pd.DataFrame(columns)

    def reference(self) -> Reference:
        """Trained on rows like these."""
        frame = self.frame(max(TRAINED, self.trained * self.segments), seed=0)
        if self.hours:
            span_ms = self.hours * HOUR_MS
            places = np.arange(len(frame), dtype=np.int64)
            at_ms = TRAINED_FROM_MS + places * span_ms // len(frame)
            frame["at"] = pd.to_datetime(at_ms, unit="ms", utc=True)
        with patch.object(driftline.stats.frame, "grid_of_counts", _cut_into(self.bins)):
            return build_reference(
                frame,
                timestamp="at" if self.hours else None,
                prediction="class",
                score="score",
                segments=("site",) if self.segments else (),
            )


def _cut_into(bins: int) -> Any:
    """K is no setting of anybody's: what it costs is asked here alone."""
    return functools.partial(grid_of_counts, n_bins=bins)


def model(number: int) -> str:
    """Name of one of the models."""
    return f"m{number}"


def json_records(
    shape: Shape, events: int, *, span_ms: int = HOUR_MS, seed: int = 1
) -> Iterator[bytes]:
    """One event a record; their times ascend over the span before now, in RFC 3339."""
    distinct = min(events, DISTINCT)
    parts = _parts(shape, distinct, seed)
    start_ms = time.time_ns() // 1_000_000 - span_ms
    for i in range(events):
        before, after = parts[i % distinct]
        name = model(i % shape.models).encode()
        yield before % (i, name, rfc3339(start_ms + i * span_ms // events)) + after


def rfc3339(time_ms: int) -> bytes:
    """An instant as most programs write it.

    Examples
    --------
    >>> rfc3339(1_360_318_500_250)
    b'2013-02-08T10:15:00.250Z'
    """
    at = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return (at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1_000:03d}Z").encode()


def _parts(shape: Shape, distinct: int, seed: int) -> list[tuple[bytes, bytes]]:
    """What stands before and after what each event has of its own."""
    frame = shape.frame(distinct, seed)
    outputs = ("class", "score")
    names = [name for name in frame.columns if name not in outputs]
    before = b'{"type":"prediction","id":"e-%09d","model":"%s","version":"1","time":"%s",'
    found = []
    for row in frame.to_dict("records"):
        features = {name: row[name] for name in names}
        prediction = {name: row[name] for name in outputs}
        said = {"features": features, "prediction": prediction}
        found.append((before, json.dumps(said, separators=(",", ":"))[1:].encode()))
    return found


def arrow_records(shape: Shape, rows: int, *, rows_of_record: int = 1_000) -> list[bytes]:
    """Events of the first model as Arrow streams; their times ascend over the hour before now."""
    frame = shape.frame(rows)
    start_ms = time.time_ns() // 1_000_000 - HOUR_MS
    frame["at"] = start_ms + np.arange(rows, dtype=np.int64) * HOUR_MS // rows
    made = encode_frame(
        frame, model=model(0), version="1", prediction="class", score="score", timestamp="at",
        max_bytes=1_000_000, max_rows=rows_of_record,
    )  # fmt: skip
    return [value for value, _ in made]


@contextmanager
def timed() -> Iterator[list[float]]:
    """A list that holds the seconds of the block when it is over."""
    found: list[float] = []
    began = time.perf_counter()
    yield found
    found.append(time.perf_counter() - began)
