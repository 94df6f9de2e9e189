"""A data frame's rows as Kafka records: Arrow where pyarrow is installed, else NDJSON.

Both say the same, and refuse the same frames in the same words (`InvalidFrame`). Frames are seen
through narwhals, so pandas, polars and pyarrow all do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import narwhals as nw
from narwhals.exceptions import NarwhalsError

from driftline.errors import InvalidFrame
from driftline.events import MAX_TIME_MS, MIN_TIME_MS, Event
from driftline.plain import instant_ms, plain_values
from driftline.producer import MAX_RECORD_BYTES, MAX_RECORD_ROWS, Record

encode = msgspec.json.Encoder().encode


def records(
    frame: Any,
    *,
    model: str,
    version: str,
    prediction: str,
    timestamp: str,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    label: str | None = None,
    id: str | None = None,
    timezone: str = "UTC",
    features: Sequence[str] | None = None,
    tags: Sequence[str] = (),
    max_bytes: int = MAX_RECORD_BYTES,
) -> Iterator[Record]:
    """Yield the frame's rows as records, in order.

    See `driftline.arrow.encode_frame` for the arguments. Without pyarrow a value that JSON cannot
    hold is written as null.

    Raises
    ------
    InvalidFrame
        It is no frame, lacks a column (names the nearest), has a row without a time, or one
        that no record can hold.
    """
    if find_spec("pyarrow") is not None:
        from driftline.arrow import encode_frame

        for value, rows in encode_frame(
            frame, model=model, version=version, prediction=prediction, score=score, scores=scores,
            label=label, id=id, timestamp=timestamp, timezone=timezone, features=features,
            tags=tags, max_bytes=max_bytes,
        ):  # fmt: skip
            yield Record(value, rows, is_arrow=True)
        return
    columns = _Columns(
        prediction, score, label, id, timestamp, features, tuple(tags), dict(scores or {})
    )
    opened = _opened(frame)
    columns.check(opened.columns)
    size, lines = 0, list[bytes]()
    for line in _lines(opened, columns, model, version, ZoneInfo(timezone)):
        if len(line) > max_bytes:
            raise InvalidFrame(f"a row is {len(line):,} bytes long, {max_bytes:,} are allowed")
        if lines and (size + len(line) + 1 > max_bytes or len(lines) >= MAX_RECORD_ROWS):
            yield Record(b"\n".join(lines), len(lines))
            size, lines = 0, []
        lines.append(line)
        size += len(line) + 1
    if lines:
        yield Record(b"\n".join(lines), len(lines))


def has_naive_times(frame: Any, timestamp: str) -> bool:
    """Return whether a column's times have no offset and are read on some clock.

    Examples
    --------
    >>> from datetime import datetime
    >>> import polars
    >>> has_naive_times(polars.DataFrame({"at": [datetime(2024, 1, 1)]}), "at")
    True
    """
    try:
        dtype = nw.from_native(frame, eager_only=True)[timestamp].dtype
    except Exception:  # noqa: BLE001 - who reads the frame says what is wrong with it
        return False
    return dtype == nw.Date or (isinstance(dtype, nw.Datetime) and dtype.time_zone is None)


class _Columns(NamedTuple):
    """Which column is what."""

    prediction: str
    score: str | None
    label: str | None
    id: str | None
    timestamp: str
    features: Sequence[str] | None
    tags: tuple[str, ...]
    scores: dict[str, str]

    def check(self, there: Sequence[str]) -> None:
        """Raise for a column that is not there."""
        single = {
            name: getattr(self, name)
            for name in ("prediction", "score", "label", "id", "timestamp")
        }
        several = [("features", name) for name in self.features or ()]
        several += [("tags", name) for name in self.tags]
        several += [("scores", name) for name in self.scores.values()]
        for argument, name in [*single.items(), *several]:
            if name is not None and name not in there:
                likely = get_close_matches(name, there, 1, 0)
                mend = f"; did you mean {likely[0]!r}?" if likely else ""
                raise InvalidFrame(f"{argument}: there is no column {name!r}{mend}")
        if self.label is not None and self.id is None:
            raise InvalidFrame("label needs id: the column that joins labels to predictions")

    def feature_names(self, there: Sequence[str]) -> list[str]:
        """The features: those that were named, or all others."""
        if self.features is not None:
            return list(self.features)
        taken = {self.prediction, self.score, self.label, self.id, self.timestamp, *self.tags}
        taken |= set(self.scores.values())
        return [name for name in there if name not in taken]


class _Rows(NamedTuple):
    """A frame as it is read: names, and rows by name."""

    columns: list[str]
    rows: Iterable[Mapping[str, Any]]


def _opened(frame: Any) -> _Rows:
    if isinstance(frame, Mapping):
        # Columns of plain Python.
        names = list(frame)
        cells = zip(*frame.values(), strict=True)
        return _Rows(names, (dict(zip(names, row, strict=True)) for row in cells))
    try:
        opened = nw.from_native(frame, eager_only=True)
    except (TypeError, NarwhalsError):
        raise InvalidFrame(
            "a frame is a pandas or polars DataFrame or a pyarrow Table, "
            f"not {type(frame).__name__}"
        ) from None
    return _Rows(opened.columns, opened.iter_rows(named=True))


def _lines(
    frame: _Rows, columns: _Columns, model: str, version: str, zone: ZoneInfo
) -> Iterator[bytes]:
    names = columns.feature_names(frame.columns)
    for number, row in enumerate(frame.rows, 1):
        found = instant_ms(row[columns.timestamp], zone)
        if found is None or not MIN_TIME_MS <= found[0] < MAX_TIME_MS:
            raise InvalidFrame(
                f"row {number}: {columns.timestamp} is {str(row[columns.timestamp])[:80]!r}, "
                "which is no time in the years 2000 to 2099"
            )
        wanted = [*names, *columns.tags, *columns.scores.values()]
        wanted += [name for name in columns[:4] if name is not None]
        values, _ = plain_values({name: row[name] for name in wanted})
        id = values[columns.id] if columns.id else None
        said = values[columns.prediction]
        if columns.score is not None or columns.scores:
            said = {"value": said}
        if columns.score is not None:
            said["score"] = values[columns.score]
        if columns.scores:
            said["scores"] = {of: values[name] for of, name in columns.scores.items()}
        features = {name: values[name] for name in names}
        tags = {name: values[name] for name in columns.tags} or None
        yield encode(Event("prediction", model, found[0], version, id, features, said, tags=tags))
        if columns.label is not None and values[columns.label] is not None and id is not None:
            yield encode(Event("label", model, found[0], id=id, label=values[columns.label]))
